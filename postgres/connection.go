package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// connection watches the statements of a lib/pq connection.
type connection struct {
	pqConn
	of         *connector
	sockets    *sockets
	generation int64
	pid        int64
	unusable   atomic.Bool
	// prepared are the statements of everyImport used so far.
	prepared map[string]driver.Stmt
}

// everyImport are statements that every import runs and whose plan does not depend on their
// arguments: they find rows by key. Each connection prepares them on first use. After that
// they take one round trip instead of two, and PostgreSQL neither parses nor plans them,
// which is most of its work in a small import.
var everyImport = setOf(selectJobImports, lockScrapingJob, takeOver, insertImport, nameConnection, advanceCheckpoint,
	preparePublishing, setPublished, notify, shareView, selectUnneeded, selectPublishedOfJobs, selectLastOfSitemap, selectPublication,
	setAnnounced, setCloudDeleted, takeCalls, returnCalls)

func setOf(statements ...string) map[string]bool {
	set := map[string]bool{}
	for _, statement := range statements {
		set[statement] = true
	}
	return set
}

// beginSession lifts PostgreSQL's timeouts: imports take long, and their heartbeat timeout
// ends them. pg_settings lacks those that the version does not have. PgBouncer would refuse
// startup parameters for this.
const beginSession = `
SELECT pg_backend_pid(), pg_is_in_recovery(),
       (SELECT count(set_config(name, '0', false)) FROM pg_settings
        WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')
          AND setting <> '0')`

// ErrReadOnly is returned for a server that may lack the latest publications: a standby, or
// a former primary that was made read-only.
var ErrReadOnly = errors.New("the server is a standby or read-only: imports need the primary server")

// begin sets up the session.
func (c *connection) begin(ctx context.Context) error {
	rows, err := c.pqConn.QueryContext(ctx, beginSession, nil)
	if err != nil {
		return fmt.Errorf("starting a session: %w", err)
	}
	values := make([]driver.Value, len(rows.Columns()))
	if err := errors.Join(rows.Next(values), rows.Close()); err != nil {
		return fmt.Errorf("starting a session: %w", err)
	}
	c.pid, _ = values[0].(int64)
	if values[1] != false {
		return ErrReadOnly
	}
	return nil
}

func (c *connection) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	w := c.watch()
	var result driver.Result
	statement, err := c.statement(ctx, query)
	switch {
	case err != nil:
	case statement == nil:
		result, err = c.pqConn.ExecContext(ctx, query, args)
	default:
		result, err = statement.(driver.StmtExecContext).ExecContext(ctx, args)
	}
	return result, c.ended(w, query, err)
}

func (c *connection) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	w := c.watch()
	var rows driver.Rows
	statement, err := c.statement(ctx, query)
	switch {
	case err != nil:
	case statement == nil:
		rows, err = c.pqConn.QueryContext(ctx, query, args)
	default:
		rows, err = statement.(driver.StmtQueryContext).QueryContext(ctx, args)
	}
	return rows, c.ended(w, query, err)
}

// statement returns the prepared statement, or nil for a query that is not prepared.
func (c *connection) statement(ctx context.Context, query string) (driver.Stmt, error) {
	if prepared, ok := c.prepared[query]; ok || !everyImport[query] {
		return prepared, nil
	}
	prepared, err := c.pqConn.PrepareContext(ctx, query)
	if err == nil {
		if c.prepared == nil {
			c.prepared = map[string]driver.Stmt{}
		}
		c.prepared[query] = prepared
	}
	return prepared, err
}

// ended drops a prepared statement after an error, which may be its fault, for example
// after a schema change.
func (c *connection) ended(w *watch, query string, err error) error {
	if err != nil {
		delete(c.prepared, query)
	}
	return w.end(err)
}

func (c *connection) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	w := c.watch()
	statement, err := c.pqConn.PrepareContext(ctx, query)
	return statement, w.end(err)
}

func (c *connection) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	w := c.watch()
	tx, err := c.pqConn.BeginTx(ctx, options)
	return tx, w.end(err)
}

// note handles errors that affect the entire connection.
func (c *connection) note(err error) {
	if pq.As(err, pqerror.ReadOnlySQLTransaction) != nil {
		c.unusable.Store(true)
		c.of.generation.Add(1)
	}
}

func (c *connection) IsValid() bool {
	ends, _ := c.sockets.ends()
	return !ends && !c.unusable.Load() && c.generation == c.of.generation.Load() && c.pqConn.IsValid()
}

func (c *connection) ResetSession(ctx context.Context) error {
	if !c.IsValid() {
		return driver.ErrBadConn
	}
	return c.pqConn.ResetSession(ctx)
}

// Close never waits for the server.
func (c *connection) Close() error {
	if _, expired := c.sockets.ends(); expired {
		c.of.generation.Add(1) // other connections may be dead, too
	}
	c.sockets.expireIn(answerWithin)
	return c.pqConn.Close()
}
