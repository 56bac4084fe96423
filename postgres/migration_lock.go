package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// migrationLock is the key of the advisory lock that lets one process migrate
// at a time: "scrapehl" in ASCII.
const migrationLock int64 = 0x7363726170656861

// reportLockAfter is when the wait for the migration lock is reported, maxMigrationWait
// when it ends; variables for the tests.
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

// waitForMigrationLock asks for it again and again, so that it can say in between
// who holds it.
func waitForMigrationLock(ctx context.Context, conn *sqlx.Conn, report []func(string)) error {
	started, reported := time.Now(), false
	retry := time.NewTicker(tryMigrationLockEvery)
	defer retry.Stop()
	for {
		var locked bool
		if err := conn.GetContext(ctx, &locked, `SELECT pg_try_advisory_lock($1)`, migrationLock); err != nil {
			return fmt.Errorf("asking for the migration lock: %w", err)
		}
		waited := time.Since(started)
		if locked {
			return nil
		}
		if !reported && waited >= reportLockAfter || waited >= maxMigrationWait {
			var holder string
			if err := conn.GetContext(ctx, &holder, selectMigrationLockHolder, migrationLock); err != nil {
				return fmt.Errorf("asking who holds the migration lock: %w", err)
			}
			sentence := fmt.Sprintf("the migration lock of schema scrapehaul is held by PostgreSQL's %s: see whether it migrates or hangs; pg_terminate_backend ends it", holder)
			if waited >= maxMigrationWait {
				return fmt.Errorf("after %s of waiting, %s", maxMigrationWait, sentence)
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
