package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// PastImport is an import as the history of all imports has it, open ones included.
type PastImport struct {
	ImportID      int64          `db:"import_id"`
	ScrapingJobID int64          `db:"scrapingjob_id"`
	Account       string         `db:"account"`
	SitemapName   sql.NullString `db:"sitemap_name"` // null until an import of the job is published
	WorkflowRunID string         `db:"workflow_run_id"`
	// State is "importing" from the beginning, "published" when readers see the
	// records, "replaced" when they see a later import of the job instead, "removed"
	// when its retention was over, and "abandoned" when it was overtaken before it was
	// published.
	State string `db:"state"`
	// Attempts counts the attempts that have written.
	Attempts int64 `db:"attempts"`
	// Counts are those of what has been committed so far, without Skipped and Cut, Bytes
	// the whole file's size.
	sink.Counts
	Bytes       int64        `db:"bytes"`
	StartedAt   time.Time    `db:"started_at"`
	PublishedAt sql.NullTime `db:"published_at"`
	RemovedAt   sql.NullTime `db:"removed_at"`
	TimeCreated sql.NullTime `db:"time_created"` // of the job; null if that is not known
	RowsOnly    bool         `db:"rows_only"`    // its records are kept as rows of the mapped table only
	ChangeCounts
	// Problem is what was not done besides publishing the records.
	Problem string `db:"problem"`
}

// KeepsRejected says whether its rejected and unmapped records are kept, for [Store.Rejected]:
// those of other imports are removed.
func (p PastImport) KeepsRejected() bool { return p.State == "importing" || p.State == "published" }

// HistoryQuery chooses a page of the history.
type HistoryQuery struct {
	// ScrapingJobID is the job whose imports are wanted; 0 for all jobs.
	ScrapingJobID int64
	// Before is the ImportID that the page comes after, which is the last one of
	// the page before; 0 for the first page.
	Before int64
	// Limit is how many imports the page has at most.
	Limit int
}

const selectPastImports = `
SELECT import.import_id, import.scrapingjob_id, job.account, job.sitemap_name, import.workflow_run_id, import.state,
       import.fence AS attempts, import.records, import.rejected, import.unmapped, import.bytes, import.started_at, import.published_at, import.removed_at,
       job.time_created, import.rows_only,
       import.compared_import_id, coalesce(import.new_records, 0) AS new_records, coalesce(import.gone_records, 0) AS gone_records,
       coalesce(import.changed_records, 0) AS changed_records, coalesce(import.duplicate_keys, 0) AS duplicate_keys,
       coalesce(import.problem, '') AS problem
FROM scrapehaul.imports AS import
JOIN scrapehaul.scraping_jobs AS job USING (scrapingjob_id)`

// Its parameters are known when it is planned: without a job the primary key is read
// backwards, with one imports_by_job is looked through, which has few rows of each job.
const selectHistory = selectPastImports + `
WHERE ($1::bigint = 0 OR import.import_id < $1) AND ($2::bigint = 0 OR import.scrapingjob_id = $2)
ORDER BY import.import_id DESC LIMIT $3`

// History returns a page of the imports of one job or of all, the one that began
// last first.
func (s *Store) History(ctx context.Context, query HistoryQuery) (imports []PastImport, err error) {
	err = s.db.SelectContext(ctx, &imports, selectHistory, query.Before, query.ScrapingJobID, query.Limit)
	return imports, doing(err, "reading the history of imports")
}

// Of each job the import that was published last, whether its records have been removed since or not.
const selectSitemapHistory = selectPastImports + `
WHERE import.import_id IN (
    SELECT max(published.import_id) FROM scrapehaul.scraping_jobs AS of
    JOIN scrapehaul.imports AS published USING (scrapingjob_id)
    WHERE of.account = $1 AND of.sitemap_name = $2 AND of.status = 'finished' AND published.state IN ('published', 'removed')
    GROUP BY scrapingjob_id ORDER BY scrapingjob_id DESC LIMIT $3)
ORDER BY import.scrapingjob_id`

// SitemapHistory returns the published imports of the last finished jobs of an account's
// sitemap, at most limit of them, in the order of the jobs' IDs.
func (s *Store) SitemapHistory(ctx context.Context, account, sitemapName string, limit int) (imports []PastImport, err error) {
	err = s.db.SelectContext(ctx, &imports, selectSitemapHistory, account, sitemapName, limit)
	return imports, doing(err, "reading the history of sitemap %q", sink.QualifiedSitemap(account, sitemapName))
}

const countByAccount = `SELECT account, count(*) AS jobs FROM scrapehaul.scraping_jobs GROUP BY account`

// JobsByAccount counts the scraping jobs that are known, by account.
func (s *Store) JobsByAccount(ctx context.Context) (map[string]int, error) {
	var counts []struct {
		Account string `db:"account"`
		Jobs    int    `db:"jobs"`
	}
	err := s.db.SelectContext(ctx, &counts, countByAccount)
	jobs := map[string]int{}
	for _, each := range counts {
		jobs[each.Account] = each.Jobs
	}
	return jobs, doing(err, "counting the scraping jobs of each account")
}

// RejectedRecord is a record that could not be imported, or has no row in the table
// of its mapping, and why.
type RejectedRecord struct {
	Unmapped     bool   `db:"unmapped"`
	RecordNumber int64  `db:"record_number"`
	Reason       string `db:"reason"`
	// Beginning is the first bytes of the record as it came: any bytes.
	Beginning []byte `db:"beginning"`
	// Bytes is the size of what is kept of the record.
	Bytes int64 `db:"bytes"`
}

const selectRejected = `
(SELECT record_number, reason, substring(raw FROM 1 FOR $3) AS beginning, length(raw) AS bytes, false AS unmapped
 FROM scrapehaul.rejected_records WHERE import_id = $1 ORDER BY record_number LIMIT $2)
UNION ALL
(SELECT record_number, reason, substring(convert_to(data::text, 'UTF8') FROM 1 FOR $3), octet_length(data::text), true
 FROM scrapehaul.unmapped_records JOIN scrapehaul.import_records USING (import_id, record_number)
 WHERE import_id = $1 ORDER BY record_number LIMIT $2)
ORDER BY record_number LIMIT $2`

// Rejected returns the first records of an import, by their numbers, that were
// rejected or left unmapped, each with at most beginning bytes of its content; see [PastImport.KeepsRejected].
func (s *Store) Rejected(ctx context.Context, importID int64, limit, beginning int) (records []RejectedRecord, err error) {
	err = s.db.SelectContext(ctx, &records, selectRejected, importID, limit, beginning)
	return records, doing(err, "reading the rejected records of import %d", importID)
}
