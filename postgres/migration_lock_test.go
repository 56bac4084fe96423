package postgres

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
)

func TestWaitForAHeldMigrationLockIsReportedAndEnds(t *testing.T) {
	database := postgrestest.NewDatabase(t)
	after, most := reportLockAfter, maxMigrationWait
	t.Cleanup(func() { reportLockAfter, maxMigrationWait = after, most })
	reportLockAfter, maxMigrationWait = time.Second, 3*time.Second
	db, err := Open(database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	holder, err := db.Connx(t.Context())
	require.NoError(t, err)
	_, err = holder.ExecContext(t.Context(), `SET application_name = 'psql'`)
	require.NoError(t, err)
	_, err = holder.ExecContext(t.Context(), `SELECT pg_advisory_lock($1)`, migrationLock)
	require.NoError(t, err)
	var pid int
	require.NoError(t, holder.GetContext(t.Context(), &pid, backendPID))

	var reported []string
	_, err = Migrate(t.Context(), db, func(sentence string) { reported = append(reported, sentence) })
	says := fmt.Sprintf("the migration lock of schema scrapehaul is held by PostgreSQL process %d (psql, user ", pid)
	require.ErrorContains(t, err, "after waiting 3s, "+says)
	require.Len(t, reported, 1)
	require.Contains(t, reported[0], "waiting: "+says)

	_, err = holder.ExecContext(t.Context(), `SELECT pg_advisory_unlock($1)`, migrationLock)
	require.NoError(t, err)
	_, err = Migrate(t.Context(), db)
	require.NoError(t, err)
	require.NoError(t, holder.Close())
}
