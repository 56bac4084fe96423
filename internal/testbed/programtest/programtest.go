// Package programtest holds what tests of the two programs share: their
// environment, their logs, and how to run them inside a test.
package programtest

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

// Run runs program.Main to its end and returns the exit code, what was written
// to standard output, and what to standard error.
func Run(name string, commands any, args ...string) (code int, out, problems string) {
	var stdout, stderr bytes.Buffer
	code = program.Main(name, "", commands, args, program.Streams{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

// ClosedPort returns an address, host:port, where nobody listens.
func ClosedPort(t testing.TB) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// RequireProblems requires one message with these problems and no others, each
// by its beginning.
func RequireProblems(t testing.TB, program, message string, beginnings ...string) {
	t.Helper()
	head, problems, found := strings.Cut(message, "\n  - ")
	require.True(t, found, message)
	require.Equal(t, program+": these settings have to be put right first:", head)
	for _, problem := range strings.Split(problems, "\n  - ") {
		known := slices.IndexFunc(beginnings, func(beginning string) bool { return strings.HasPrefix(problem, beginning) })
		require.GreaterOrEqual(t, known, 0, "not expected: %s", problem)
		beginnings = slices.Delete(beginnings, known, known+1)
	}
	require.Empty(t, beginnings, "not named")
}
