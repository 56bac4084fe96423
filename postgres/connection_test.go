package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
)

// lib/pq does not read error messages of over 30,000 bytes to their end, and takes the rest
// for the next message.
func TestTransactionEndsAfterAnErrorTooLongForTheDriver(t *testing.T) {
	t.Parallel()
	db, err := sqlx.Open("postgres", postgrestest.NewDatabase(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	store := &Store{db: db}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	for bytes, says := range map[int]string{
		100: "invalid input syntax", 30_001: "see PostgreSQL's log", 1_000_000: "see PostgreSQL's log",
	} {
		ended := make(chan error, 1)
		go func() {
			ended <- store.onConnection(ctx, func(conn *sqlx.Conn) error {
				return inTx(ctx, conn, func(tx transaction) error {
					_, err := tx.ExecContext(ctx, `SELECT repeat('x', $1)::int`, bytes)
					return err
				})
			})
		}()
		select {
		case err := <-ended:
			require.ErrorContains(t, err, says, "%d bytes", bytes)
		case <-ctx.Done():
			t.Fatalf("after an error of %d bytes the transaction does not end", bytes)
		}
		var one int
		require.NoError(t, db.GetContext(ctx, &one, `SELECT 1`), "the pool, after an error of %d bytes", bytes)
	}
}
