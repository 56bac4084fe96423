package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/scrapehaul/scrapehaul/sink"
)

const selectUnfinishedImports = `
SELECT import_id, scrapingjob_id, workflow_run_id, started_at
FROM scrapehaul.imports
WHERE state = 'importing'
ORDER BY import_id`

// UnfinishedImports returns all unfinished imports, the oldest first.
func (s *Store) UnfinishedImports(ctx context.Context) ([]sink.UnfinishedImport, error) {
	var imports []sink.UnfinishedImport
	if err := s.db.SelectContext(ctx, &imports, selectUnfinishedImports); err != nil {
		return nil, fmt.Errorf("listing the unfinished imports: %w", err)
	}
	return imports, nil
}

const selectUnfinishedJob = `
SELECT scrapingjob_id FROM scrapehaul.imports WHERE import_id = $1 AND state = 'importing'`

const abandonUnfinished = `
UPDATE scrapehaul.imports SET state = 'abandoned' WHERE import_id = $1 AND state = 'importing'`

// AbandonImport abandons an import whatever attempt holds it. A connection of that
// attempt which hangs in a transaction is ended. The records are removed by
// [Store.RemoveUnneeded]; see [sink.RecordSink].
func (s *Store) AbandonImport(ctx context.Context, importID int64) error {
	doing := func(err error) error {
		return fmt.Errorf("abandoning unfinished import %d: %w", importID, err)
	}
	var scrapingJobID int64
	err := s.db.GetContext(ctx, &scrapingJobID, selectUnfinishedJob, importID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return doing(err)
	}
	// One that hangs after its mark holds the lock on the import's row.
	if _, err := s.db.ExecContext(ctx, terminateAttempts, applicationName(scrapingJobID)); err != nil {
		return doing(err)
	}
	if _, err := s.db.ExecContext(ctx, abandonUnfinished, importID); err != nil {
		return doing(err)
	}
	return nil
}

const selectJobsWithUnneeded = `
SELECT DISTINCT scrapingjob_id FROM scrapehaul.imports
WHERE state IN ('replaced', 'abandoned') AND records_removed_at IS NULL
UNION
SELECT scrapingjob_id FROM scrapehaul.imports
WHERE state <> 'importing' AND 'mapped_rows_' || import_id IN (
    SELECT relname FROM pg_class WHERE relnamespace = 'scrapehaul'::regnamespace AND relkind = 'r' AND relname LIKE 'mapped\_rows\_%')
ORDER BY scrapingjob_id`

// JobsWithUnneededRecords returns the IDs of the scraping jobs for which
// [Store.RemoveUnneeded] has something to do, in ascending order.
func (s *Store) JobsWithUnneededRecords(ctx context.Context) ([]int64, error) {
	var scrapingJobIDs []int64
	if err := s.db.SelectContext(ctx, &scrapingJobIDs, selectJobsWithUnneeded); err != nil {
		return nil, fmt.Errorf("listing the scraping jobs with unneeded records: %w", err)
	}
	return scrapingJobIDs, nil
}
