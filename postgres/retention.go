package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// Retention says which published imports are removed: those published longer than Records
// ago that are not among the KeepImports of their sitemap that were published last. One
// that is 0 does not count, and with both 0 everything is kept. What the file of mappings
// says of a sitemap comes first.
type Retention struct {
	Records     time.Duration
	KeepImports int
	// NeverDeleted is set when no job is deleted in Web Scraper Cloud. Otherwise the import
	// of a finished job stays until its job is.
	NeverDeleted bool
}

// of is the retention of a sitemap's imports.
func (r Retention) of(sitemap mapping.Sitemap) Retention {
	if sitemap.RecordsRetention != nil {
		r.Records = *sitemap.RecordsRetention
	}
	if sitemap.KeepImports != nil {
		r.KeepImports = *sitemap.KeepImports
	}
	if sitemap.RecordsRetention != nil && r.Records == 0 { // for good, the file says
		r.KeepImports = 0
	}
	return r
}

// OldImport is a published import that retention lets be removed.
type OldImport struct {
	ImportID      int64  `db:"import_id"`
	ScrapingJobID int64  `db:"scrapingjob_id"`
	Account       string `db:"account"`
	SitemapName   string `db:"sitemap_name"`
	Records       int64  `db:"records"`
	Mapping       string `db:"mapping"` // by which it has rows in a mapped table

	retention Retention // of its sitemap
}

const selectSitemaps = `
SELECT DISTINCT account, sitemap_name FROM scrapehaul.scraping_jobs
WHERE published_import_id IS NOT NULL AND sitemap_name IS NOT NULL ORDER BY account, sitemap_name`

// Of account $1's sitemap $2: published longer than $3 seconds ago, and not among the $4
// published last. $5 is NeverDeleted. Nothing may be unknown of an import.
const selectOld = `
SELECT import_id, scrapingjob_id, account, sitemap_name, records, mapping
FROM (
    SELECT import.import_id, job.scrapingjob_id, job.account, job.sitemap_name, import.records, import.mapping, import.published_at,
           row_number() OVER (ORDER BY import.published_at DESC, import.import_id DESC) AS place,
           job.scrapingjob_id = max(job.scrapingjob_id) FILTER (WHERE job.status = 'finished') OVER () AS latest,
           job.cloud_deleted_at IS NOT NULL OR job.status <> 'finished' OR $5 AS stays_or_deleted,
           NOT import.announce OR import.announced_at IS NOT NULL AS announced
    FROM scrapehaul.scraping_jobs AS job JOIN scrapehaul.imports AS import ON import.import_id = job.published_import_id
    WHERE job.account = $1 AND job.sitemap_name = $2
) AS published
WHERE published_at <= now() - make_interval(secs => $3) AND place > $4 AND latest IS NOT TRUE AND stays_or_deleted AND announced
  AND NOT EXISTS (SELECT FROM scrapehaul.imports AS next WHERE next.scrapingjob_id = published.scrapingjob_id AND next.state = 'importing')
  AND NOT EXISTS (SELECT FROM scrapehaul.undelivered_publications AS event WHERE event.import_id = published.import_id AND event.failed_at IS NULL)
ORDER BY published_at, import_id`

// OldImports returns the published imports that the retention lets be removed, those of a
// sitemap in the order in which they were published: never that of its finished job with
// the highest ID, nor one that is still to be announced or delivered to the webhook, or
// whose job is to be deleted in the cloud or is imported again.
func (s *Store) OldImports(ctx context.Context, r Retention) (old []OldImport, err error) {
	var sitemaps []sitemap
	if err := s.db.SelectContext(ctx, &sitemaps, selectSitemaps); err != nil {
		return nil, fmt.Errorf("listing the sitemaps with published imports: %w", err)
	}
	for _, of := range sitemaps {
		r := r.of(s.mappings.Sitemap(of.Account, of.Name))
		if cmp.Or(int64(r.Records), int64(r.KeepImports)) == 0 {
			continue
		}
		var imports []OldImport
		if err := s.db.SelectContext(ctx, &imports, selectOld, of.Account, of.Name, r.Records.Seconds(), r.KeepImports, r.NeverDeleted); err != nil {
			return nil, fmt.Errorf("looking for old imports of sitemap %q: %w", of.Name, err)
		}
		for _, each := range imports {
			each.retention = r
			old = append(old, each)
		}
	}
	return old, nil
}

const (
	lockPublished = `
SELECT scrapingjob_id FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = $1 AND published_import_id = $2 FOR UPDATE SKIP LOCKED`

	// Whoever publishes a job of the sitemap has it locked, too, and may make another one
	// the latest.
	lockSitemap = `SELECT FROM scrapehaul.sitemap_views WHERE account = $1 AND sitemap_name = $2 FOR UPDATE`

	setImportRemoved = `
UPDATE scrapehaul.imports SET state = 'removed', removed_at = now()
WHERE import_id = $6 AND mapping = $7 AND import_id IN (SELECT import_id FROM (` + selectOld + `) AS old)`

	setJobRemoved = `
UPDATE scrapehaul.scraping_jobs SET published_import_id = NULL, removed_import_id = $2 WHERE scrapingjob_id = $1`
)

// RemoveImport removes an old import, if the retention still lets it: readers see all of
// its records before, and none from then on. The rows that it has in a mapped table of mode
// replace-job go in the same transaction, the records by [Store.RemoveUnneeded].
func (s *Store) RemoveImport(ctx context.Context, old OldImport, progress func()) (removed bool, err error) {
	err = s.inTx(ctx, func(tx transaction) error {
		tx.progress = progress
		m, err := s.rowsOf(ctx, tx, old)
		if err != nil {
			return err
		}
		// The job's row is the lock, as of an import that begins or is published: while one
		// does, this one stays. What is known of it is looked at again once it is locked.
		var job int64
		if err := tx.GetContext(ctx, &job, lockPublished, old.ScrapingJobID, old.ImportID); err != nil {
			return err
		}
		if m != nil {
			if _, _, err := m.removeOld(ctx, tx, nil, old.ScrapingJobID); err != nil {
				return m.failed(err)
			}
		}
		if _, err := tx.ExecContext(ctx, lockSitemap, old.Account, old.SitemapName); err != nil {
			return err
		}
		r := old.retention
		result, err := tx.ExecContext(ctx, setImportRemoved,
			old.Account, old.SitemapName, r.Records.Seconds(), r.KeepImports, r.NeverDeleted, old.ImportID, old.Mapping)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return cmp.Or(err, sql.ErrNoRows)
		}
		_, err = tx.ExecContext(ctx, setJobRemoved, old.ScrapingJobID, old.ImportID)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, doing(err, "removing import %d of scraping job %d", old.ImportID, old.ScrapingJobID)
}

// rowsOf locks the mapped table in which the import has rows that go with it; nil if there is
// none. What the table was made for decides: this worker's file may be another one.
func (s *Store) rowsOf(ctx context.Context, tx transaction, old OldImport) (m *mappedRows, err error) {
	_, table, named := strings.Cut(old.Mapping, " ")
	m = &mappedRows{Mapping: new(mapping.Mapping)}
	if file := s.mappings.For(old.Account, old.SitemapName); file != nil && (!named || file.Table.String() == table) {
		*m.Mapping = *file
	}
	if m.Table.Schema, m.Table.Name, _ = strings.Cut(cmp.Or(table, m.Table.String()), "."); old.Mapping == "" || m.Table.Name == "" {
		return nil, nil
	}
	if err := m.lock(ctx, tx); err != nil {
		return nil, err
	}
	noted, err := notedShape(ctx, tx, m.Table)
	if noted != nil {
		m.Mode = noted.Mode
	}
	there := false
	if err == nil {
		there, err = isTable(ctx, tx, m.Table)
	}
	if err != nil || !there || m.Mode != mapping.ReplaceJob {
		return nil, m.failed(err)
	}
	_, err = tx.ExecContext(ctx, waitForLocks)
	if err == nil {
		_, err = tx.ExecContext(ctx, refuseHiding, m.table())
	}
	return m, m.failed(err)
}
