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
	// connectTimeout is for each host, unless the URL says another one.
	connectTimeout = 10 * time.Second
	// answerWithin is how long PostgreSQL has to answer to a statement whose
	// context is over. lib/pq itself would wait for ever.
	answerWithin = 3 * time.Second
	// maxLifetime lets the pool follow a server that has moved.
	maxLifetime = 30 * time.Minute
	maxIdleTime = 5 * time.Minute
)

// Open returns a pool of connections to the database of that URL, which are made
// when they are needed. It is what a [Store] wants: its connections end with the
// context of a statement even if nobody answers, lift the timeouts that are set for
// the role or the database, and lead to a server that may be written to. Beyond the
// limits of the pool there is one more while a statement takes long.
func Open(databaseURL string) (*sqlx.DB, error) {
	to, err := parseDatabaseURL(databaseURL)
	if err != nil {
		return nil, err
	}
	monitor := sql.OpenDB(&connector{target: to})
	monitor.SetMaxOpenConns(1)
	monitor.SetMaxIdleConns(-1) // a new connection each time: others may be silent too
	db := sql.OpenDB(&connector{target: to, monitor: monitor})
	db.SetConnMaxLifetime(maxLifetime)
	db.SetConnMaxIdleTime(maxIdleTime)
	return sqlx.NewDb(db, "postgres"), nil
}

// connector makes the connections of a pool.
type connector struct {
	target target
	// monitor tells what the server knows of a connection; nil for the monitor.
	monitor *sql.DB
	// generation counts when connections have turned out to be silent or read-only:
	// all others of that time are then discarded as well.
	generation atomic.Int64
}

func (c *connector) Driver() driver.Driver { return &pq.Driver{} }

// Close is called with that of the pool.
func (c *connector) Close() error {
	if c.monitor == nil {
		return nil
	}
	return c.monitor.Close()
}

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	generation := c.generation.Load()
	sockets := &sockets{dialer: c.target.tcp.dialer()}
	// lib/pq looks at the context only while it dials.
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

// sockets are those of one connection: its own, and one for each request to
// cancel what it does, which lib/pq makes when a context is over.
type sockets struct {
	pq.Dialer // nil: lib/pq dials with a context where it can
	dialer    *net.Dialer
	connected atomic.Bool // the first one is

	mu      sync.Mutex
	own     net.Conn
	expires time.Time

	moved atomic.Int64 // when the own one has last sent or received, in Unix nanoseconds
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

// quiet is how long the connection has neither sent nor received.
func (s *sockets) quiet() time.Duration { return time.Since(time.Unix(0, s.moved.Load())) }

// maxWrite is more than lib/pq sends of a COPY at a time.
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

// Write sends a piece at a time: a long statement over a slow network is not quiet.
func (o ownSocket) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		var sent int
		sent, err = o.Conn.Write(p[:min(len(p), maxWrite)])
		n, p = n+sent, p[sent:]
		o.of.moved.Store(time.Now().UnixNano())
	}
	return n, err
}

// expireIn ends the connection after that time, or when it has been told to end before.
func (s *sockets) expireIn(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := time.Now().Add(d); s.expires.IsZero() || at.Before(s.expires) {
		s.expires = at
	}
	if s.own != nil {
		_ = s.own.SetDeadline(s.expires) // a closed one needs none
	}
}

// hangUp ends what waits for the other side.
func (s *sockets) hangUp() { s.expireIn(0) }

// ends says that the connection has been told to end, and expired that the time to
// answer is over.
func (s *sockets) ends() (ends, expired bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ends = !s.expires.IsZero()
	return ends, ends && !time.Now().Before(s.expires)
}

// pqConn is what a connection of lib/pq can do.
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
