// Package temporalserver starts a real Temporal development server for the demo
// and the tests, on a machine that has none too. The server is the Temporal
// CLI's `temporal server start-dev`: see [Start] for where that comes from.
//
// Package temporaltest, below this one, is what tests use.
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

// startTimeout is what a server may take until it answers. It takes one second
// on an idle machine.
const startTimeout = time.Minute

// Options are the settings of a server. The zero value is a server without a
// user interface, on a free port, that keeps nothing.
type Options struct {
	Namespace string // created before the server answers; empty means "default"
	Port      int    // 0 means a free one

	UI     bool // serve the web user interface too
	UIPort int  // 0 means a free one

	// DBFilename keeps the server's state in that SQLite file, so that a server
	// started later with the same file goes on where this one ended.
	DBFilename string

	// Fairness has accounts take turns, in one partition: each would have turns of its
	// own. With it, Nexus of server 1.29 tells no caller that no worker is there.
	Fairness bool

	// Progress is told about steps that take long; nil means silence.
	Progress func(string)
	// Log receives the server's own log; nil discards it.
	Log io.Writer
}

// Server is a running Temporal server. It does not outlive this process.
type Server struct {
	HostPort  string // of the gRPC front end, for TEMPORAL_ADDRESS
	UIAddress string // "http://127.0.0.1:8233"; empty without a user interface
	Namespace string

	process *childprocess.Process
	client  client.Client
}

// Start runs a Temporal server on 127.0.0.1 and returns when it answers. The
// program is, in this order,
//
//   - the temporal on PATH, unless it is too old for the flags used here;
//   - the one that was downloaded or built before, in the user's cache folder;
//   - downloaded now, if a download answers within 5 seconds;
//   - built now from the module in the cli folder, which takes some minutes.
//
// However many processes ask for it at the same time, one downloads or builds.
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
		// Nothing of ours: with HOME the CLI would leave a file there, with
		// TEMPORAL_* it would take the user's profile into account.
		Env: []string{},
		Log: opts.Log,
	})
	if err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		// That Stop fails too when the server has died is no news.
		_ = s.process.Stop()
		return nil, err
	}
	return s, nil
}

// arguments runs the CLI's development server the way it is documented, and in
// addition makes new search attributes visible at once and keeps the server from
// asking the Internet for newer versions.
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

// connect waits until the server answers or has ended. Once it has ended, whoever
// answers at its address is somebody else.
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
		ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{lostquery.AskAgain()}},
	})
}

// Client is a client of the server's Namespace. Stop closes it.
func (s *Server) Client() client.Client { return s.client }

// PID is the server's process.
func (s *Server) PID() int { return s.process.PID() }

// Stop shuts the server down in good order, or kills it when that takes more
// than 10 seconds. It fails when the server was dead already.
func (s *Server) Stop() error {
	s.client.Close()
	return s.process.Stop()
}
