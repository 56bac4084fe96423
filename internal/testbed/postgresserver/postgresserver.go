// Package postgresserver starts a real PostgreSQL server for the demo and the
// tests, on a machine that has none too: see [Start] for where that comes from.
//
// Package postgrestest, below this one, is what tests use.
package postgresserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"sync"

	_ "github.com/lib/pq" // the driver "postgres"
)

// Options are the settings of a server. The zero value is a server with the
// durable settings of a production server.
type Options struct {
	// OwnCluster starts a server even if DATABASE_URL names one, for callers that
	// restart it.
	OwnCluster bool
	// NoSync makes the server we start faster and lets it lose everything when the
	// machine loses power, which tests can live with. Where there is room, its
	// data are in memory.
	NoSync bool

	// Progress is told about steps that take long; nil means silence.
	Progress func(string)
	// Log receives the server's own log; nil discards it.
	Log io.Writer
}

// Server is a PostgreSQL server in which databases can be created. If we started
// it, it does not outlive this process.
type Server struct {
	url     *url.URL // of a database to which to connect for creating others
	admin   *sql.DB
	cluster *cluster // nil if the server is not ours

	mu       sync.Mutex
	leftOver map[string]struct{} // databases created and not dropped yet
}

// Start returns a PostgreSQL server, which is, in this order,
//
//   - the one that DATABASE_URL names, which is not started but only used;
//   - one started from the installed programs, with a throw-away cluster in a
//     temporary folder;
//   - one started from programs that embedded-postgres downloads.
//
// PostgreSQL refuses to run as root. For root the server therefore runs under
// the account postgres, or nobody where that does not exist.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if opts.Progress == nil {
		opts.Progress = func(string) {}
	}
	s := &Server{leftOver: map[string]struct{}{}}
	var err error
	if databaseURL := os.Getenv("DATABASE_URL"); databaseURL != "" && !opts.OwnCluster {
		s.url, err = parseURL(databaseURL)
	} else if s.cluster, err = startCluster(ctx, opts); err == nil {
		s.url = s.cluster.url()
	}
	if err != nil {
		return nil, err
	}
	s.admin, err = sql.Open("postgres", s.url.String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("PostgreSQL at %s: %w", s.url.Host, err), s.stopCluster())
	}
	if err := s.admin.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connecting to PostgreSQL at %s: %w", s.url.Host, err), s.Stop())
	}
	return s, nil
}

// parseURL says nothing of what it could not parse: that may be the password.
func parseURL(databaseURL string) (*url.URL, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" {
		return nil, errors.New("DATABASE_URL must have the form postgres://user:password@host:port/database, " +
			"with special characters of the password percent-encoded")
	}
	return u, nil
}

// ErrNotOurs is returned by Restart for a server that we did not start.
var ErrNotOurs = errors.New("the PostgreSQL server of DATABASE_URL is not ours to restart")

// Restart ends the server in PostgreSQL's immediate mode, as a crash would, and
// starts it again at the same address. It returns when the server has recovered.
func (s *Server) Restart(ctx context.Context) error {
	if s.cluster == nil {
		return ErrNotOurs
	}
	return s.cluster.restart(ctx)
}

// Stop drops the databases that are left and ends the server if we started it,
// which removes all its data.
func (s *Server) Stop() error {
	var err error
	if s.cluster == nil {
		err = s.dropLeftOver()
	}
	return errors.Join(err, s.admin.Close(), s.stopCluster())
}

func (s *Server) stopCluster() error {
	if s.cluster == nil {
		return nil
	}
	return s.cluster.stop()
}
