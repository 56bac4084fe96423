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

// UnfinishedImports returns all unfinished imports, oldest first.
func (s *Store) UnfinishedImports(ctx context.Context) (imports []sink.UnfinishedImport, err error) {
	err = s.db.SelectContext(ctx, &imports, selectUnfinishedImports)
	return imports, doing(err, "listing the unfinished imports")
}

const selectUnfinishedJob = `
SELECT scrapingjob_id FROM scrapehaul.imports WHERE import_id = $1 AND state = 'importing'`

const abandonUnfinished = `
UPDATE scrapehaul.imports SET state = 'abandoned' WHERE import_id = $1 AND state = 'importing'`

// AbandonImport abandons an unfinished import, whichever attempt works on it, and terminates
// the connections of that attempt. [Store.RemoveUnneeded] removes the records; see
// [sink.RecordSink].
func (s *Store) AbandonImport(ctx context.Context, importID int64) error {
	var scrapingJobID int64
	err := s.db.GetContext(ctx, &scrapingJobID, selectUnfinishedJob, importID)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil { // a hanging attempt may hold the lock on the import's row
		err = s.terminateAttempts(ctx, scrapingJobID)
	}
	if err == nil {
		_, err = s.exec(ctx, abandonUnfinished, importID)
	}
	return doing(err, "abandoning unfinished import %d", importID)
}

const selectJobsWithUnneeded = `
SELECT DISTINCT scrapingjob_id FROM scrapehaul.imports
WHERE state IN ('replaced', 'abandoned', 'removed') AND records_removed_at IS NULL
UNION
SELECT scrapingjob_id FROM scrapehaul.imports
WHERE state <> 'importing' AND 'mapped_rows_' || import_id IN (
    SELECT relname FROM pg_class WHERE relnamespace = 'scrapehaul'::regnamespace AND relkind = 'r' AND relname LIKE 'mapped\_rows\_%')
ORDER BY scrapingjob_id`

// JobsWithUnneededRecords returns the IDs of the scraping jobs that have records for
// [Store.RemoveUnneeded] to remove, in ascending order.
func (s *Store) JobsWithUnneededRecords(ctx context.Context) (scrapingJobIDs []int64, err error) {
	err = s.db.SelectContext(ctx, &scrapingJobIDs, selectJobsWithUnneeded)
	return scrapingJobIDs, doing(err, "listing the scraping jobs with unneeded records")
}

// Publishing leaves the held rows behind if another session was reading them.
const selectUnneeded = `
SELECT import_id, records, holding FROM (
    SELECT import_id, state IN ('replaced', 'abandoned', 'removed') AND records_removed_at IS NULL AS records,
           mapping <> '' AND to_regclass('scrapehaul.mapped_rows_' || import_id) IS NOT NULL AS holding
    FROM scrapehaul.imports WHERE scrapingjob_id = $1 AND state <> 'importing'
) AS import WHERE records OR holding ORDER BY import_id`

// deleteRecordsBatch works on one of the tables with records of an import. It deletes a range
// of numbers, which uses the key whatever the statistics: for an import newer than the last
// ANALYZE the planner expects one record, and would compare a list of numbers with all
// records.
const deleteRecordsBatch = `
WITH batch AS (
    SELECT max(record_number) AS last FROM (
        SELECT record_number FROM %[1]s
        WHERE import_id = $1 AND record_number > $2 ORDER BY record_number LIMIT $3) AS numbers
), deleted AS (
    DELETE FROM %[1]s WHERE import_id = $1 AND record_number > $2 AND record_number <= (SELECT last FROM batch)
)
SELECT last FROM batch`

// removeBatchRecords is how many records one transaction removes. It takes a few tenths of a
// second, so that readers and vacuum never wait long.
const removeBatchRecords = 20_000

const setRemoved = `UPDATE scrapehaul.imports SET records_removed_at = now() WHERE import_id = $1`

// RemoveUnneeded removes the records of a scraping job's replaced, abandoned and removed
// imports, in batches. Their rows in scrapehaul.imports stay as history. It calls progress
// with the number of records processed so far.
func (s *Store) RemoveUnneeded(ctx context.Context, scrapingJobID int64, progress func(records int64)) error {
	var imports []struct {
		ID               int64 `db:"import_id"`
		Records, Holding bool
	}
	if err := s.db.SelectContext(ctx, &imports, selectUnneeded, scrapingJobID); err != nil {
		return fmt.Errorf("listing the unneeded imports of scraping job %d: %w", scrapingJobID, err)
	}
	var removed int64
	for _, each := range imports {
		id := each.ID
		if each.Holding {
			err := s.inTx(ctx, func(tx transaction) error {
				tx.progress = func() { progress(removed) }
				return dropHolding(ctx, tx, id)
			})
			if err != nil {
				return fmt.Errorf("removing the held rows of import %d: %w", id, err)
			}
		}
		if !each.Records {
			continue
		}
		for _, table := range []string{"scrapehaul.import_records", "scrapehaul.rejected_records", "scrapehaul.skipped_records", "scrapehaul.unmapped_records"} {
			n, err := s.removeRecords(ctx, table, id, func(records int64) { progress(removed + records) })
			if err != nil {
				return fmt.Errorf("removing the records of import %d: %w", id, err)
			}
			removed += n
		}
		if _, err := s.exec(ctx, setRemoved, id); err != nil {
			return fmt.Errorf("recording that the records of import %d are removed: %w", id, err)
		}
	}
	return nil
}

func (s *Store) removeRecords(ctx context.Context, table string, importID int64, progress func(records int64)) (removed int64, err error) {
	statement := fmt.Sprintf(deleteRecordsBatch, table)
	for {
		var last sql.NullInt64
		err := s.inTx(ctx, func(tx transaction) error {
			tx.progress = func() { progress(removed) }
			return tx.GetContext(ctx, &last, statement, importID, removed, removeBatchRecords)
		})
		if err != nil || !last.Valid {
			return removed, err
		}
		removed = last.Int64
		progress(removed)
	}
}
