// Package postgresserver starts a real PostgreSQL server for the demo and tests, even on a
// machine without PostgreSQL: see [Start].
//
// Tests use its subpackage postgrestest.
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

// Options configure a server. The zero value is a server with the durability settings of
// production.
type Options struct {
	// OwnCluster starts a server even if DATABASE_URL names one, for callers that
	// restart it, or must not touch that one.
	OwnCluster bool
	// NoSync makes the started server faster but not durable: it loses its data when
	// the machine loses power. The data is in memory if there is room.
	NoSync bool

	// Progress is called before steps that take long; may be nil.
	Progress func(string)
	// Log receives the server's own log; nil discards it.
	Log io.Writer
}

// Server is a PostgreSQL server in which databases can be created. If Start started it, it
// does not outlive this process.
type Server struct {
	url     *url.URL // of the database to connect to for creating others
	admin   *sql.DB
	cluster *cluster // nil if Start did not start the server

	strategy string // of CREATE DATABASE; empty is the server's own

	mu       sync.Mutex
	leftOver map[string]struct{} // databases created and not dropped yet
}

// Start returns the first PostgreSQL server of:
//
//   - the one that DATABASE_URL names, which must be running;
//   - one started from the installed programs, with a throw-away cluster in a
//     temporary folder;
//   - one started from programs that embedded-postgres downloads.
//
// PostgreSQL does not run as root. For root, the server therefore runs under the account
// postgres, or nobody if that does not exist.
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
	if s.cluster != nil && opts.NoSync {
		// Its checkpoints cost nothing here, and it is four times as fast.
		const strategy = `SELECT CASE WHEN current_setting('server_version_num')::integer >= 150000 THEN ' STRATEGY file_copy' ELSE '' END`
		if err := s.admin.QueryRowContext(ctx, strategy).Scan(&s.strategy); err != nil {
			return nil, errors.Join(fmt.Errorf("reading the version of PostgreSQL: %w", err), s.Stop())
		}
	}
	return s, nil
}

// parseURL parses DATABASE_URL. Its error does not quote the URL, which may have a password.
func parseURL(databaseURL string) (*url.URL, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Host == "" {
		return nil, errors.New("DATABASE_URL must have the form postgres://user:password@host:port/database, " +
			"with special characters of the password percent-encoded")
	}
	return u, nil
}

// ErrNotOurs is returned by Restart for a server that Start did not start.
var ErrNotOurs = errors.New("the PostgreSQL server of DATABASE_URL is not ours to restart")

// Restart stops the server in PostgreSQL's immediate mode, which is like a crash, and starts
// it again at the same address. It returns when the server has recovered.
func (s *Server) Restart(ctx context.Context) error {
	if s.cluster == nil {
		return ErrNotOurs
	}
	return s.cluster.restart(ctx)
}

// Stop drops the remaining databases. If Start started the server, Stop stops it and
// removes its data.
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
