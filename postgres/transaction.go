package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// transaction is a transaction and its connection. Statements must go through the transaction:
// on a broken connection, a statement through conn would wait forever for the transaction's
// end.
type transaction struct {
	*sqlx.Tx
	conn *sqlx.Conn
	// progress, if set, is called several times a minute while a statement runs.
	progress func()
}

// inTx runs work in a transaction on a connection of its own.
func (s *Store) inTx(ctx context.Context, work func(transaction) error) error {
	return s.onConnection(ctx, func(conn *sqlx.Conn) error { return inTx(ctx, conn, work) })
}

// session is a connection, or a transaction on one.
type session interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	GetContext(ctx context.Context, into any, query string, args ...any) error
}

// alone runs one statement that changes rows, without an explicit transaction. If that fails
// because of the database's defaults, such as a stricter isolation when a row has just changed,
// it retries in a transaction.
func (s *Store) alone(ctx context.Context, run func(session) error) error {
	err := s.onConnection(ctx, func(conn *sqlx.Conn) error { return run(conn) })
	if pq.As(err, pqerror.TRSerializationFailure, pqerror.ReadOnlySQLTransaction) != nil {
		err = s.inTx(ctx, func(tx transaction) error { return run(tx) })
	}
	return err
}

// exec runs one statement that changes rows.
func (s *Store) exec(ctx context.Context, statement string, args ...any) (result sql.Result, err error) {
	err = s.alone(ctx, func(on session) (err error) {
		result, err = on.ExecContext(ctx, statement, args...)
		return err
	})
	return result, err
}

// onConnection runs work on a connection of its own. It discards the connection after an error,
// because a failed COPY can leave it in any state.
func (s *Store) onConnection(ctx context.Context, work func(*sqlx.Conn) error) error {
	conn, err := s.db.Connx(ctx)
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	if err := work(conn); err != nil {
		_ = discard(conn)
		return err
	}
	return conn.Close()
}

// discard closes the connection instead of returning it to the pool.
func discard(conn *sqlx.Conn) error {
	err := conn.Raw(func(any) error { return driver.ErrBadConn })
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

// errUnreadable replaces error messages that lib/pq cannot read. It returns those as binary data,
// which a Temporal history cannot hold.
var errUnreadable = errors.New("PostgreSQL refused it with a message of over 30,000 bytes, which the driver cannot read: see PostgreSQL's log")

// readCommitted is the isolation that all transactions need, whatever the default of database or
// role: after waiting for a lock, they must see what was committed in the meantime.
var readCommitted = sql.TxOptions{Isolation: sql.LevelReadCommitted}

// inTx runs work in a transaction. The connection can be reused only if there was no error, or if
// PostgreSQL refused a record's content.
func inTx(ctx context.Context, conn *sqlx.Conn, work func(transaction) error) error {
	tx, err := conn.BeginTxx(ctx, &readCommitted)
	if err != nil {
		return err
	}
	if err := work(transaction{Tx: tx, conn: conn}); err != nil {
		// After an error that is not PostgreSQL's, the connection may have unread data, and
		// lib/pq could wait forever for the response to ROLLBACK. It does so after an error
		// message of over 30,000 bytes, which it does not read to its end.
		if pq.As(err) == nil {
			hangUp(conn)
			if strings.Contains(err.Error(), "pq: server error: ") {
				err = errUnreadable
			}
		}
		_ = tx.Rollback() // err matters more
		return err
	}
	return tx.Commit()
}

// hangUp closes the driver's connection, even in a transaction, which PostgreSQL then rolls back.
// discard removes it from the pool.
func hangUp(conn *sqlx.Conn) {
	_ = conn.Raw(func(driverConn any) error {
		if closer, ok := driverConn.(io.Closer); ok {
			_ = closer.Close() // it is discarded either way
		}
		return nil // see transaction
	})
}

// doing wraps an error, if there is one, with what was being done.
func doing(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}
