// Package programtest has what tests of the two programs share: their environment, their
// logs, and running them inside a test.
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

// Run runs program.Main and returns the exit code, standard output and standard error.
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

// RequireProblems requires a message with exactly these problems, each given by its prefix.
func RequireProblems(t testing.TB, program, message string, prefixes ...string) {
	t.Helper()
	head, problems, found := strings.Cut(message, "\n  - ")
	require.True(t, found, message)
	require.Equal(t, program+": fix this first:", head)
	for _, problem := range strings.Split(problems, "\n  - ") {
		known := slices.IndexFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(problem, prefix) })
		require.GreaterOrEqual(t, known, 0, "unexpected: %s", problem)
		prefixes = slices.Delete(prefixes, known, known+1)
	}
	require.Empty(t, prefixes, "missing")
}
