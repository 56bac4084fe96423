package doctest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// sourceFiles are the files of a package that are not tests, testFiles those that
// are.
func sourceFiles(t *testing.T, dir string) []*ast.File { return parse(t, dir, false) }
func testFiles(t *testing.T, dir string) []*ast.File   { return parse(t, dir, true) }

func parse(t *testing.T, dir string, tests bool) (parsed []*ast.File) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") != tests {
			continue
		}
		one, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		parsed = append(parsed, one)
	}
	return parsed
}

// errorTypes are the values of a package's constants for error types, by their names:
// ErrorDiskFull, errorRejects.
func errorTypes(t *testing.T, dir string) (values []string) {
	t.Helper()
	named := regexp.MustCompile(`^[Ee]rror[A-Z]`)
	for _, file := range sourceFiles(t, dir) {
		ast.Inspect(file, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, name := range spec.Names {
				if !named.MatchString(name.Name) || i >= len(spec.Values) {
					continue
				}
				if literal, ok := spec.Values[i].(*ast.BasicLit); ok && literal.Kind == token.STRING {
					value, err := strconv.Unquote(literal.Value)
					require.NoError(t, err)
					values = append(values, value)
				}
			}
			return true
		})
	}
	require.NotEmpty(t, values, dir)
	return values
}

func TestEveryKindOfProblemHasItsSection(t *testing.T) {
	kinds := workflows.ProblemKinds()
	for _, dir := range []string{"workflows", "activities"} {
		require.Subset(t, kinds, errorTypes(t, dir), "types of errors that workflows.ProblemKinds does not have")
	}
	operations := onePage(t, "docs/operations.md")
	for _, kind := range kinds {
		require.Contains(t, operations.headings, kind, "a section that says what to do")
	}
}

func TestEveryAlertHasItsSection(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy", "prometheus", "alerts.yaml"))
	require.NoError(t, err)
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert string }
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &rules))
	var alerts, sections []string
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			alerts = append(alerts, rule.Alert)
		}
	}
	for _, section := range onePage(t, "docs/operations.md").headings {
		if strings.HasPrefix(section, "Scrapehaul") {
			sections = append(sections, section)
		}
	}
	require.NotEmpty(t, alerts)
	require.ElementsMatch(t, alerts, sections)
}

// A quoted sentence consists of pieces of string literals, and of the values of an
// example: in quotation marks, or at most four words.
func TestQuotedSentencesAreThoseOfTheCode(t *testing.T) {
	var pieces []string
	between := regexp.MustCompile(`%[-+.0-9]*[a-z]|\n|\. `)
	for _, dir := range []string{"activities", "archive", "mapping", "postgres", "sink", "webscraper", "workflows"} {
		for _, file := range sourceFiles(t, dir) {
			ast.Inspect(file, func(node ast.Node) bool {
				if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					text, err := strconv.Unquote(literal.Value)
					require.NoError(t, err)
					for _, piece := range between.Split(text, -1) {
						if piece = strings.Trim(piece, " :;,.()"); len(piece) >= 8 {
							pieces = append(pieces, piece)
						}
					}
				}
				return true
			})
		}
	}
	slices.SortFunc(pieces, func(a, b string) int { return len(b) - len(a) })
	quotes := 0
	for _, line := range onePage(t, "docs/operations.md").prose {
		quote, ok := strings.CutPrefix(line, "> ")
		if !ok {
			continue
		}
		quotes++
		rest := quote
		for _, piece := range pieces {
			rest = strings.ReplaceAll(rest, piece, " ")
		}
		rest = regexp.MustCompile(`"[^"]*"`).ReplaceAllString(rest, "")
		if words := regexp.MustCompile(`[A-Za-z]{4,}`).FindAllString(rest, -1); len(words) > 4 {
			t.Errorf("the programs do not print %q: %q is not in the code", quote, words)
		}
	}
	require.Greater(t, quotes, 20)
}

var verb = regexp.MustCompile(`%[a-z]`)

func TestEveryFindingOfTheDoctorIsListed(t *testing.T) {
	var findings []string
	for _, file := range sourceFiles(t, "starter") {
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			if method, ok := call.Fun.(*ast.SelectorExpr); !ok || method.Sel.Name != "fix" {
				return true
			}
			literal, ok := call.Args[0].(*ast.BasicLit)
			require.True(t, ok, "a finding is not a literal")
			format, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			if format != "%s" { // a problem of the settings
				findings = append(findings, verb.ReplaceAllString(format, "…"))
			}
			return true
		})
	}
	var listed []string
	for _, row := range onePage(t, "docs/operations.md").tables(t, "Findings of starter doctor") {
		listed = append(listed, row[0])
	}
	slices.Sort(findings)
	slices.Sort(listed)
	require.Equal(t, slices.Compact(findings), listed)
}

func TestEveryKindSaysWhoActs(t *testing.T) {
	var kinds []string
	for _, row := range onePage(t, "docs/operations.md").tables(t, "Kinds") {
		kind, _, _ := strings.Cut(strings.TrimPrefix(row[0], "["), "]")
		kinds = append(kinds, kind)
		switch who := row[1]; who {
		case "reconciliation retries":
			require.True(t, workflows.Retryable(kind), kind)
		case "you decide", "you fix and reimport":
			require.False(t, workflows.Retryable(kind), kind)
		default: // RunSitemap fails
			require.Equal(t, "you run the sitemap again", who, kind)
			require.Contains(t, []string{"TooFewPageCredits", "NotCreated"}, kind)
		}
	}
	require.ElementsMatch(t, workflows.ProblemKinds(), kinds)
}

func TestEverySignalOfAnOperatorIsExplained(t *testing.T) {
	var explained []string
	for _, row := range onePage(t, "docs/operations.md").tables(t, "Signals") {
		explained = append(explained, names(strings.Join(row, " "))...)
	}
	require.Subset(t, explained, []string{
		workflows.AcceptSignal, workflows.KeepSignal, workflows.AbandonSignal, workflows.ReimportSignal, workflows.DeleteNowSignal,
	})
}

func TestEveryFieldOfAPublicationIsListed(t *testing.T) {
	var listed, fields []string
	for _, row := range onePage(t, "docs/follow-ups.md").tables(t, "Follow-ups: what a publish starts") {
		listed = append(listed, names(row[0])...)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[sink.Publication]()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			fields = append(fields, name)
		}
	}
	require.Equal(t, fields, listed)
}
