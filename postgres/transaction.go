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

// transaction is a transaction and the connection it is on. Statements go
// through the transaction: one through the connection would, when that breaks,
// wait for the transaction's end for ever.
type transaction struct {
	*sqlx.Tx
	conn *sqlx.Conn
	// progress, if it is set, is called several times a minute while a statement runs.
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

// alone runs one statement that changes rows, without a transaction around it. Where that is
// refused because of the defaults of the database, such as another isolation when a row has
// just been changed, it is run again in a transaction.
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

// onConnection runs work on a connection of its own, which is discarded after an
// error: a broken COPY can leave it in any state.
func (s *Store) onConnection(ctx context.Context, work func(*sqlx.Conn) error) error {
	conn, err := s.db.Connx(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
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

// errUnreadable is for an error message that lib/pq does not read: what it makes
// of one is binary, which a history of Temporal cannot hold.
var errUnreadable = errors.New("PostgreSQL has refused it with a message of over 30,000 bytes, which the driver does not read: PostgreSQL's log has it")

// readCommitted is what all transactions rely on, whatever the owner of the database
// or the role has set: after having waited for a lock, they see what was committed
// meanwhile.
var readCommitted = sql.TxOptions{Isolation: sql.LevelReadCommitted}

// inTx runs work in a transaction. The connection can be used again only after
// no error, or after PostgreSQL has refused what a record holds.
func inTx(ctx context.Context, conn *sqlx.Conn, work func(transaction) error) error {
	tx, err := conn.BeginTxx(ctx, &readCommitted)
	if err != nil {
		return err
	}
	if err := work(transaction{Tx: tx, conn: conn}); err != nil {
		// After an error that is not PostgreSQL's, what is still to be read from
		// the connection is unknown, and lib/pq can wait for ever for the answer to
		// ROLLBACK: so it does after an error message of over 30,000 bytes, which it
		// does not read to its end.
		if pq.As(err) == nil {
			hangUp(conn)
			if strings.Contains(err.Error(), "pq: server error: ") {
				err = errUnreadable
			}
		}
		_ = tx.Rollback() // the error says it all
		return err
	}
	return tx.Commit()
}

// hangUp closes the driver's connection, also within a transaction, which
// PostgreSQL rolls back then. discard takes it from the pool.
func hangUp(conn *sqlx.Conn) {
	_ = conn.Raw(func(driverConn any) error {
		if closer, ok := driverConn.(io.Closer); ok {
			_ = closer.Close() // it is given up either way
		}
		return nil // see transaction
	})
}

// doing adds to an error, if there is one, what was being done.
func doing(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}
