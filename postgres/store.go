package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Store reads and writes schema scrapehaul. Its methods are safe for
// concurrent use. Call [Migrate] once before.
type Store struct {
	db *sqlx.DB
}

// NewStore returns a Store on db, which stays the caller's to close.
func NewStore(db *sqlx.DB) *Store {
	return &Store{db: db}
}

// ScrapingJob is what is kept of the job object of Web Scraper Cloud with the
// import that was published from it. The status and the counts are its
// content: when one of them differs, the job has run again since.
type ScrapingJob struct {
	ScrapingJobID     int64  `db:"scrapingjob_id"`
	SitemapID         int64  `db:"sitemap_id"`
	SitemapName       string `db:"sitemap_name"`
	CustomID          string `db:"custom_id"` // "" is stored as null
	Status            string `db:"status"`
	JobsScheduled     int64  `db:"jobs_scheduled"`
	JobsExecuted      int64  `db:"jobs_executed"`
	JobsFailed        int64  `db:"jobs_failed"`
	JobsEmpty         int64  `db:"jobs_empty"`
	JobsNoValue       int64  `db:"jobs_no_value"`
	StoredRecordCount int64  `db:"stored_record_count"`
}

// PublishedImport is the import of a scraping job that readers see.
type PublishedImport struct {
	ScrapingJob
	ImportID       int64        `db:"import_id"`
	Records        int64        `db:"records"`
	Rejected       int64        `db:"rejected"`
	Bytes          int64        `db:"bytes"`
	SHA256         string       `db:"sha256"` // lower-case hex of the file
	PublishedAt    time.Time    `db:"published_at"`
	CloudDeletedAt sql.NullTime `db:"cloud_deleted_at"`
}

const selectPublishedImports = `
SELECT job.scrapingjob_id, job.sitemap_id, job.sitemap_name, coalesce(job.custom_id, '') AS custom_id,
       job.status, job.jobs_scheduled, job.jobs_executed, job.jobs_failed, job.jobs_empty, job.jobs_no_value,
       job.stored_record_count, job.published_at, job.cloud_deleted_at,
       import.import_id, import.records, import.rejected, import.bytes, import.sha256
FROM scrapehaul.scraping_jobs AS job
JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id
WHERE job.scrapingjob_id = ANY($1)`

// PublishedImport returns the published import of a scraping job, or nil when
// none is published.
func (s *Store) PublishedImport(ctx context.Context, scrapingJobID int64) (*PublishedImport, error) {
	var published PublishedImport
	err := s.db.GetContext(ctx, &published, selectPublishedImports, pq.Array([]int64{scrapingJobID}))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the published import of scraping job %d: %w", scrapingJobID, err)
	}
	return &published, nil
}

const selectLastOfSitemap = `
SELECT job.scrapingjob_id, import.records
FROM scrapehaul.scraping_jobs AS job
JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id
WHERE job.sitemap_name = $1 AND job.status = 'finished'
ORDER BY import.published_at DESC LIMIT 1`

// LastOfSitemap is the finished job of a sitemap that was published last.
type LastOfSitemap struct {
	ScrapingJobID int64 `db:"scrapingjob_id"`
	Records       int64 `db:"records"`
}

// LastOfSitemap returns the finished job of a sitemap that was published last,
// or nil when there is none.
func (s *Store) LastOfSitemap(ctx context.Context, sitemapName string) (*LastOfSitemap, error) {
	var last LastOfSitemap
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
func (s *Store) PublishedImports(ctx context.Context, scrapingJobIDs []int64) (map[int64]PublishedImport, error) {
	var imports []PublishedImport
	if err := s.db.SelectContext(ctx, &imports, selectPublishedImports, pq.Array(scrapingJobIDs)); err != nil {
		return nil, fmt.Errorf("reading the published imports of %d scraping jobs: %w", len(scrapingJobIDs), err)
	}
	published := make(map[int64]PublishedImport, len(imports))
	for _, i := range imports {
		published[i.ScrapingJobID] = i
	}
	return published, nil
}

const countPublished = `
SELECT (SELECT count(*) FROM scrapehaul.import_records WHERE import_id = job.published_import_id) AS records,
       (SELECT count(*) FROM scrapehaul.rejected_records WHERE import_id = job.published_import_id) AS rejected
FROM scrapehaul.scraping_jobs AS job
WHERE job.scrapingjob_id = $1 AND job.published_import_id = $2`

// CountPublished counts, in the tables themselves, the records and the
// rejected records of an import, provided that it is the published one of the
// scraping job; otherwise published is false.
func (s *Store) CountPublished(ctx context.Context, scrapingJobID, importID int64) (records, rejected int64, published bool, err error) {
	err = s.db.QueryRowxContext(ctx, countPublished, scrapingJobID, importID).Scan(&records, &rejected)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, fmt.Errorf("counting the records of import %d: %w", importID, err)
	}
	return records, rejected, true, nil
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

const deleteRecordsBatch = `
WITH batch AS (
    SELECT record_number FROM scrapehaul.import_records
    WHERE import_id = $1 AND record_number > $2 ORDER BY record_number LIMIT $3
), deleted AS (
    DELETE FROM scrapehaul.import_records AS record USING batch
    WHERE record.import_id = $1 AND record.record_number = batch.record_number
)
SELECT max(record_number) FROM batch`

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
		if _, err := s.db.ExecContext(ctx, `DELETE FROM scrapehaul.rejected_records WHERE import_id = $1`, id); err != nil {
			return fmt.Errorf("removing the rejected records of replaced import %d: %w", id, err)
		}
		if _, err := s.db.ExecContext(ctx, `UPDATE scrapehaul.imports SET records_removed_at = now() WHERE import_id = $1`, id); err != nil {
			return fmt.Errorf("noting that replaced import %d is removed: %w", id, err)
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
