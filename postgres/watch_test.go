package postgres

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
)

func TestWaitForALockEndsByItselfAndNamesWhoHoldsIt(t *testing.T) {
	database, most := postgrestest.NewDatabase(t), maxLockWait
	t.Cleanup(func() { maxLockWait = most })
	maxLockWait = 5 * time.Second
	db, err := Open(database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.MustExec(`CREATE TABLE locked ()`)
	tx, err := db.Beginx()
	require.NoError(t, err)
	tx.MustExec(`LOCK TABLE locked`)

	_, err = db.ExecContext(t.Context(), `DROP TABLE locked`)
	require.ErrorContains(t, err, "waiting for a lock of PostgreSQL's process ")
	require.NoError(t, tx.Commit())
	db.MustExec(`DROP TABLE locked`)
}
