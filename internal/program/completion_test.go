package program_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

// completing is a program with a completion command.
type completing struct {
	Signal     signalling                `cmd:""`
	Succeed    succeedCommand            `cmd:""`
	Completion program.CompletionCommand `cmd:""`
}

type signalling struct {
	Name  string `arg:"" enum:"accept,keep"`
	Force bool
}

func (signalling) Run() error { return nil }

func runCompleting(args ...string) (code int, out, problems string) {
	var stdout, stderr bytes.Buffer
	code = program.Main("starter", "", new(completing), args, program.Streams{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestShellIsToldHowACommandLineMayGoOn(t *testing.T) {
	for line, want := range map[string][]string{
		"starter s":               {"signal", "succeed"},
		"starter completion ":     {"bash", "zsh", "fish"},
		"starter signal ":         {"accept", "keep"},
		"starter signal k":        {"keep"},
		"starter signal --":       {"--force", "--help"},
		"starter signal keep --f": {"--force"},
	} {
		t.Setenv("COMP_LINE", line)
		code, out, problems := runCompleting()
		require.Equal(t, program.ExitOK, code)
		require.Empty(t, problems)
		require.ElementsMatch(t, want, strings.Fields(out), line)
	}
}

func TestCompletionScriptsAskTheProgram(t *testing.T) {
	itself, err := os.Executable()
	require.NoError(t, err)
	for shell, want := range map[string]string{"bash": "complete -C ", "zsh": "bashcompinit", "fish": "complete -f -c starter"} {
		code, out, problems := runCompleting("completion", shell)
		require.Equal(t, program.ExitOK, code, problems)
		require.Contains(t, out, want)
		require.Contains(t, out, itself)
	}
	code, _, problems := runCompleting("completion", "cmd.exe")
	require.Equal(t, program.ExitSettings, code)
	require.Contains(t, problems, "bash")
}

func TestBashTakesTheCompletionScript(t *testing.T) {
	bash, err := exec.LookPath("bash")
	require.NoError(t, err)
	_, script, _ := runCompleting("completion", "bash")
	file := filepath.Join(t.TempDir(), "completion.bash")
	require.NoError(t, os.WriteFile(file, []byte(script), 0o600))
	told, err := exec.CommandContext(t.Context(), bash, "--norc", "-c", "source "+file+" && complete -p starter").CombinedOutput()
	require.NoError(t, err, string(told))
	require.Contains(t, string(told), "complete -C ")
}
