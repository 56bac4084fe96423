package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

// Store is a [sink.RecordSink] that reads and writes schema scrapehaul. Its methods are safe for
// concurrent use. Call [Migrate] first.
type Store struct {
	db       *sqlx.DB
	mappings *mapping.Mappings
}

var _ sink.RecordSink = (*Store)(nil)

// NewStore returns a Store on db, which the caller must close. With mappings it also writes the
// records of mapped sitemaps to their tables; call [PrepareMappedTables] first.
func NewStore(db *sqlx.DB, mappings *mapping.Mappings) *Store {
	return &Store{db: db, mappings: mappings}
}

const selectPublished = `
SELECT job.scrapingjob_id, job.account, job.sitemap_id, job.sitemap_name, coalesce(job.custom_id, '') AS custom_id,
       job.status, job.jobs_scheduled, job.jobs_executed, job.jobs_failed, job.jobs_empty, job.jobs_no_value,
       job.stored_record_count, coalesce(extract(epoch FROM job.time_created)::bigint, 0) AS time_created,
       coalesce(job.scraping_duration, 0) AS scraping_duration, job.published_at, job.cloud_deleted_at,
       import.import_id, import.records, import.rejected, import.skipped, import.unmapped, import.cut, import.bytes, import.sha256,
       import.removed_at, import.announce AND import.announced_at IS NULL AS unannounced
FROM scrapehaul.scraping_jobs AS job
JOIN scrapehaul.imports AS import ON import.import_id = coalesce(job.published_import_id, job.removed_import_id)`

const (
	selectPublishedOfJobs = selectPublished + `
WHERE job.scrapingjob_id = ANY($1)`

	selectLastOfSitemap = selectPublished + `
WHERE job.account = $1 AND job.sitemap_name = $2 AND job.status = 'finished'
ORDER BY job.published_at DESC LIMIT 1`
)

// LastOfSitemap returns the last published import of a finished job of an account's sitemap; see
// [sink.RecordSink].
func (s *Store) LastOfSitemap(ctx context.Context, account, sitemapName string) (*sink.PublishedImport, error) {
	var last sink.PublishedImport
	err := s.db.GetContext(ctx, &last, selectLastOfSitemap, account, sitemapName)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the last job of sitemap %q: %w", sitemapName, err)
	}
	return &last, nil
}

// PublishedImports returns the published imports of the scraping jobs by job ID, including
// removed ones.
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

const selectJobsOfCustomID = `
SELECT scrapingjob_id FROM scrapehaul.scraping_jobs WHERE account = $1 AND sitemap_id = $2 AND btrim(custom_id) = $3 ORDER BY scrapingjob_id`

// ScrapingJobsOfCustomID returns the IDs of an account's published jobs of the sitemap with the
// custom ID, in ascending order.
func (s *Store) ScrapingJobsOfCustomID(ctx context.Context, account string, sitemapID int64, customID string) (ids []int64, err error) {
	err = s.db.SelectContext(ctx, &ids, selectJobsOfCustomID, account, sitemapID, customID)
	return ids, doing(err, "listing scraping jobs with custom_id %q", customID)
}

// countPublished always returns one row, with read_only, because a standby can lag.
const countPublished = `
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS read_only, job.scrapingjob_id IS NOT NULL AS published,
       (SELECT count(*) FROM scrapehaul.import_records WHERE import_id = job.published_import_id) AS records,
       (SELECT count(*) FROM scrapehaul.rejected_records WHERE import_id = job.published_import_id) AS rejected,
       (SELECT count(*) FROM scrapehaul.skipped_records WHERE import_id = job.published_import_id) AS skipped,
       (SELECT count(*) FROM scrapehaul.unmapped_records WHERE import_id = job.published_import_id) AS unmapped,
       (SELECT count(*) FROM scrapehaul.rejected_records WHERE import_id = job.published_import_id AND cut) AS cut,
       coalesce(import.rows_only, false) AS rows_only
FROM (SELECT) AS always
LEFT JOIN scrapehaul.scraping_jobs AS job ON job.scrapingjob_id = $1 AND job.published_import_id = $2
LEFT JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id`

// CountPublished counts the records in the tables, and returns [ErrReadOnly] on a standby or a
// read-only server; see [sink.RecordSink]. For an import whose records are not kept it counts
// the rows in the mapped table.
func (s *Store) CountPublished(ctx context.Context, scrapingJobID, importID int64) (counts sink.Counts, published bool, err error) {
	var row struct {
		ReadOnly  bool `db:"read_only"`
		Published bool
		RowsOnly  bool `db:"rows_only"`
		sink.Counts
	}
	err = s.db.GetContext(ctx, &row, countPublished, scrapingJobID, importID)
	if err == nil && row.RowsOnly {
		row.Records, err = s.countRows(ctx, scrapingJobID, importID)
	}
	if err == nil && row.ReadOnly {
		err = ErrReadOnly
	}
	if err != nil {
		return sink.Counts{}, false, fmt.Errorf("counting the records of import %d: %w", importID, err)
	}
	return row.Counts, row.Published, nil
}

const setCloudDeleted = `
UPDATE scrapehaul.scraping_jobs SET cloud_deleted_at = coalesce(cloud_deleted_at, now()) WHERE scrapingjob_id = $1`

// SetCloudDeleted records that the scraping job was deleted in Web Scraper Cloud. It keeps the
// first time.
func (s *Store) SetCloudDeleted(ctx context.Context, scrapingJobID int64) error {
	_, err := s.exec(ctx, setCloudDeleted, scrapingJobID)
	return doing(err, "recording that scraping job %d is deleted in the cloud", scrapingJobID)
}
