// Package processtest holds what tests of the two processes share: their
// environment, their logs, and how to run them inside a test.
package processtest

import (
	"bytes"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/process"
)

// Run runs process.Main to its end and returns the exit code, what was written
// to standard output, and what to standard error.
func Run(name string, commands any, args ...string) (code int, out, problems string) {
	var stdout, stderr bytes.Buffer
	code = process.Main(name, "", commands, args, process.Streams{Out: &stdout, Err: &stderr})
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
