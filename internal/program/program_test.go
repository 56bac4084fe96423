package program_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

// commands are commands that end in different ways.
type commands struct {
	Succeed succeedCommand `cmd:""`
	Fail    failCommand    `cmd:""`
	Refuse  refuseCommand  `cmd:""`
	Wait    waitCommand    `cmd:""`

	Version program.VersionFlag
}

type succeedCommand struct{}

func (succeedCommand) Run(streams program.Streams) error {
	streams.Logger().Info("Running", "answer", 42)
	fmt.Fprintln(streams.Out, "done")
	return nil
}

type failCommand struct{}

func (failCommand) Run() error { return errors.New("the sky is falling") }

type refuseCommand struct{}

func (refuseCommand) Run() error {
	var s program.Settings
	s.Required("ONE", "", "the first")
	s.Required("TWO", " ", "the second")
	return fmt.Errorf("before starting: %w", s.Err())
}

// waitCommand sends itself SIGTERM and waits for its context to end.
type waitCommand struct{}

func (waitCommand) Run(ctx context.Context) error {
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func runProgram(args ...string) (code int, out, problems string) {
	var stdout, stderr bytes.Buffer
	code = program.Main("program", "Does little.", new(commands), args, program.Streams{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestSuccessExitsWith0AndLogsGoToStandardError(t *testing.T) {
	code, out, log := runProgram("succeed")
	require.Equal(t, program.ExitOK, code)
	require.Equal(t, "done\n", out)
	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(log), &line), "one line of JSON: %s", log)
	require.Equal(t, "Running", line["msg"])
	require.InEpsilon(t, 42, line["answer"], 0)
}

func TestFailureExitsWith1(t *testing.T) {
	code, out, problems := runProgram("fail")
	require.Equal(t, program.ExitFailed, code)
	require.Empty(t, out)
	require.Equal(t, "program: the sky is falling\n", problems)
}

func TestInvalidSettingsExitWith2(t *testing.T) {
	code, out, problems := runProgram("refuse")
	require.Equal(t, program.ExitSettings, code)
	require.Empty(t, out)
	require.Equal(t, "program: fix this first:\n"+
		"  - ONE is missing: the first\n  - TWO is missing: the second\n", problems)
}

func TestInvalidArgumentsExitWith2(t *testing.T) {
	for want, args := range map[string][]string{
		"unexpected argument nonsense": {"nonsense"},
		"unknown flag --nonsense":      {"succeed", "--nonsense"},
		"expected one of":              nil,
	} {
		code, out, problems := runProgram(args...)
		require.Equal(t, program.ExitSettings, code)
		require.Empty(t, out)
		require.Contains(t, problems, want)
	}
}

func TestProgramWithoutACommandPrintsItsHelp(t *testing.T) {
	code, out, problems := runProgram()
	require.Equal(t, program.ExitSettings, code)
	require.Empty(t, out)
	for _, want := range []string{"Usage: program <command>", "Does little.", "succeed", "refuse", "--version", "program: expected one of"} {
		require.Contains(t, problems, want)
	}
	code, help, problems := runProgram("--help")
	require.Equal(t, program.ExitOK, code)
	require.Contains(t, help, "Usage: program <command>")
	require.Empty(t, problems)
}

func TestVersionIsPrinted(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"succeed", "--version"}} {
		code, out, problems := runProgram(args...)
		require.Equal(t, program.ExitOK, code, problems)
		require.Regexp(t, `^program \S+( \(commit .+\))?\n$`, out)
		require.Empty(t, problems)
	}
}

func TestSIGTERMEndsTheContext(t *testing.T) {
	code, _, problems := runProgram("wait")
	require.Equal(t, program.ExitOK, code)
	require.Empty(t, problems)
}
