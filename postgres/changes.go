package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// ChangesQuery selects the two jobs of a sitemap that [Store.Changes] compares.
type ChangesQuery struct {
	// Account is the account of the sitemap. It is empty for the default account, or when
	// Sitemap names it: "acme:my-sitemap".
	Account, Sitemap string
	// Key lists the scraped columns that identify a record within a job. If it is empty, the
	// key from the mappings file is used.
	Key []string
	// Older and Newer are job IDs. Newer 0 is the last finished, published job; Older 0 is
	// the one before Newer.
	Older, Newer int64
}

// RecordChange is a difference between two jobs in the records of one key.
type RecordChange struct {
	// Change is "new", "gone", "changed" or "duplicate". Duplicate records are not compared:
	// several records of a job have the key, or the key is incomplete.
	Change string `json:"change"`
	// Key is an object with the key columns as text, null where the record lacks one.
	Key json.RawMessage `json:"key"`
	// OldRecordNumber and NewRecordNumber are the record's numbers in the two jobs, the
	// lowest one for duplicates, 0 for none.
	OldRecordNumber int64 `json:"old_record_number,omitempty"`
	NewRecordNumber int64 `json:"new_record_number,omitempty"`
	// Old and New are objects with the record's columns, except the built-in ones. For a
	// changed record they have only the columns that differ; for duplicates, the number of
	// "records".
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
}

const selectComparedJobs = `
SELECT older, newer FROM scrapehaul.compared_jobs($1, $2, nullif($3::bigint, 0), nullif($4::bigint, 0), coalesce(nullif($5, ''), 'default'))`

const selectChanges = `
SELECT change, key, coalesce(old_record_number, 0), coalesce(new_record_number, 0), old, new
FROM scrapehaul.changes($1, $2, $3, $4, coalesce(nullif($5, ''), 'default'))`

// ComparedJobs returns the query with both job IDs set. If there are no two such jobs, or no
// key, the error says what to do.
func (s *Store) ComparedJobs(ctx context.Context, query ChangesQuery) (ChangesQuery, error) {
	err := s.db.QueryRowContext(ctx, selectComparedJobs, query.args()...).Scan(&query.Older, &query.Newer)
	if refused := pq.As(err, pqerror.InvalidParameterValue); refused != nil && refused.Hint != "" {
		return query, fmt.Errorf("%s. %s", refused.Message, refused.Hint)
	}
	return query, doing(err, "finding the two jobs of sitemap %q to compare", query.Sitemap)
}

func (q ChangesQuery) args() []any {
	return []any{q.Sitemap, pq.Array(q.Key), q.Older, q.Newer, q.Account}
}

// Changes calls each with every change between two jobs, in the order of the newer job's
// records, records that are gone last. It stops at the first error of each. Both job IDs
// must be set; see [Store.ComparedJobs]. Memory does not grow with the number of changes.
func (s *Store) Changes(ctx context.Context, query ChangesQuery, each func(RecordChange) error) error {
	rows, err := s.db.QueryContext(ctx, selectChanges, query.args()...)
	if err != nil {
		return doing(err, "comparing scraping jobs %d and %d", query.Older, query.Newer)
	}
	defer func() { _ = rows.Close() }() // rows.Err has the error
	for rows.Next() {
		var change RecordChange
		err := rows.Scan(&change.Change, (*[]byte)(&change.Key), &change.OldRecordNumber, &change.NewRecordNumber, (*[]byte)(&change.Old), (*[]byte)(&change.New))
		if err != nil {
			return err
		}
		if err := each(change); err != nil {
			return err
		}
	}
	return doing(rows.Err(), "comparing scraping jobs %d and %d", query.Older, query.Newer)
}

// ChangeCounts counts the new, gone and changed records of an import compared with the
// previous finished job of its sitemap, and the keys that several records share.
type ChangeCounts struct {
	// ComparedImportID is the import that it was compared with; null if none.
	ComparedImportID sql.NullInt64 `db:"compared_import_id"`
	New              int64         `db:"new_records"`
	Gone             int64         `db:"gone_records"`
	Changed          int64         `db:"changed_records"`
	DuplicateKeys    int64         `db:"duplicate_keys"`
}

// comparedImports is how many of each sitemap's last imports are compared, as many as
// operators look at.
const comparedImports = 30

// compareWithin bounds the comparisons after a publication and in a reconciliation. The next
// reconciliation continues.
const compareWithin = time.Minute

// selectUncompared selects published imports of finished jobs that were not compared yet, of
// one job or of all, newest jobs first. Imports without records are left out.
const selectUncompared = `
SELECT import.import_id, older.published_import_id AS older_import_id, job.key
FROM (
    SELECT job.scrapingjob_id, job.sitemap_name, job.account, job.published_import_id, view.key,
           row_number() OVER (PARTITION BY job.sitemap_name, job.account ORDER BY job.scrapingjob_id DESC) AS place
    FROM scrapehaul.scraping_jobs AS job
    JOIN scrapehaul.sitemap_views AS view USING (sitemap_name, account)
    WHERE job.status = 'finished' AND job.published_import_id IS NOT NULL AND view.key <> '{}' AND ($1::bigint = 0 OR job.scrapingjob_id = $1)
) AS job
JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id AND import.compared_import_id IS NULL AND NOT import.rows_only
CROSS JOIN LATERAL (
    SELECT before.published_import_id FROM scrapehaul.scraping_jobs AS before
    WHERE before.sitemap_name = job.sitemap_name AND before.account = job.account AND before.status = 'finished'
      AND before.published_import_id IS NOT NULL AND before.scrapingjob_id < job.scrapingjob_id
    ORDER BY before.scrapingjob_id DESC LIMIT 1
) AS older
JOIN scrapehaul.imports AS earlier ON earlier.import_id = older.published_import_id AND NOT earlier.rows_only
WHERE job.place <= $2
ORDER BY job.place, import.import_id DESC`

// planForChanges uses the planner settings of scrapehaul.changes.
const planForChanges = `SELECT scrapehaul.changes_query($1, $2, $3) FROM set_config('parallel_tuple_cost', '0', true) AS cost, set_config('jit', 'off', true) AS jit`

const countChanges = `
SELECT count(*) FILTER (WHERE change = 'new') AS new_records, count(*) FILTER (WHERE change = 'gone') AS gone_records,
       count(*) FILTER (WHERE change = 'changed') AS changed_records, count(*) FILTER (WHERE change = 'duplicate') AS duplicate_keys
FROM (`

// If either import was removed during the comparison, the counts are wrong and dropped.
const noteChanges = `
UPDATE scrapehaul.imports SET compared_import_id = $2, new_records = $3, gone_records = $4, changed_records = $5, duplicate_keys = $6
WHERE import_id = $1 AND state = 'published'
  AND EXISTS (SELECT FROM scrapehaul.scraping_jobs AS job WHERE job.published_import_id = $2)`

// compareImports counts the changes of published imports that were not compared yet, of one
// job or, if scrapingJobID is 0, of all. It starts no comparison after within.
func (s *Store) compareImports(ctx context.Context, scrapingJobID int64, within time.Duration, progress func()) error {
	var uncompared []struct {
		ImportID      int64          `db:"import_id"`
		OlderImportID int64          `db:"older_import_id"`
		Key           pq.StringArray `db:"key"`
	}
	started := time.Now()
	if err := s.db.SelectContext(ctx, &uncompared, selectUncompared, scrapingJobID, comparedImports); err != nil {
		return doing(err, "listing the imports to compare")
	}
	var failed []error
	for _, each := range uncompared {
		if time.Since(started) > within || ctx.Err() != nil {
			break
		}
		err := s.inTx(ctx, func(tx transaction) error {
			tx.progress = progress
			var query string
			if err := tx.GetContext(ctx, &query, planForChanges, each.OlderImportID, each.ImportID, each.Key); err != nil {
				return err
			}
			var counts ChangeCounts
			if err := tx.GetContext(ctx, &counts, countChanges+query+`) AS changes`); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, noteChanges, each.ImportID, each.OlderImportID, counts.New, counts.Gone, counts.Changed, counts.DuplicateKeys)
			return err
		})
		if err != nil { // temp_file_limit, for example: the others can still be compared
			failed = append(failed, doing(err, "comparing import %d with import %d", each.ImportID, each.OlderImportID))
		}
		progress()
	}
	return errors.Join(failed...)
}
