package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// migrationLock is the key of the advisory lock that lets one process at a time migrate:
// "scrapehl" in ASCII.
const migrationLock int64 = 0x7363726170656861

// reportLockAfter is when the wait for the migration lock is reported, maxMigrationWait when it
// fails. Tests change them.
var (
	reportLockAfter  = 5 * time.Second
	maxMigrationWait = 2 * time.Minute
)

const tryMigrationLockEvery = 250 * time.Millisecond

const selectMigrationLockHolder = `
SELECT coalesce((SELECT ` + describeProcess + ` FROM pg_stat_activity
    WHERE pid = (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND classid::bigint = $1::bigint >> 32 AND objid::bigint = $1::bigint & x'ffffffff'::bigint)),
    'a process that has just ended')`

// waitForMigrationLock polls, so that it can report who holds the lock.
func waitForMigrationLock(ctx context.Context, conn *sqlx.Conn, report []func(string)) error {
	started, reported := time.Now(), false
	retry := time.NewTicker(tryMigrationLockEvery)
	defer retry.Stop()
	for {
		var locked bool
		if err := conn.GetContext(ctx, &locked, `SELECT pg_try_advisory_lock($1)`, migrationLock); err != nil {
			return fmt.Errorf("acquiring the migration lock: %w", err)
		}
		waited := time.Since(started)
		if locked {
			return nil
		}
		if !reported && waited >= reportLockAfter || waited >= maxMigrationWait {
			var holder string
			if err := conn.GetContext(ctx, &holder, selectMigrationLockHolder, migrationLock); err != nil {
				return fmt.Errorf("finding the holder of the migration lock: %w", err)
			}
			sentence := fmt.Sprintf("the migration lock of schema scrapehaul is held by PostgreSQL %s: check whether it is migrating or hangs; pg_terminate_backend ends it", holder)
			if waited >= maxMigrationWait {
				return fmt.Errorf("after waiting %s, %s", maxMigrationWait, sentence)
			}
			reported = true
			for _, r := range report {
				r("waiting: " + sentence)
			}
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
