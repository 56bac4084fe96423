package doctest

import (
	"fmt"
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// commandLanguages are the languages of blocks of commands.
var commandLanguages = []string{"sh", "bash", "shell", "console"}

// executed are the programs whose commands are executed here.
var executed = append([]string{
	"starter", "worker", "temporal", // ours and Temporal's, against a real system
	"mkdir", "export", "source",
}, notOurs...)

// elsewhere are commands that cannot be executed here, each with the test or the file
// that executes the same.
var elsewhere = []struct{ begins, in, by string }{
	{"go run ./demo cloud", "internal/testbed/demo", "TestCloudAloneServesAnyClient"},
	{"go run ./demo", "internal/testbed/demo", "TestDemoImportsItsJobsAndLeavesNothingBehind"},
	{"go run ./internal/testbed/walkthrough", "internal/testbed/walkthrough", "TestWalkthroughIsAnAnimatedPicture"},
	{"go run ./bench", "bench", "TestJSONHasThePromisedKeys"},
	{"go run github.com/scrapehaul/scrapehaul/demo cloud", "internal/testbed/demo", "TestCloudAloneServesAnyClient"},
	{"go run .", "", "TestHostFromAnEmptyFolder"},
	{"go build ./...", ".ci/run", "go build ./..."},
	{"go build -tags", ".ci/run", "go build -tags s3,gcs,azure"},
	{"go build -o bin/", "internal/testbed/doctest", "TestGettingStartedImportsAJob"},
	{".ci/lint", ".ci/run", ".ci/lint"},
	{".ci/run", ".ci/run", "go test ./..."},
	{"docker ", "internal/testbed/deploytest", "TestDockerfileBuildsWhatComposeRuns"},
	{"curl ", "internal/testbed/deploytest", "TestDemoImportsAJobWithOneCurl"},
	{"kubectl ", "internal/testbed/deploytest", "TestManifestsDeployAWorkingImporter"},
}

// commands splits a block into its commands, without comments; a backslash at the
// end of a line continues it.
func (b block) commands() (all []string) {
	text := strings.ReplaceAll(b.text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(regexp.MustCompile(`(^|\s)#.*`).ReplaceAllString(strings.TrimPrefix(line, "$ "), ""))
		if line != "" {
			all = append(all, line)
		}
	}
	return all
}

// fileOfPage matches a block that is a file, with its name in the first line.
var fileOfPage = regexp.MustCompile(`^# ([a-z]+\.yaml)\n`)

func TestCommandsOfThePagesWork(t *testing.T) {
	for _, p := range pages(t) {
		if p.name == gettingStarted { // TestGettingStartedImportsAJob follows it
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			var s *shell // started when the first command needs it
			for _, b := range p.blocks {
				name := fileOfPage.FindStringSubmatch(b.text)
				if name == nil && b.language != "sql" && !slices.Contains(commandLanguages, b.language) {
					continue
				}
				if name != nil { // commands after it read it
					if s == nil {
						s = newShell(t)
					}
					require.NoError(t, os.WriteFile(filepath.Join(s.dir, name[1]), []byte(b.text), 0o600))
					continue
				}
				if b.language == "sql" {
					if s == nil {
						s = newShell(t)
					}
					s.state(t, fmt.Sprintf("%s:%d", p.name, b.line), b.text)
					continue
				}
				for _, command := range b.commands() {
					where := fmt.Sprintf("%s:%d: %s", p.name, b.line, command)
					t.Log(where)
					if isExecuted(command) {
						if s == nil {
							s = newShell(t)
						}
						s.execute(t, where, command)
					} else {
						requireElsewhere(t, where, command)
					}
				}
			}
		})
	}
}

func isExecuted(command string) bool {
	_, program := splitSettings(placeholder.ReplaceAllString(command, ""))
	first, _, _ := strings.Cut(program, " ")
	return program == "" || slices.Contains(executed, first)
}

// state executes statements in a transaction that is rolled back.
func (s *shell) state(t *testing.T, where, statements string) {
	t.Helper()
	tx, err := s.DB.BeginTxx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	for statement := range strings.SplitAfterSeq(statements, ";\n") {
		if strings.TrimSpace(statement) != "" {
			_, err := tx.ExecContext(t.Context(), statement)
			require.NoError(t, err, "%s: %s", where, statement)
		}
	}
}

func requireElsewhere(t *testing.T, where, command string) {
	t.Helper()
	_, command = splitSettings(command)
	if strings.HasPrefix(command, "go test ") {
		requireGoTest(t, where, strings.Fields(command)[2:])
		return
	}
	for _, each := range elsewhere {
		if !strings.HasPrefix(command, each.begins) {
			continue
		}
		if info, err := os.Stat(filepath.Join(root, each.in)); err == nil && info.IsDir() {
			require.Contains(t, testsOf(t, each.in), each.by, "%s: the test that executes it", where)
			return
		}
		text, err := os.ReadFile(filepath.Join(root, each.in))
		require.NoError(t, err)
		require.Contains(t, string(text), each.by, "%s: what executes it", where)
		return
	}
	t.Errorf("%s: this command is executed neither here nor elsewhere", where)
}

// flagsOfGo are those of go test itself, with whether they have a value.
var flagsOfGo = map[string]bool{"-run": true, "-v": false, "-count": true, "-timeout": true, "-race": false, "-parallel": true, "-fuzz": true, "-short": false, "-p": true}

// requireGoTest requires that the packages exist, that -run matches some of their
// tests, and that they define the other flags.
func requireGoTest(t *testing.T, where string, arguments []string) {
	t.Helper()
	var packages, flags []string
	matching := ""
	for len(arguments) > 0 {
		first := arguments[0]
		arguments = arguments[1:]
		withValue, known := flagsOfGo[first]
		switch {
		case !strings.HasPrefix(first, "-"):
			packages = append(packages, first)
			continue
		case !known:
			flags = append(flags, strings.TrimPrefix(first, "-"))
			withValue = len(arguments) > 0
		case first == "-run":
			matching = arguments[0]
		}
		if withValue {
			arguments = arguments[1:]
		}
	}
	list := exec.CommandContext(t.Context(), "go", append([]string{"list", "-f", "{{.Dir}}"}, packages...)...)
	list.Dir = root
	output, err := list.Output()
	require.NoError(t, err, where)
	matches := 0
	for dir := range strings.FieldsSeq(string(output)) {
		relative, err := filepath.Rel(absoluteRoot(t), dir)
		require.NoError(t, err)
		for _, name := range testsOf(t, relative) {
			if regexp.MustCompile(matching).MatchString(name) {
				matches++
			}
		}
		for _, name := range flags {
			defines := func(dir string) bool { return hasFlag(t, dir, name) }
			require.True(t, slices.ContainsFunc([]string{relative, "internal/testbed/systemtest", "internal/testbed/chaos"}, defines),
				"%s: the tests of %s have no flag %s", where, relative, name)
		}
	}
	require.NotZero(t, matches, "%s: there are no such tests", where)
}

func absoluteRoot(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(root)
	require.NoError(t, err)
	return dir
}

func testsOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, file := range testFiles(t, dir) {
		for _, declaration := range file.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && strings.HasPrefix(function.Name.Name, "Test") {
				names = append(names, function.Name.Name)
			}
		}
	}
	return names
}

func hasFlag(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if regexp.MustCompile(`flag\.(?:String|Bool)\("` + name + `"`).Match(text) {
			return true
		}
	}
	return false
}
