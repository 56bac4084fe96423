package chaos

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const page = "../../../docs/reliability.md"

// subjects are the sections of the page, in their order, by the files that hold
// their cases.
var subjects = []struct{ file, title string }{
	{"worker_test.go", "The worker"},
	{"postgresql_test.go", "PostgreSQL"},
	{"connection_test.go", "Connections to PostgreSQL"},
	{"temporal_test.go", "Temporal"},
	{"download_test.go", "Downloads"},
	{"api_test.go", "API calls"},
	{"budget_test.go", "The API's limit of calls"},
	{"accounts_test.go", "Several accounts"},
	{"disk_test.go", "The disk"},
	{"webhook_test.go", "Webhooks"},
	{"signals_test.go", "Signals"},
	{"reconcile_test.go", "Reconciliation"},
	{"settings_test.go", "Settings"},
	{"scrape_test.go", "Scrapes and follow-ups"},
	{"decide_test.go", "What a person decides"},
}

// entry is a case's row of the page.
type entry struct {
	file           string
	line           int
	happens, holds string
	cloud          []func(*webscrapertest.Options)

	mu       sync.Mutex
	observed []string
	passed   bool
}

func (e *entry) observe(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.observed = append(e.observed, fmt.Sprintf(format, args...))
}

var (
	entriesMu sync.Mutex
	entries   []*entry
)

// register notes the case of a test: what happens and what must hold. The test
// goes on beside others.
func register(t *testing.T, happens, holds string) *entry {
	t.Helper()
	t.Parallel()
	return registerAlone(t, happens, holds)
}

// registerAlone is register for a case that is a load by itself: it runs before
// those that run side by side.
func registerAlone(t *testing.T, happens, holds string) *entry {
	t.Helper()
	e := &entry{happens: happens, holds: holds, cloud: []func(*webscrapertest.Options){noRateLimit, answersInTime}}
	for depth := 1; !slices.ContainsFunc(subjects, func(s struct{ file, title string }) bool { return s.file == e.file }); depth++ {
		_, path, line, ok := runtime.Caller(depth)
		if !ok {
			t.Fatal("the test's file is not among the subjects")
		}
		e.file, e.line = filepath.Base(path), line
	}
	entriesMu.Lock()
	entries = append(entries, e)
	entriesMu.Unlock()
	t.Cleanup(func() {
		e.passed = !t.Failed() && !t.Skipped()
		for _, observation := range e.observed {
			t.Log(observation)
		}
	})
	return e
}

// finishReport writes the page, or sees that it has the cases that have run, if
// all have.
func finishReport(file string) error {
	all := true
	for _, name := range []string{"test.run", "test.skip", "test.list", "test.bench"} {
		all = all && flag.Lookup(name).Value.String() == ""
	}
	if file == "" {
		if !all {
			return nil
		}
		return checkPage()
	}
	if !all {
		return errors.New("-report: only a run of all cases makes the page")
	}
	for _, e := range entries {
		if !e.passed {
			return fmt.Errorf("-report: %q has not passed", e.happens)
		}
	}
	return os.WriteFile(file, []byte(render()), 0o644)
}

// checkPage compares names only: what was observed differs a little each time.
func checkPage() error {
	content, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	if got, want := names(string(content)), names(render()); !slices.Equal(got, want) {
		return fmt.Errorf("docs/reliability.md has other cases than the suite: write it anew with\n"+
			"go test ./internal/testbed/chaos -report %s\nthe page has %q,\nthe suite %q", page, got, want)
	}
	return nil
}

// names are the first cells of the tables' rows.
func names(page string) (names []string) {
	for line := range strings.Lines(page) {
		if cell, _, found := strings.Cut(strings.TrimPrefix(line, "| "), " | "); found && strings.HasPrefix(line, "| ") {
			names = append(names, cell)
		}
	}
	return names
}

const introduction = `# What goes wrong, and what happens then

<!-- Written by go test ./internal/testbed/chaos -report ../../../docs/reliability.md: not to be edited. -->

The chaos suite, [internal/testbed/chaos](../internal/testbed/chaos), runs the worker and the starter as the processes that they are in production, with a real Temporal server, a real PostgreSQL and the stand-in of Web Scraper Cloud, and breaks something.
Whatever it is, each case ends with: every record exactly once in the view, no file in the spool, the job deleted in the cloud only after its import was published and verified, and the workflow completed, or in ` + "`needs-attention`" + ` with a sentence that says what is wrong.

` + "```sh" + `
go test ./internal/testbed/chaos            # part of go test ./...
SOAK=1 go test ./internal/testbed/chaos -run Soak -v -timeout 30m    # two workers, thousands of jobs, faults at random
go test ./internal/testbed/chaos -report ../../../docs/reliability.md   # writes this page
` + "```" + `

The soak prints its seed; ` + "`SOAK_SEED`" + ` sets it, ` + "`SOAK_JOBS`" + ` the number of jobs.
This page is written by a run in which every case passed, and a plain run fails when it lists other cases than the suite has.
The numbers are those of that run.
`

func render() string {
	var b strings.Builder
	b.WriteString(introduction)
	for _, subject := range subjects {
		fmt.Fprintf(&b, "\n## %s\n\n| what happens | what must hold | what was observed |\n|---|---|---|\n", subject.title)
		var rows []*entry
		for _, e := range entries {
			repeated := slices.ContainsFunc(rows, func(row *entry) bool { return row.happens == e.happens })
			if e.file == subject.file && !repeated { // as with -count
				rows = append(rows, e)
			}
		}
		// Those of one line run side by side, in any order.
		slices.SortFunc(rows, func(a, b *entry) int { return cmp.Or(a.line-b.line, strings.Compare(a.happens, b.happens)) })
		for _, e := range rows {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", cell(e.happens), cell(e.holds), cell(strings.Join(e.observed, "; ")))
		}
	}
	return b.String()
}

func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}
