package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

// Store reads and writes schema scrapehaul, as a [sink.RecordSink] and beyond
// that. Its methods are safe for concurrent use. Call [Migrate] once before.
type Store struct {
	db       *sqlx.DB
	mappings *mapping.Mappings
}

var _ sink.RecordSink = (*Store)(nil)

// NewStore returns a Store on db, which stays the caller's to close. It makes of the
// records of mapped sitemaps rows of the mappings' tables too, if there are mappings:
// call [PrepareMappedTables] once before.
func NewStore(db *sqlx.DB, mappings *mapping.Mappings) *Store {
	return &Store{db: db, mappings: mappings}
}

const selectPublished = `
SELECT job.scrapingjob_id, job.sitemap_id, job.sitemap_name, coalesce(job.custom_id, '') AS custom_id,
       job.status, job.jobs_scheduled, job.jobs_executed, job.jobs_failed, job.jobs_empty, job.jobs_no_value,
       job.stored_record_count, job.published_at, job.cloud_deleted_at,
       import.import_id, import.records, import.rejected, import.skipped, import.bytes, import.sha256
FROM scrapehaul.scraping_jobs AS job
JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id`

const (
	selectPublishedOfJobs = selectPublished + `
WHERE job.scrapingjob_id = ANY($1)`

	selectLastOfSitemap = selectPublished + `
WHERE job.sitemap_name = $1 AND job.status = 'finished'
ORDER BY import.published_at DESC LIMIT 1`
)

// LastOfSitemap returns the import of the finished job of a sitemap that was
// published last; see [sink.RecordSink].
func (s *Store) LastOfSitemap(ctx context.Context, sitemapName string) (*sink.PublishedImport, error) {
	var last sink.PublishedImport
	err := s.db.GetContext(ctx, &last, selectLastOfSitemap, sitemapName)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the last job of sitemap %q: %w", sitemapName, err)
	}
	return &last, nil
}

// PublishedImports returns the published imports of those of the scraping jobs
// that have one, by the jobs' IDs.
func (s *Store) PublishedImports(ctx context.Context, scrapingJobIDs []int64) (map[int64]sink.PublishedImport, error) {
	var imports []sink.PublishedImport
	if err := s.db.SelectContext(ctx, &imports, selectPublishedOfJobs, pq.Array(scrapingJobIDs)); err != nil {
		return nil, fmt.Errorf("reading the published imports of %d scraping jobs: %w", len(scrapingJobIDs), err)
	}
	published := make(map[int64]sink.PublishedImport, len(imports))
	for _, i := range imports {
		published[i.ScrapingJobID] = i
	}
	return published, nil
}

const countPublished = `
SELECT (SELECT count(*) FROM scrapehaul.import_records WHERE import_id = job.published_import_id) AS records,
       (SELECT count(*) FROM scrapehaul.rejected_records WHERE import_id = job.published_import_id) AS rejected,
       (SELECT count(*) FROM scrapehaul.skipped_records WHERE import_id = job.published_import_id) AS skipped
FROM scrapehaul.scraping_jobs AS job
WHERE job.scrapingjob_id = $1 AND job.published_import_id = $2`

// CountPublished counts the records in the tables themselves; see
// [sink.RecordSink].
func (s *Store) CountPublished(ctx context.Context, scrapingJobID, importID int64) (counts sink.Counts, published bool, err error) {
	err = s.db.GetContext(ctx, &counts, countPublished, scrapingJobID, importID)
	if errors.Is(err, sql.ErrNoRows) {
		return sink.Counts{}, false, nil
	}
	if err != nil {
		return sink.Counts{}, false, fmt.Errorf("counting the records of import %d: %w", importID, err)
	}
	return counts, true, nil
}

const setCloudDeleted = `
UPDATE scrapehaul.scraping_jobs SET cloud_deleted_at = coalesce(cloud_deleted_at, now()) WHERE scrapingjob_id = $1`

// SetCloudDeleted notes that the scraping job has been deleted in Web Scraper
// Cloud. The first time noted stays.
func (s *Store) SetCloudDeleted(ctx context.Context, scrapingJobID int64) error {
	if _, err := s.db.ExecContext(ctx, setCloudDeleted, scrapingJobID); err != nil {
		return fmt.Errorf("noting that scraping job %d is deleted in the cloud: %w", scrapingJobID, err)
	}
	return nil
}

const selectUnneededImports = `
SELECT import_id FROM scrapehaul.imports
WHERE scrapingjob_id = $1 AND state IN ('replaced', 'abandoned') AND records_removed_at IS NULL
ORDER BY import_id`

// An import that was published while somebody read its held rows has left them.
const selectHolding = `
SELECT import_id FROM scrapehaul.imports
WHERE scrapingjob_id = $1 AND state <> 'importing' AND mapping <> ''
  AND to_regclass('scrapehaul.mapped_rows_' || import_id) IS NOT NULL`

const deleteRecordsBatch = `
WITH batch AS (
    SELECT record_number FROM scrapehaul.import_records
    WHERE import_id = $1 AND record_number > $2 ORDER BY record_number LIMIT $3
), deleted AS (
    DELETE FROM scrapehaul.import_records AS record USING batch
    WHERE record.import_id = $1 AND record.record_number = batch.record_number
)
SELECT max(record_number) FROM batch`

const (
	deleteRejected = `DELETE FROM scrapehaul.rejected_records WHERE import_id = $1`
	deleteSkipped  = `DELETE FROM scrapehaul.skipped_records WHERE import_id = $1`
)

// removeBatchRecords is how many records are removed in one transaction: some
// tenths of a second, so that a reader or a vacuum never waits long.
const removeBatchRecords = 20_000

// RemoveUnneeded removes the records of a scraping job's replaced and
// abandoned imports, batch by batch; their rows in scrapehaul.imports stay as
// its history. progress is called after each batch with the number of records
// looked through so far.
func (s *Store) RemoveUnneeded(ctx context.Context, scrapingJobID int64, progress func(records int64)) error {
	var imports []int64
	if err := s.db.SelectContext(ctx, &imports, selectUnneededImports, scrapingJobID); err != nil {
		return fmt.Errorf("listing the replaced imports of scraping job %d: %w", scrapingJobID, err)
	}
	var removed int64
	for _, id := range imports {
		for after := int64(0); ; {
			var last sql.NullInt64
			if err := s.db.GetContext(ctx, &last, deleteRecordsBatch, id, after, removeBatchRecords); err != nil {
				return fmt.Errorf("removing the records of replaced import %d: %w", id, err)
			}
			if !last.Valid {
				break
			}
			removed += last.Int64 - after
			after = last.Int64
			progress(removed)
		}
		for _, statement := range []string{deleteRejected, deleteSkipped} {
			if _, err := s.db.ExecContext(ctx, statement, id); err != nil {
				return fmt.Errorf("removing the rejected and skipped records of replaced import %d: %w", id, err)
			}
		}
		if _, err := s.db.ExecContext(ctx, `UPDATE scrapehaul.imports SET records_removed_at = now() WHERE import_id = $1`, id); err != nil {
			return fmt.Errorf("noting that replaced import %d is removed: %w", id, err)
		}
	}
	return s.dropHoldings(ctx, scrapingJobID)
}

func (s *Store) dropHoldings(ctx context.Context, scrapingJobID int64) error {
	var holding []int64
	if err := s.db.SelectContext(ctx, &holding, selectHolding, scrapingJobID); err != nil {
		return fmt.Errorf("looking for held rows of scraping job %d: %w", scrapingJobID, err)
	}
	for _, id := range holding {
		err := s.onConnection(ctx, func(conn *sqlx.Conn) error {
			return inTx(ctx, conn, func(tx transaction) error { return dropHolding(ctx, tx, id) })
		})
		if err != nil {
			return fmt.Errorf("removing the held rows of import %d: %w", id, err)
		}
	}
	return nil
}

// discard closes the connection instead of returning it to the pool.
func discard(conn *sqlx.Conn) error {
	err := conn.Raw(func(any) error { return driver.ErrBadConn })
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}
