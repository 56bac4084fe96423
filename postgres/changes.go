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

// ChangesQuery says which two jobs of a sitemap [Store.Changes] compares.
type ChangesQuery struct {
	// Account is the account that has the sitemap; empty for the default one, or if it is
	// in Sitemap: "acme:my-sitemap".
	Account, Sitemap string
	// Key are the scraped columns that together tell one record of a job from another; none
	// for those of the file of mappings.
	Key []string
	// Older and Newer are the IDs of the jobs; 0 for the finished, published one before Newer,
	// and for the last one.
	Older, Newer int64
}

// RecordChange is what has become of the record of a key.
type RecordChange struct {
	// Change is "new", "gone", "changed", or "duplicate" if several records of a job have the
	// key, or it is incomplete: such records are not compared.
	Change string `json:"change"`
	// Key is an object with the texts of the key's columns, null for one that a record lacks.
	Key json.RawMessage `json:"key"`
	// The numbers are those of the records in their jobs, of duplicates the least, 0 for none.
	OldRecordNumber int64 `json:"old_record_number,omitempty"`
	NewRecordNumber int64 `json:"new_record_number,omitempty"`
	// Old and New are objects with the record's columns, without the built-in ones, of a
	// changed record with those that differ, of duplicates with how many "records" there are.
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
}

const selectComparedJobs = `
SELECT older, newer FROM scrapehaul.compared_jobs($1, $2, nullif($3::bigint, 0), nullif($4::bigint, 0), coalesce(nullif($5, ''), 'default'))`

const selectChanges = `
SELECT change, key, coalesce(old_record_number, 0), coalesce(new_record_number, 0), old, new
FROM scrapehaul.changes($1, $2, $3, $4, coalesce(nullif($5, ''), 'default'))`

// ComparedJobs returns the query with the jobs that it stands for. The error says what there
// is to do if there are no two such jobs, or no key.
func (s *Store) ComparedJobs(ctx context.Context, query ChangesQuery) (ChangesQuery, error) {
	err := s.db.QueryRowContext(ctx, selectComparedJobs, query.args()...).Scan(&query.Older, &query.Newer)
	if refused := pq.As(err, pqerror.InvalidParameterValue); refused != nil && refused.Hint != "" {
		return query, fmt.Errorf("%s. %s", refused.Message, refused.Hint)
	}
	return query, doing(err, "looking for two jobs of sitemap %q", query.Sitemap)
}

func (q ChangesQuery) args() []any {
	return []any{q.Sitemap, pq.Array(q.Key), q.Older, q.Newer, q.Account}
}

// Changes calls each with every change from one job to the other, in the order of the newer
// job's records, until it returns an error; those of records that are gone come last. Both
// jobs have to be set, as [Store.ComparedJobs] does. The memory for it does not depend on
// how many changes there are.
func (s *Store) Changes(ctx context.Context, query ChangesQuery, each func(RecordChange) error) error {
	rows, err := s.db.QueryContext(ctx, selectChanges, query.args()...)
	if err != nil {
		return doing(err, "comparing scraping jobs %d and %d", query.Older, query.Newer)
	}
	defer func() { _ = rows.Close() }() // an error before it says it all
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

// ChangeCounts says how many records of an import were new, gone and changed against the
// finished job of its sitemap before it, and how many keys told no records apart.
type ChangeCounts struct {
	// ComparedImportID is the import that it was compared with; null if it was not.
	ComparedImportID sql.NullInt64 `db:"compared_import_id"`
	New              int64         `db:"new_records"`
	Gone             int64         `db:"gone_records"`
	Changed          int64         `db:"changed_records"`
	DuplicateKeys    int64         `db:"duplicate_keys"`
}

// comparedImports is how many imports of each sitemap are compared that have not been: as
// many as people look at.
const comparedImports = 30

// compareWithin is for what follows a publication, and for a reconciliation: the next one
// goes on.
const compareWithin = time.Minute

// selectUncompared has the published imports of finished jobs that were not compared, of one
// job or of all, those of the last jobs first. Without records there is nothing to compare.
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

// planForChanges is what scrapehaul.changes sets, too.
const planForChanges = `SELECT scrapehaul.changes_query($1, $2, $3) FROM set_config('parallel_tuple_cost', '0', true) AS cost, set_config('jit', 'off', true) AS jit`

const countChanges = `
SELECT count(*) FILTER (WHERE change = 'new') AS new_records, count(*) FILTER (WHERE change = 'gone') AS gone_records,
       count(*) FILTER (WHERE change = 'changed') AS changed_records, count(*) FILTER (WHERE change = 'duplicate') AS duplicate_keys
FROM (`

// While it was compared its records may have been removed, and some counted as gone.
const noteChanges = `
UPDATE scrapehaul.imports SET compared_import_id = $2, new_records = $3, gone_records = $4, changed_records = $5, duplicate_keys = $6
WHERE import_id = $1 AND state = 'published'
  AND EXISTS (SELECT FROM scrapehaul.scraping_jobs AS job WHERE job.published_import_id = $2)`

// compareImports counts what has changed in the published imports of a job, or of all if it is 0,
// that were not compared with those before them; it begins with none after so long.
func (s *Store) compareImports(ctx context.Context, scrapingJobID int64, within time.Duration, progress func()) error {
	var uncompared []struct {
		ImportID      int64          `db:"import_id"`
		OlderImportID int64          `db:"older_import_id"`
		Key           pq.StringArray `db:"key"`
	}
	begun := time.Now()
	if err := s.db.SelectContext(ctx, &uncompared, selectUncompared, scrapingJobID, comparedImports); err != nil {
		return doing(err, "looking for imports that were not compared with those before")
	}
	var failed []error
	for _, each := range uncompared {
		if time.Since(begun) > within || ctx.Err() != nil {
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
		if err != nil { // such as by temp_file_limit: it keeps no other from being compared
			failed = append(failed, doing(err, "comparing import %d with import %d", each.ImportID, each.OlderImportID))
		}
		progress()
	}
	return errors.Join(failed...)
}
