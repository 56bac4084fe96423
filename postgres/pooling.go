package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

var errPooledTransactions = errors.New("a pooler in between gives a connection of PostgreSQL away after every transaction: " +
	"set PgBouncer's pool_mode to session, or use the address of PostgreSQL itself or of a pooler of sessions")

const backendPID = `SELECT pg_backend_pid()`

// checkPooling finds a pooler in transaction mode (or in statement mode, which
// refuses transactions): two of our connections then share one of PostgreSQL, or
// one of ours has several. Whatever is set for a session would get lost.
func checkPooling(ctx context.Context, db *sqlx.DB) error {
	shared, err := sharesBackends(ctx, db)
	if shared {
		return errPooledTransactions
	}
	return doing(err, "looking whether a connection is a session")
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
	// A pooler hands out the connection used last, or the one not used for longest.
	for i := range 2 {
		if err := one.GetContext(ctx, &pids[i], backendPID); err != nil {
			return false, err
		}
	}
	tx, err := other.BeginTxx(ctx, nil)
	if err != nil {
		return false, fmt.Errorf("beginning a transaction, which a pooler in statement mode refuses: %w", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	if err := tx.GetContext(ctx, &pids[2], backendPID); err != nil {
		return false, err
	}
	if pids[0] != pids[1] || pids[0] == pids[2] {
		return true, nil // and a pooler of one connection would keep the next one waiting
	}
	if err := one.GetContext(ctx, &pids[3], backendPID); err != nil {
		return false, err
	}
	return pids[0] != pids[3], nil
}
