package doctest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// glossary has the terms that the project no longer uses, in lower case, and what to write
// instead. An identifier is read as its words: GivenUp is "given up".
var glossary = []struct{ old, write string }{
	{`marks?`, `"checkpoint"; of jobs and rows: "flag"`},
	{`fence numbers?`, `"fencing token"`},
	{`told|tells`, `"reported", "says", "shows", "prints" or "returns"`},
	{`land(?:ed|ing|s)?`, `"merged" or "released"`},
	{`(?:gave|gives?|given|giving)(?: it| them)? up`, `"abandoned"; of a retry: "stops"; of a message: "dropped"`},
	{`stand(?: |-)?ins?`, `"fake"`},
	{`zombies?`, `"stale attempt"`},
	{`nowhere`, `"not … anywhere", "not found" or "missing"`},
	{`stands`, `"is"; of an alert: "Stalled"`},
	{`occasions?`, `what happens`},
	{`(?:try|tries|trying) on`, `"retrying"`},
	{`so many`, `"the number of" or "up to"`},
	{`(?:go|goes|going|went|gone) on`, `"continues", "resumes" or "keeps"`},
	{`beside`, `"next to", "alongside", "in addition to" or "while"`},
	{`mend(?:s|ed|ing)?`, `"fixes" or "repairs"`},
	{`for good`, `"permanently", "forever" or "non-retryable"`},
	{`put(?:s|ting)?(?: it| them| this)? right`, `"fixed" or "corrected"`},
	{`anew|beg(?:in|ins|an|un) again`, `"restarts" or "starts over"`},
	{`at once`, `"immediately"; at the same time: "concurrently"`},
	{`(?:come|comes|came|coming) back`, `"restarts" or "returns"`},
	{`by hand`, `"manually"`},
	{`a look at|looks? again|looked at again`, `"checks"`},
	{`whoever`, `"anyone who" or "the one that"`},
	{`what is to be`, `a plain verb`},
	{`misfits?`, `"record that does not fit" or "unmapped record"`},
	{`lost (?:notification|webhook)s?`, `"missed notification"`},
	{`(?:is|are) whole`, `"complete"`},
	{`(?:does|do) not know the jobs?`, `"job not found"`},
	{`somebody`, `"an operator", who it is, or the passive`},
	{`some (?:seconds|minutes|hours)`, `"a few" of them`},
	{`neither\.`, `a sentence that does not end with it`},
}

// allowed are names that databases, recorded histories and other projects use, and phrases
// with another meaning.
var allowed = []string{
	`(?:quotation|question|order|direction) marks?`, `OrderMark`, `MarkSlotUsed`, `SlotMarkUsedInfo`, `webscraper-io-landing`,
	`"GiveUpScrapingJob"`, `"leftovers-beside"`, `json:"told\b`, `json:"by_hand\b`, `"by_hand"`, `"-by-hand"`,
	`stands for`, `tells (?:\S+ ){1,6}(?:from|apart)\b`, `go on your`,
}

var exempt = regexp.MustCompile(`/testdata/|(?:^|/)(?:go\.sum|package-lock\.json|CHANGELOG\.md|glossary_test\.go)$|^postgres/migrations/`)

// phrase compiles alternatives. A space in them is white space, also that before and after
// the line break of a comment.
func phrase(before string, alternatives []string) *regexp.Regexp {
	text := before + `(?:` + strings.Join(alternatives, "|") + `)`
	return regexp.MustCompile(strings.ReplaceAll(text, " ", `\s+(?:(?://|#|--|>)\s+)?`))
}

func TestWordsAreThoseOfTheGlossary(t *testing.T) {
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	list.Dir = root
	names, err := list.Output()
	if err != nil {
		t.Skipf("not in a Git repository: %s", err)
	}
	var groups []string
	for _, term := range glossary {
		group := `(` + term.old + `)`
		if !strings.HasSuffix(term.old, `.`) {
			group += `\b`
		}
		groups = append(groups, group)
	}
	forbidden, permitted := phrase(`\b`, groups), phrase(`(?i)`, allowed)
	article, camel := regexp.MustCompile(`([A-Z])([A-Z][a-z])`), regexp.MustCompile(`([a-z0-9])([A-Z])`) // InANewRun
	separators := strings.NewReplacer("/", " ", "_", " ", "-", " ", ".", " ")
	read := 0
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if exempt.MatchString(name) || os.IsNotExist(err) || !utf8.Valid(text) {
			continue // a file may be deleted and not committed yet
		}
		require.NoError(t, err)
		read++
		// The name is line 0.
		words := permitted.ReplaceAllStringFunc(separators.Replace(name)+"\n"+string(text), func(found string) string {
			return strings.Repeat("\n", strings.Count(found, "\n"))
		})
		words = strings.ToLower(camel.ReplaceAllString(article.ReplaceAllString(words, "$1 $2"), "$1 $2"))
		for _, found := range forbidden.FindAllStringSubmatchIndex(words, -1) {
			for i, term := range glossary {
				if found[2*i+2] >= 0 {
					t.Errorf("%s:%d: %q: write %s", name, bytes.Count([]byte(words[:found[0]]), []byte("\n")), words[found[0]:found[1]], term.write)
				}
			}
		}
	}
	require.NotZero(t, read)
}
