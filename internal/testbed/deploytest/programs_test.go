package deploytest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/contrib/envconfig"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
)

// buildPrograms builds what the Dockerfile builds, and the schemas program, once, into
// programDir.
var buildPrograms = sync.OnceValue(func() (err error) {
	if programDir, err = os.MkdirTemp("", "scrapehaul-deploytest-"); err != nil {
		return err
	}
	for folder, packages := range map[string][]string{
		root:      {"./worker", "./starter", "./internal/testbed/demo"},
		"schemas": {"."}, // a nested module
	} {
		build := exec.Command("go", append([]string{"build", "-o", programDir + string(filepath.Separator)}, packages...)...)
		build.Dir = folder
		build.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -buildvcs=false", "GOWORK=off")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building %q in %s: %w", packages, folder, err)
		}
	}
	return nil
})

var programDir string

// requirePrograms builds the programs.
func requirePrograms(t *testing.T) {
	t.Helper()
	fulltier.Needs(t, "the built programs")
	require.NoError(t, buildPrograms())
}

// programFile returns the built program that the image has at that path.
func programFile(t *testing.T, inImage string) string {
	t.Helper()
	requirePrograms(t)
	return filepath.Join(programDir, filepath.Base(inImage))
}

// requireCommand requires that the program, its subcommand and the flags exist: with --help
// it runs nothing and rejects unknown flags.
func requireCommand(t *testing.T, command []string) {
	t.Helper()
	require.Contains(t, []string{"/worker", "/starter", "/demo"}, command[0])
	require.Greater(t, len(command), 1, "%s without a command", command[0])
	output, err := exec.Command(programFile(t, command[0]), append(command[1:], "--help")...).CombinedOutput()
	require.NoError(t, err, "%q: %s", command, output)
	require.Contains(t, string(output), "Usage: "+filepath.Base(command[0])+" "+command[1], "help of the command itself")
}

// settings returns the variables of a program's flags, such as `env:"SPOOL_DIR"`, with
// their defaults, including those shared by both programs.
func settings(t *testing.T, program string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, program, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	shared, err := filepath.Glob(filepath.Join(root, "internal", "program", "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, shared)
	defaults := map[string]string{}
	for _, file := range slices.Concat(files, shared) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(parsed, func(node ast.Node) bool {
			if field, ok := node.(*ast.Field); ok && field.Tag != nil {
				tag, err := strconv.Unquote(field.Tag.Value)
				require.NoError(t, err)
				if name := reflect.StructTag(tag).Get("env"); name != "" {
					defaults[name] = reflect.StructTag(tag).Get("default")
				}
			}
			return true
		})
	}
	return defaults
}

// temporalVariables returns the variables that the Temporal SDK reads for a client.
func temporalVariables() []string {
	var asked lookups
	// It cannot fail: no variable is set.
	_, _ = envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{EnvLookup: &asked})
	return asked
}

// lookups is an empty environment that records lookups.
type lookups []string

func (*lookups) Environ() []string { return nil }

func (l *lookups) LookupEnv(name string) (string, bool) {
	*l = append(*l, name)
	return "", false
}
