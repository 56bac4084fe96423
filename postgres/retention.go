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

// Retention says which published imports are removed: those published longer than Records ago,
// except the last KeepImports of each sitemap. A zero value disables its rule; if both are
// zero, everything is kept. The mappings file can override both for a sitemap.
type Retention struct {
	Records     time.Duration
	KeepImports int
	// NeverDeleted is set if jobs are never deleted in Web Scraper Cloud. Otherwise the import of
	// a finished job stays until its job is deleted there.
	NeverDeleted bool
}

// of returns the retention of a sitemap's imports.
func (r Retention) of(sitemap mapping.Sitemap) Retention {
	if sitemap.RecordsRetention != nil {
		r.Records = *sitemap.RecordsRetention
	}
	if sitemap.KeepImports != nil {
		r.KeepImports = *sitemap.KeepImports
	}
	if sitemap.RecordsRetention != nil && r.Records == 0 { // the file says to keep them forever
		r.KeepImports = 0
	}
	return r
}

// OldImport is a published import that the retention allows to remove.
type OldImport struct {
	ImportID      int64  `db:"import_id"`
	ScrapingJobID int64  `db:"scrapingjob_id"`
	Account       string `db:"account"`
	SitemapName   string `db:"sitemap_name"`
	Records       int64  `db:"records"`
	Mapping       string `db:"mapping"` // that made its rows in a mapped table

	retention Retention // of its sitemap
}

const selectSitemaps = `
SELECT DISTINCT account, sitemap_name FROM scrapehaul.scraping_jobs
WHERE published_import_id IS NOT NULL AND sitemap_name IS NOT NULL ORDER BY account, sitemap_name`

// selectOld selects imports of account $1's sitemap $2 published longer than $3 seconds ago and
// not among the last $4. $5 is NeverDeleted. NULL in any condition keeps the import.
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

// OldImports returns the published imports that the retention allows to remove, for each
// sitemap in the order of publishing. It never returns the import of a sitemap's latest
// finished job, one that still has to be announced or delivered to the webhook, or one whose
// job has to be deleted in the cloud or is being imported again.
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
			return nil, fmt.Errorf("listing old imports of sitemap %q: %w", of.Name, err)
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

	// Publishing a job of the sitemap also locks this row, and may change which job is the
	// latest.
	lockSitemap = `SELECT FROM scrapehaul.sitemap_views WHERE account = $1 AND sitemap_name = $2 FOR UPDATE`

	setImportRemoved = `
UPDATE scrapehaul.imports SET state = 'removed', removed_at = now()
WHERE import_id = $6 AND mapping = $7 AND import_id IN (SELECT import_id FROM (` + selectOld + `) AS old)`

	setJobRemoved = `
UPDATE scrapehaul.scraping_jobs SET published_import_id = NULL, removed_import_id = $2 WHERE scrapingjob_id = $1`
)

// RemoveImport removes an old import, if the retention still allows that. Readers see all of its
// records before, and none after. Its rows in a mapped table of mode replace-job are deleted in
// the same transaction; [Store.RemoveUnneeded] removes the records.
func (s *Store) RemoveImport(ctx context.Context, old OldImport, progress func()) (removed bool, err error) {
	err = s.inTx(ctx, func(tx transaction) error {
		tx.progress = progress
		m, err := s.rowsOf(ctx, tx, old)
		if err != nil {
			return err
		}
		// Starting and publishing an import lock the job's row, too; in that case this import
		// stays. Once the row is locked, the conditions are checked again.
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

// rowsOf locks the mapped table whose rows must be removed with the import, and returns nil if
// there is none. The table's recorded shape decides, as this worker may have another file.
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
	exists := false
	if err == nil {
		exists, err = isTable(ctx, tx, m.Table)
	}
	if err != nil || !exists || m.Mode != mapping.ReplaceJob {
		return nil, m.failed(err)
	}
	_, err = tx.ExecContext(ctx, waitForLocks)
	if err == nil {
		_, err = tx.ExecContext(ctx, refuseHiding, m.table())
	}
	return m, m.failed(err)
}
