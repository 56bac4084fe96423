package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// With keep_records: false, an import's records exist only as rows of the mapped table.

// unmappedReason returns why a record without a row is rejected.
func (m *mappedRows) unmappedReason(err error) string {
	return fmt.Sprintf("no row in table %s: %v", m.Table, err)
}

// owners compares a row's job with another job that has the key: a later job's import takes
// over the row, or with Append an earlier job's.
var owners = map[mapping.Mode]string{mapping.ReplaceJob: "=", mapping.Upsert: ">=", mapping.Append: "<="}

const (
	noteMappedRows = `
UPDATE scrapehaul.imports SET mapped_rows = (SELECT count(*) FROM %s WHERE scrapingjob_id = $2) WHERE import_id = $1 RETURNING mapped_rows`

	hasTriggers = `
SELECT EXISTS (
    SELECT FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT to_regclass($1) UNION SELECT relid FROM pg_partition_tree(to_regclass($1))))`

	countWithoutRow = `
SELECT count(*) FROM %s AS held WHERE NOT EXISTS (SELECT FROM %s AS present WHERE present.scrapingjob_id %s $1 AND %s)`
)

// noteRows records how many rows the import has. It fails if a trigger or rule of the table
// dropped records that are not kept anywhere else.
func (i *attempt) noteRows(ctx context.Context, tx transaction) error {
	m, job := i.mapped, i.request.Job.ScrapingJobID
	var rows, without int64
	if err := tx.GetContext(ctx, &rows, fmt.Sprintf(noteMappedRows, m.table()), i.id, job); err != nil {
		return err
	}
	if len(m.Key) == 0 {
		without = i.Checkpoint().Good() - rows
	} else {
		var triggers bool
		err := tx.GetContext(ctx, &triggers, hasTriggers, m.table())
		if err == nil && triggers {
			err = tx.GetContext(ctx, &without, fmt.Sprintf(countWithoutRow, m.holding(), m.table(), owners[m.Mode], m.sameKey("held", "present")), job)
		}
		if err != nil {
			return err
		}
	}
	if without > 0 {
		return fmt.Errorf("%d records have no row in it after the merge, and are not kept anywhere else (keep_records: false): check which trigger or rule of the table drops them or changes their key", without)
	}
	return nil
}

const (
	selectRowsOnly = `
SELECT records, coalesce(mapped_rows, records) AS mapped_rows, coalesce(noted.shape ->> 'mode', '') AS mode,
       CASE WHEN to_regclass(quoted) IS NOT NULL THEN quoted ELSE '' END AS rows_table
FROM scrapehaul.imports AS import
LEFT JOIN scrapehaul.mapped_tables AS noted ON noted.table_name = right(import.mapping, -17)
CROSS JOIN LATERAL format('%I.%I', split_part(right(import.mapping, -17), '.', 1), split_part(right(import.mapping, -17), '.', 2)) AS quoted
WHERE import_id = $1`

	countRows = `SELECT count(*) FROM (SELECT FROM %s WHERE scrapingjob_id %s $1 LIMIT $2) AS rows`
)

// countRows counts the records of an import that has only rows: fewer than were published if
// the table has fewer rows that can be theirs.
func (s *Store) countRows(ctx context.Context, job, importID int64) (records int64, err error) {
	var of struct {
		Records    int64
		MappedRows int64 `db:"mapped_rows"`
		Mode       mapping.Mode
		RowsTable  string `db:"rows_table"`
	}
	var rows int64
	err = s.db.GetContext(ctx, &of, selectRowsOnly, importID)
	if owner := owners[of.Mode]; err == nil && owner != "" && of.RowsTable != "" {
		err = s.db.GetContext(ctx, &rows, fmt.Sprintf(countRows, of.RowsTable, owner), job, of.MappedRows)
	}
	return of.Records - (of.MappedRows - rows), err
}

// passOn reassigns rows with lost keys, unchanged, to the next job. Its records are not kept,
// so nobody can tell whether it has the keys.
func (m *mappedRows) passOn(ctx context.Context, tx transaction, job int64, other otherImport) (passed int64, err error) {
	if direction := int64(m.direction()); other.Job*direction > job*direction {
		return 0, nil // it would have owned the rows before
	}
	result, err := tx.ExecContext(ctx, fmt.Sprintf("UPDATE %s AS present SET scrapingjob_id = $2 FROM %s AS lost WHERE present.scrapingjob_id = $1 AND %s",
		m.table(), m.lost(), m.sameKey("present", "lost")), job, other.Job)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

const selectRowsOnlyJobs = `SELECT job.scrapingjob_id FROM scrapehaul.scraping_jobs AS job
JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id
WHERE import.rows_only AND right(import.mapping, -17) = $1 ORDER BY job.scrapingjob_id DESC`

// addRowsOnly adds a comment to the statements that lists the jobs a backfill cannot fill.
func addRowsOnly(ctx context.Context, tx transaction, m *mapping.Mapping, statements []string) ([]string, error) {
	var jobs []int64
	err := tx.SelectContext(ctx, &jobs, selectRowsOnlyJobs, m.Table.String())
	if len(jobs) == 0 {
		return statements, err
	}
	first := fmt.Sprint(jobs[:min(len(jobs), mostIncompleteJobs)])
	return append(statements, fmt.Sprintf("-- %d jobs have no records (keep_records: false): values that these statements drop, or that a backfill would fill, "+
		"come only from the cloud or the archive: starter reimport %s", len(jobs), strings.Trim(first, "[]"))), nil
}
