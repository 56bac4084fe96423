package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

var errPooledTransactions = errors.New("a connection pooler switches PostgreSQL connections after every transaction: " +
	"set PgBouncer's pool_mode to session, or connect to PostgreSQL itself or to a session pooler")

const backendPID = `SELECT pg_backend_pid()`

// checkPooling detects a pooler in transaction mode (or in statement mode, which refuses
// transactions): two of our connections share one of PostgreSQL's, or one of ours uses several.
// Session settings would get lost.
func checkPooling(ctx context.Context, db *sqlx.DB) error {
	shared, err := sharesBackends(ctx, db)
	if shared {
		return errPooledTransactions
	}
	return doing(err, "checking whether a pooler keeps sessions")
}

func sharesBackends(ctx context.Context, db *sqlx.DB) (shared bool, err error) {
	var pids [4]int64
	one, err := db.Connx(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, one.Close()) }()
	other, err := db.Connx(ctx)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, other.Close()) }()
	// A pooler hands out either the most or the least recently used connection.
	for i := range 2 {
		if err := one.GetContext(ctx, &pids[i], backendPID); err != nil {
			return false, err
		}
	}
	tx, err := other.BeginTxx(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("starting a transaction, which a pooler in statement mode refuses: %w", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	if err := tx.GetContext(ctx, &pids[2], backendPID); err != nil {
		return false, err
	}
	if pids[0] != pids[1] || pids[0] == pids[2] {
		return true, nil // a pooler with a single connection would block the next query
	}
	if err := one.GetContext(ctx, &pids[3], backendPID); err != nil {
		return false, err
	}
	return pids[0] != pids[3], nil
}
