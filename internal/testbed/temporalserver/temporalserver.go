// Package temporalserver starts a real Temporal development server for the demo and tests,
// even on a machine without the Temporal CLI. The server is the CLI's `temporal server
// start-dev`: see [Start].
//
// Tests use its subpackage temporaltest.
package temporalserver

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"

	"github.com/scrapehaul/scrapehaul/internal/lostquery"
	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
)

const loopback = "127.0.0.1"

// startTimeout bounds the start of a server, which takes a second on an idle machine.
const startTimeout = time.Minute

// Options configure a server. The zero value is a server without the web UI, on a free
// port, that stores nothing.
type Options struct {
	Namespace string // created before the server is ready; empty means "default"
	Port      int    // 0 means a free one

	UI     bool // serve the web UI too
	UIPort int  // 0 means a free one

	// DBFilename stores the server's state in that SQLite file, so that a later server
	// with the same file continues from there.
	DBFilename string

	// Fairness makes accounts take turns. It sets one partition, as turns are per
	// partition. With it, Nexus of server 1.29 does not report to callers that no
	// worker is there.
	Fairness bool

	// Progress is called before steps that take long; may be nil.
	Progress func(string)
	// Log receives the server's own log; nil discards it.
	Log io.Writer
}

// Server is a running Temporal server. It does not outlive this process.
type Server struct {
	HostPort  string // of the gRPC front end, for TEMPORAL_ADDRESS
	UIAddress string // "http://127.0.0.1:8233"; empty without the web UI
	Namespace string

	process *childprocess.Process
	client  client.Client
}

// Start runs a Temporal server on 127.0.0.1 and returns when it is ready. It uses the first
// program of:
//
//   - the temporal on PATH, unless it is too old for the flags used here;
//   - the one in the user's cache folder, downloaded or built before;
//   - one downloaded now, if the server responds within 5 seconds;
//   - one built now from the module in the cli folder, which takes a few minutes.
//
// Of concurrent processes, only one downloads or builds it.
func Start(ctx context.Context, opts Options) (*Server, error) {
	program, err := findProgram(ctx, opts.progress())
	if err != nil {
		return nil, err
	}
	return start(ctx, program, opts)
}

func (o Options) progress() func(string) {
	if o.Progress == nil {
		return func(string) {}
	}
	return o.Progress
}

func start(ctx context.Context, program string, opts Options) (*Server, error) {
	var err error
	if opts.Port == 0 {
		if opts.Port, err = childprocess.FreePort(); err != nil {
			return nil, err
		}
	}
	if opts.UI && opts.UIPort == 0 {
		if opts.UIPort, err = childprocess.FreePort(); err != nil {
			return nil, err
		}
	}
	if opts.Namespace == "" {
		opts.Namespace = client.DefaultNamespace
	}
	s := &Server{HostPort: net.JoinHostPort(loopback, strconv.Itoa(opts.Port)), Namespace: opts.Namespace}
	if opts.UI {
		s.UIAddress = "http://" + net.JoinHostPort(loopback, strconv.Itoa(opts.UIPort))
	}
	s.process, err = childprocess.Start(childprocess.Command{
		Path: program,
		Args: arguments(opts),
		// Empty: with HOME the CLI would write a file there, with TEMPORAL_* it would
		// use the user's profile.
		Env: []string{},
		Log: opts.Log,
	})
	if err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		// If the server has died, Stop fails too.
		_ = s.process.Stop()
		return nil, err
	}
	return s, nil
}

// arguments returns the arguments of the development server. New search attributes are
// visible immediately, and the server does not check the Internet for newer versions.
func arguments(opts Options) []string {
	args := []string{
		"server", "start-dev",
		"--ip", loopback,
		"--port", strconv.Itoa(opts.Port),
		"--namespace", opts.Namespace,
		"--dynamic-config-value", "system.forceSearchAttributesCacheRefreshOnRead=true",
		"--dynamic-config-value", "frontend.enableServerVersionCheck=false",
	}
	if opts.Fairness {
		args = append(args, "--dynamic-config-value", "matching.enableFairness=true",
			"--dynamic-config-value", "matching.numTaskqueueWritePartitions=1")
	}
	if opts.UI {
		args = append(args, "--ui-port", strconv.Itoa(opts.UIPort))
	} else {
		args = append(args, "--headless")
	}
	if opts.DBFilename != "" {
		args = append(args, "--db-filename", opts.DBFilename)
	}
	return args
}

// connect waits until the server responds or has ended. After it has ended, another process
// may respond at its address.
func (s *Server) connect(ctx context.Context) error {
	ctx, cancelTimeout := context.WithTimeout(ctx, startTimeout)
	defer cancelTimeout()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.process.Done():
			cancel(s.process.EndedByItself())
		case <-ctx.Done():
		}
	}()
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	for {
		c, err := s.dial(ctx)
		if err == nil {
			s.client = c
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the Temporal server at %s: %w", s.HostPort, context.Cause(ctx))
		case <-retry.C:
		}
	}
}

func (s *Server) dial(ctx context.Context) (client.Client, error) {
	return client.DialContext(ctx, client.Options{
		HostPort:          s.HostPort,
		Namespace:         s.Namespace,
		Logger:            log.NewStructuredLogger(slog.Default()),
		ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{lostquery.Retry()}},
	})
}

// Client returns a client of the server's Namespace. Stop closes it.
func (s *Server) Client() client.Client { return s.client }

// PID returns the ID of the server's process.
func (s *Server) PID() int { return s.process.PID() }

// Stop shuts the server down gracefully, or kills it after 10 seconds. It fails if the
// server had ended before.
func (s *Server) Stop() error {
	s.client.Close()
	return s.process.Stop()
}
