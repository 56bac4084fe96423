package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// PastImport is an import in the history, which includes unfinished imports.
type PastImport struct {
	ImportID      int64          `db:"import_id"`
	ScrapingJobID int64          `db:"scrapingjob_id"`
	Account       string         `db:"account"`
	SitemapName   sql.NullString `db:"sitemap_name"` // null until an import of the job is published
	WorkflowRunID string         `db:"workflow_run_id"`
	// State is "importing" at first, "published" while readers see the records, "replaced"
	// once they see a later import of the job, "removed" after its retention, and
	// "abandoned" if it ended before it was published.
	State string `db:"state"`
	// Attempts is the number of attempts.
	Attempts int64 `db:"attempts"`
	// Counts are the records committed so far, without Skipped and Cut.
	sink.Counts
	Bytes       int64        `db:"bytes"` // size of the file
	StartedAt   time.Time    `db:"started_at"`
	PublishedAt sql.NullTime `db:"published_at"`
	RemovedAt   sql.NullTime `db:"removed_at"`
	TimeCreated sql.NullTime `db:"time_created"` // of the job; null if unknown
	RowsOnly    bool         `db:"rows_only"`    // the records exist only as rows of the mapped table
	ChangeCounts
	// Problem says what failed although the records were published.
	Problem string `db:"problem"`
}

// KeepsRejected reports whether the import still has its rejected and unmapped records, for
// [Store.Rejected].
func (p PastImport) KeepsRejected() bool { return p.State == "importing" || p.State == "published" }

// HistoryQuery selects a page of the history.
type HistoryQuery struct {
	// ScrapingJobID selects the imports of one job; 0 selects all jobs.
	ScrapingJobID int64
	// Before is the last ImportID of the previous page; 0 for the first page.
	Before int64
	// Limit is the maximum number of imports.
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

// The planner knows the parameters: without a job it reads the primary key backwards, with
// one it uses imports_by_job, which has few rows per job.
const selectHistory = selectPastImports + `
WHERE ($1::bigint = 0 OR import.import_id < $1) AND ($2::bigint = 0 OR import.scrapingjob_id = $2)
ORDER BY import.import_id DESC LIMIT $3`

// History returns a page of the imports of one job or of all jobs, newest first.
func (s *Store) History(ctx context.Context, query HistoryQuery) (imports []PastImport, err error) {
	err = s.db.SelectContext(ctx, &imports, selectHistory, query.Before, query.ScrapingJobID, query.Limit)
	return imports, doing(err, "reading the history of imports")
}

// The last published import of each job, even if its records were removed since.
const selectSitemapHistory = selectPastImports + `
WHERE import.import_id IN (
    SELECT max(published.import_id) FROM scrapehaul.scraping_jobs AS of
    JOIN scrapehaul.imports AS published USING (scrapingjob_id)
    WHERE of.account = $1 AND of.sitemap_name = $2 AND of.status = 'finished' AND published.state IN ('published', 'removed')
    GROUP BY scrapingjob_id ORDER BY scrapingjob_id DESC LIMIT $3)
ORDER BY import.scrapingjob_id`

// SitemapHistory returns the published imports of the last limit finished jobs of an
// account's sitemap, in the order of the job IDs.
func (s *Store) SitemapHistory(ctx context.Context, account, sitemapName string, limit int) (imports []PastImport, err error) {
	err = s.db.SelectContext(ctx, &imports, selectSitemapHistory, account, sitemapName, limit)
	return imports, doing(err, "reading the history of sitemap %q", sink.QualifiedSitemap(account, sitemapName))
}

const countByAccount = `SELECT account, count(*) AS jobs FROM scrapehaul.scraping_jobs GROUP BY account`

// JobsByAccount counts the known scraping jobs by account.
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

// RejectedRecord is a record that was rejected, or has no row in its mapped table, with the
// reason.
type RejectedRecord struct {
	Unmapped     bool   `db:"unmapped"`
	RecordNumber int64  `db:"record_number"`
	Reason       string `db:"reason"`
	// Beginning is the first bytes of the original record. They may not be valid text.
	Beginning []byte `db:"beginning"`
	// Bytes is the stored size of the record.
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

// Rejected returns the first limit rejected or unmapped records of an import in the order of
// their numbers, each with at most beginning bytes of its content. See
// [PastImport.KeepsRejected].
func (s *Store) Rejected(ctx context.Context, importID int64, limit, beginning int) (records []RejectedRecord, err error) {
	err = s.db.SelectContext(ctx, &records, selectRejected, importID, limit, beginning)
	return records, doing(err, "reading the rejected records of import %d", importID)
}
