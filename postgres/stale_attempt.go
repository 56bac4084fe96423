package postgres

import (
	"context"
	"fmt"
)

// applicationName identifies the connections that write a scraping job's import, for
// terminateAttempts and in pg_stat_activity.
func applicationName(scrapingJobID int64) string {
	return fmt.Sprintf("scrapehaul import of scraping job %d", scrapingJobID)
}

const terminateAttempts = `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = $1 AND datname = current_database() AND pid <> pg_backend_pid()
  AND (pg_has_role(usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))
  AND ((SELECT rolsuper FROM pg_roles WHERE oid = usesysid) <= (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))`

// After SET ROLE, a role may lack the privilege to terminate sessions of its login role.
const becomeSessionUser = `SET LOCAL ROLE NONE`

// terminateAttempts terminates the connections of earlier attempts, whatever their role.
func (s *Store) terminateAttempts(ctx context.Context, scrapingJobID int64) error {
	return s.inTx(ctx, func(tx transaction) error {
		if _, err := tx.ExecContext(ctx, becomeSessionUser); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, terminateAttempts, applicationName(scrapingJobID))
		return err
	})
}
