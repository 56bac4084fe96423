package temporaltest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/fulltier"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver"
)

// Server is a Temporal server of one test, which may stop and restart it.
type Server struct {
	// Namespace has a client that reconnects by itself.
	Namespace

	t       testing.TB
	options temporalserver.Options
	server  *temporalserver.Server // nil while it is stopped
}

// NewServer starts a server. It ends with the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	return newServer(t, temporalserver.Options{})
}

// NewFairServer is [NewServer] where accounts take turns.
func NewFairServer(t testing.TB) *Server {
	t.Helper()
	return newServer(t, temporalserver.Options{Fairness: true})
}

// NewServerWithUI is [NewServer] with Temporal's web UI.
func NewServerWithUI(t testing.TB) *Server {
	t.Helper()
	return newServer(t, temporalserver.Options{UI: true})
}

func newServer(t testing.TB, options temporalserver.Options) *Server {
	t.Helper()
	fulltier.Needs(t, "a Temporal server")
	options.DBFilename = filepath.Join(t.TempDir(), "temporal.db")
	options.Progress = func(step string) { fmt.Fprintln(os.Stderr, step) }
	s := &Server{t: t, options: options}
	s.Start()
	t.Cleanup(func() {
		if s.server != nil {
			s.Stop()
		}
	})
	_, port, err := net.SplitHostPort(s.server.HostPort)
	require.NoError(t, err)
	s.options.Port, err = strconv.Atoi(port)
	require.NoError(t, err)
	s.Namespace = dial(t, s.server.HostPort, s.server.Namespace)
	return s
}

// Stop stops the server. Its state is kept.
func (s *Server) Stop() {
	s.t.Helper()
	require.NoError(s.t, s.server.Stop())
	s.server = nil
}

// Start starts the stopped server at the same address.
func (s *Server) Start() {
	s.t.Helper()
	server, err := temporalserver.Start(s.t.Context(), s.options)
	require.NoError(s.t, err)
	s.server = server
}

// UIAddress returns the address of the running server's web UI, such as
// "http://127.0.0.1:8233".
func (s *Server) UIAddress() string { return s.server.UIAddress }
