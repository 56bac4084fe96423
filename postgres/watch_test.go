package postgres

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
)

// askOften makes the monitor ask more often, and limits the wait for locks.
func askOften(t *testing.T, most time.Duration) *sqlx.DB {
	t.Helper()
	after, every, before := askAfter, askEvery, maxLockWait
	t.Cleanup(func() { askAfter, askEvery, maxLockWait = after, every, before })
	askAfter, askEvery, maxLockWait = 100*time.Millisecond, 200*time.Millisecond, most
	db, err := Open(postgrestest.NewDatabase(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.MustExec(`CREATE TABLE locked ()`)
	return db
}

func TestWaitForALockTimesOutAndNamesItsHolder(t *testing.T) {
	db := askOften(t, time.Second)
	tx, err := db.Beginx()
	require.NoError(t, err)
	tx.MustExec(`LOCK TABLE locked`)

	_, err = db.ExecContext(t.Context(), `DROP TABLE locked`)
	require.ErrorContains(t, err, "waiting for a lock held by PostgreSQL process ")
	require.NoError(t, tx.Commit())
	db.MustExec(`DROP TABLE locked`)
}

func TestWaitForALockNamesTheHeadOfTheQueue(t *testing.T) {
	db := askOften(t, 2*time.Second)
	tx, err := db.Beginx()
	require.NoError(t, err)
	tx.MustExec(`SET LOCAL application_name = 'a person'`)
	tx.MustExec(`LOCK TABLE locked`)
	ended := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := db.Exec(`DROP TABLE locked`)
			ended <- err
		}()
	}
	for range 2 {
		err := <-ended
		require.ErrorContains(t, err, "(a person, ")
		require.NotContains(t, err.Error(), ", process ", "no waiting process")
	}
	require.NoError(t, tx.Commit())
}

func TestLongStatementMayWaitForLocksFromTimeToTime(t *testing.T) {
	db := askOften(t, 3*time.Second)
	tx, err := db.Beginx()
	require.NoError(t, err)
	tx.MustExec(`LOCK TABLE locked`)
	ended := make(chan error, 1)
	go func() {
		_, err := db.Exec(`SELECT pg_sleep(3); LOCK TABLE locked; SELECT 1 / 0`)
		ended <- err
	}()
	require.Eventually(t, func() bool {
		var waits bool
		err := db.Get(&waits, `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'locked'::regclass AND NOT granted)`)
		return err == nil && waits
	}, time.Minute, 10*time.Millisecond)
	tx.MustExec(`SELECT pg_sleep(1)`) // the monitor asks in the meantime
	require.NoError(t, tx.Commit())
	err = <-ended
	require.ErrorContains(t, err, "division by zero")
	require.NotContains(t, err.Error(), "waiting for a lock", "it has the lock")
}

func TestLongStatementOverASlowNetworkIsNotQuiet(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	s := &sockets{}
	written := make(chan error, 1)
	go func() {
		_, err := ownSocket{client, s}.Write(make([]byte, 2*maxWrite))
		written <- err
	}()
	_, err := io.ReadFull(server, make([]byte, maxWrite+1))
	require.NoError(t, err)
	require.Less(t, s.quiet(), time.Minute)
	_, err = io.ReadFull(server, make([]byte, maxWrite-1))
	require.NoError(t, err)
	require.NoError(t, <-written)
}
