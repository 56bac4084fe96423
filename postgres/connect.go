package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

const (
	// connectTimeout applies per host, unless the URL sets another.
	connectTimeout = 10 * time.Second
	// answerWithin is how long PostgreSQL has to answer once a statement's context is done.
	// lib/pq itself would wait forever.
	answerWithin = 3 * time.Second
	// maxLifetime makes the pool follow a server that has moved.
	maxLifetime = 30 * time.Minute
	maxIdleTime = 5 * time.Minute
)

// Open returns a connection pool for a [Store]. It connects on demand. A connection ends
// with the context of its statement even if the server does not answer, lifts timeouts set
// for the role or the database, and only accepts a server that can be written to. While a
// statement takes long, one more connection is open than the limits of the pool allow.
func Open(databaseURL string) (*sqlx.DB, error) {
	if databaseURL == "" {
		return nil, errors.New("the database URL is empty" + wantDatabaseURL)
	}
	to, err := parseDatabaseURL(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("the database URL %w", err)
	}
	monitor := sql.OpenDB(&connector{target: to})
	monitor.SetMaxOpenConns(1)
	monitor.SetMaxIdleConns(-1) // always a new connection: an idle one may be dead
	db := sql.OpenDB(&connector{target: to, monitor: monitor})
	db.SetConnMaxLifetime(maxLifetime)
	db.SetConnMaxIdleTime(maxIdleTime)
	return sqlx.NewDb(db, "postgres"), nil
}

// connector opens the connections of a pool.
type connector struct {
	target target
	// monitor asks the server about a connection; nil for the monitor's own connector.
	monitor *sql.DB
	// generation increases when a connection turns out to be dead or read-only. Connections
	// of earlier generations are discarded.
	generation atomic.Int64
}

func (c *connector) Driver() driver.Driver { return &pq.Driver{} }

// Close is called when the pool is closed.
func (c *connector) Close() error {
	if c.monitor == nil {
		return nil
	}
	return c.monitor.Close()
}

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	generation := c.generation.Load()
	sockets := &sockets{dialer: c.target.tcp.dialer()}
	// lib/pq honors the context only while dialing.
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(c.target.config.Multi)+2)*c.target.config.ConnectTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, sockets.hangUp)
	defer stop()
	connect, err := pq.NewConnectorConfig(c.target.config)
	if err != nil {
		return nil, err
	}
	connect.Dialer(sockets)
	conn, err := connect.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := conn.(pqConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("lib/pq's connection is a %T", conn), conn.Close())
	}
	connection := &connection{pqConn: full, of: c, sockets: sockets, generation: generation}
	sockets.connected.Store(true)
	if err := connection.begin(ctx); err != nil {
		return nil, errors.Join(err, connection.Close())
	}
	if !stop() {
		return nil, errors.Join(context.Cause(ctx), connection.Close())
	}
	return connection, nil
}

// sockets are those of one connection: its own, and one per cancel request, which lib/pq
// sends when a context is done.
type sockets struct {
	pq.Dialer // nil: lib/pq prefers DialContext
	dialer    *net.Dialer
	connected atomic.Bool // the connection's own socket

	mu      sync.Mutex
	own     net.Conn
	expires time.Time

	moved atomic.Int64 // when own last sent or received, in Unix nanoseconds
}

var _ pq.DialerContext = (*sockets)(nil)

func (s *sockets) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	toCancel := s.connected.Load()
	if toCancel {
		s.expireIn(answerWithin)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, answerWithin)
		defer cancel()
	}
	socket, err := s.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if toCancel {
		return socket, nil // connect_timeout ends it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own = socket
	return ownSocket{socket, s}, nil
}

// quiet returns for how long the connection has neither sent nor received.
func (s *sockets) quiet() time.Duration { return time.Since(time.Unix(0, s.moved.Load())) }

// maxWrite is more than lib/pq sends at a time in a COPY.
const maxWrite = 128 << 10

type ownSocket struct {
	net.Conn
	of *sockets
}

func (o ownSocket) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	o.of.moved.Store(time.Now().UnixNano())
	return n, err
}

// Write sends in pieces, so that a long statement over a slow network is not quiet.
func (o ownSocket) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		var sent int
		sent, err = o.Conn.Write(p[:min(len(p), maxWrite)])
		n, p = n+sent, p[sent:]
		o.of.moved.Store(time.Now().UnixNano())
	}
	return n, err
}

// expireIn ends the connection after d, unless it already ends earlier.
func (s *sockets) expireIn(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := time.Now().Add(d); s.expires.IsZero() || at.Before(s.expires) {
		s.expires = at
	}
	if s.own != nil {
		_ = s.own.SetDeadline(s.expires) // fails only if closed
	}
}

// hangUp ends all reads and writes.
func (s *sockets) hangUp() { s.expireIn(0) }

// ends reports whether the connection has a deadline, and whether that has passed.
func (s *sockets) ends() (ends, expired bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ends = !s.expires.IsZero()
	return ends, ends && !time.Now().Before(s.expires)
}

// pqConn is the interface of lib/pq's connection.
type pqConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}
