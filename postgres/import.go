package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/sink"
)

// attempt is the [sink.Import].
type attempt struct {
	store   *Store
	request sink.ImportRequest
	id      int64
	fence   int64
	// published is set when an earlier attempt has already published.
	published bool

	// rowPrefix begins every row of the COPY data.
	rowPrefix []byte
	// mapped is nil if the records become rows of no table beside.
	mapped *mappedRows
	// rowsOnly is set if they are copied nowhere else.
	rowsOnly bool
	// problem is what publishing has not done besides.
	problem string

	mu   sync.Mutex
	checkpoint sink.Checkpoint
	// committedColumns are those of the records up to the checkpoint.
	committedColumns []string
	// patience is how long a batch that has failed waits for those before it.
	patience time.Duration
}

// ID is the import's key in scrapehaul.imports.
func (i *attempt) ID() int64 { return i.id }

// Checkpoint is how far the import has been committed, by earlier attempts too.
func (i *attempt) Checkpoint() sink.Checkpoint {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.checkpoint
}

// Problem says why the view of the sitemap was not refreshed, or rows of a mapped
// table not deactivated.
func (i *attempt) Problem() string { return i.problem }

// progress is called as often as a step that takes long gets somewhere.
func (i *attempt) progress() {
	if i.request.Progress != nil {
		i.request.Progress()
	}
}

// Published says whether the import has been published, by an earlier attempt
// too.
func (i *attempt) Published() bool { return i.published }

const selectJobImports = `
SELECT coalesce(bool_or(requested_at > $2), false) AS superseded, coalesce(bool_or(state = 'importing'), false) AS unfinished,
       coalesce(bool_or(workflow_run_id = $3 AND pass = $4 AND bytes = $5 AND sha256 = $6), false) AS attempted
FROM scrapehaul.imports WHERE scrapingjob_id = $1`

// A job that is published stays its account's.
const lockScrapingJob = `
INSERT INTO scrapehaul.scraping_jobs AS job (scrapingjob_id, account) VALUES ($1, $2)
ON CONFLICT (scrapingjob_id) DO UPDATE SET account = CASE WHEN job.published_at IS NULL THEN excluded.account ELSE job.account END
RETURNING account`

const importRow = `import_id, fence, committed_bytes, last_record_number, records, rejected, skipped, unmapped, cut, columns,
    state <> 'importing' AS published, coalesce(problem, '') AS problem`

// A later pass of the same run can have published since; then this attempt's
// import is 'replaced' and still done, as is one that was removed.
const takeOver = `
UPDATE scrapehaul.imports SET fence = CASE state WHEN 'importing' THEN fence + 1 ELSE fence END
WHERE scrapingjob_id = $1 AND workflow_run_id = $2 AND pass = $3 AND bytes = $4 AND sha256 = $5
  AND (state IN ('published', 'replaced', 'removed') OR state = 'importing' AND mapping = $6)
RETURNING ` + importRow

const abandonOthers = `
UPDATE scrapehaul.imports SET state = 'abandoned' WHERE scrapingjob_id = $1 AND state = 'importing'`

const insertImport = `
INSERT INTO scrapehaul.imports (scrapingjob_id, workflow_run_id, pass, bytes, sha256, mapping, requested_at, rows_only)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING ` + importRow

// selectReasons has the reasons for records that are not where they ought to be.
const selectReasons = `
SELECT min(record_number) AS record_number, reason FROM (
    SELECT record_number, reason FROM scrapehaul.rejected_records WHERE import_id = $1
    UNION ALL SELECT record_number, reason FROM scrapehaul.unmapped_records WHERE import_id = $1
) AS records
GROUP BY reason ORDER BY record_number LIMIT $2`

// Reasons returns why records were rejected or left unmapped; see [sink.Import].
func (i *attempt) Reasons(ctx context.Context, limit int) (reasons []sink.Reason, err error) {
	err = i.store.db.SelectContext(ctx, &reasons, selectReasons, i.id, limit)
	return reasons, doing(err, "reading why records of import %d were rejected", i.id)
}

// BeginImport begins an attempt at an import, or resumes one; see
// [sink.RecordSink].
func (s *Store) BeginImport(ctx context.Context, request sink.ImportRequest) (sink.Import, error) {
	attempt := &attempt{store: s, request: request, patience: 30 * time.Second}
	standing, err := attempt.standing(ctx, s.db)
	if err == nil && standing.Unfinished {
		// An attempt that hangs in a transaction would hold its locks for as long
		// as its connection lives.
		err = s.terminateAttempts(ctx, request.Job.ScrapingJobID)
	}
	if err == nil {
		err = s.inTx(ctx, func(tx transaction) error { return attempt.begin(ctx, tx) })
		attempt.addFix(ctx, err)
	}
	if err != nil {
		return nil, fmt.Errorf("beginning the import of scraping job %d: %w", request.Job.ScrapingJobID, err)
	}
	return attempt, nil
}

// standing is what the imports of the job say: that there is an unfinished one, and one of
// this request.
type standing struct{ Superseded, Unfinished, Attempted bool }

// standing returns sink.ErrSuperseded if a later import was requested.
func (i *attempt) standing(ctx context.Context, db session) (s standing, err error) {
	err = db.GetContext(ctx, &s, selectJobImports, i.request.Job.ScrapingJobID, i.request.RequestedAt,
		i.request.WorkflowRunID, i.request.Pass, i.request.Bytes, i.request.SHA256)
	if s.Superseded {
		err = sink.ErrSuperseded
	}
	return s, err
}

func (i *attempt) lockScrapingJob(ctx context.Context, tx transaction) error {
	job := &i.request.Job
	var owner string
	err := tx.GetContext(ctx, &owner, lockScrapingJob, job.ScrapingJobID, cmp.Or(job.Account, sink.DefaultAccount))
	if err == nil && job.Account != "" && job.Account != owner {
		return sink.ErrSuperseded // it begins again, and finds out why it is refused
	}
	job.Account = owner
	return err
}

// begin finds the import of the request or makes it.
func (i *attempt) begin(ctx context.Context, tx transaction) error {
	// The job's row is the lock: attempts begin one after the other.
	if err := i.lockScrapingJob(ctx, tx); err != nil {
		return err
	}
	standing, err := i.standing(ctx, tx)
	if err != nil {
		return err
	}
	key := []any{i.request.Job.ScrapingJobID, i.request.WorkflowRunID, i.request.Pass, i.request.Bytes, i.request.SHA256}
	of := i.store.mappings.For(i.request.Job.Account, i.request.Job.SitemapName)
	i.rowsOnly = of != nil && of.RowsOnly
	var row struct {
		ImportID int64 `db:"import_id"`
		Fence    int64 `db:"fence"`
		sink.Checkpoint
		Columns   pq.StringArray `db:"columns"`
		Published bool           `db:"published"`
		Problem   string         `db:"problem"` // of a published import
	}
	err = sql.ErrNoRows
	if standing.Attempted {
		err = tx.GetContext(ctx, &row, takeOver, append(key, loadedBy(of))...)
	}
	if err == nil && !row.Published && of != nil {
		i.mapped = newMappedRows(of, holdingTable(row.ImportID))
		tx.progress = i.progress // it counts the rows
		err = i.mapped.checkComplete(ctx, tx, row.Good())
	}
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, errIncomplete) {
		if standing.Unfinished {
			if _, err := tx.ExecContext(ctx, abandonOthers, i.request.Job.ScrapingJobID); err != nil {
				return err
			}
		}
		row.Columns = nil
		err = tx.GetContext(ctx, &row, insertImport, append(key, loadedBy(of), i.request.RequestedAt, i.rowsOnly)...)
		if err == nil && of != nil {
			i.mapped = newMappedRows(of, holdingTable(row.ImportID))
			err = i.mapped.create(ctx, tx)
		}
	}
	if err != nil {
		return err
	}
	i.id, i.fence, i.checkpoint, i.committedColumns = row.ImportID, row.Fence, row.Checkpoint, row.Columns
	i.published, i.problem = row.Published, row.Problem
	i.rowPrefix = fmt.Appendf(nil, "%d\t", i.id)
	return nil
}

// preparePublishing names the connection and has the commit wait for the disk, also in a
// database that is set up not to: what is published may be deleted in the cloud after that.
const preparePublishing = `
SELECT current_setting('default_transaction_read_only')::boolean OR pg_is_in_recovery()
FROM set_config('application_name', $1, true) AS name,
     current_setting('synchronous_commit') AS was, set_config('synchronous_commit', CASE was WHEN 'off' THEN 'on' ELSE was END, true) AS waits`

// One import of a job is published at a time: the one before is replaced first.
const setPublished = `
WITH replaced AS (
    UPDATE scrapehaul.imports SET state = 'replaced' WHERE scrapingjob_id = $1 AND state = 'published' RETURNING import_id
), taken_up AS (
    DELETE FROM scrapehaul.given_up_jobs WHERE scrapingjob_id = $1
), import AS (
    UPDATE scrapehaul.imports AS import
    SET state = 'published', published_at = now(), announce = $4, restored = $5, mapping = regexp_replace(mapping, '^rows only: ', ''),
        replaced_import_id = (SELECT coalesce(published_import_id, removed_import_id) FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = $1)
    WHERE import_id = $2 AND fence = $3 AND state = 'importing' AND committed_bytes = bytes AND (SELECT count(*) FROM replaced) <= 1
    RETURNING *
)
UPDATE scrapehaul.scraping_jobs AS job
SET sitemap_id = $6, sitemap_name = $7, custom_id = nullif($8, ''), status = $9, jobs_scheduled = $10, jobs_executed = $11, jobs_failed = $12,
    jobs_empty = $13, jobs_no_value = $14, stored_record_count = $15, time_created = to_timestamp(nullif($16::bigint, 0)),
    scraping_duration = nullif($17::bigint, 0), published_import_id = $2, removed_import_id = NULL, published_at = now(), cloud_deleted_at = $18
FROM import
WHERE job.scrapingjob_id = $1
RETURNING` + publicationOf

const noteProblem = `UPDATE scrapehaul.imports SET problem = $2 WHERE import_id = $1`

// Publish notes the job object that the import was made from, and adds the
// records' columns to the view of their sitemap, if PostgreSQL lets it
// (Problem). It notifies channel scrapehaul_published; see [sink.Import].
func (i *attempt) Publish(ctx context.Context, progress func()) error {
	if i.published {
		return nil
	}
	if checkpoint := i.Checkpoint(); checkpoint.Bytes != i.request.Bytes {
		return fmt.Errorf("publishing import %d: only %d of %d bytes are committed", i.id, checkpoint.Bytes, i.request.Bytes)
	}
	err := i.store.inTx(ctx, func(tx transaction) error {
		tx.progress = progress
		return i.publish(ctx, tx)
	})
	if err != nil {
		i.addFix(ctx, err)
		return fmt.Errorf("publishing import %d: %w", i.id, err)
	}
	i.published = true
	if len(i.store.mappings.Key(i.request.Job.Account, i.request.Job.SitemapName)) == 0 {
		return nil
	}
	// It is published whatever becomes of the comparison, which reconciliation tries again.
	compare, stop := context.WithTimeout(ctx, compareWithin)
	defer stop()
	_ = i.store.compareImports(compare, i.request.Job.ScrapingJobID, compareWithin, progress)
	return nil
}

func (i *attempt) publish(ctx context.Context, tx transaction) error {
	job := &i.request.Job
	var readOnly bool
	if err := tx.GetContext(ctx, &readOnly, preparePublishing, applicationName(job.ScrapingJobID)); err != nil {
		return err
	}
	if readOnly {
		return ErrReadOnly
	}
	// In the same order as BeginImport: the job first.
	if err := i.lockScrapingJob(ctx, tx); err != nil {
		return err
	}
	var published publishedRow
	err := tx.GetContext(ctx, &published, setPublished, job.ScrapingJobID, i.id, i.fence, i.request.Announce, i.request.Restored,
		job.SitemapID, job.SitemapName, job.CustomID, job.Status, job.JobsScheduled, job.JobsExecuted, job.JobsFailed,
		job.JobsEmpty, job.JobsNoValue, job.StoredRecordCount, job.TimeCreated, job.ScrapingDuration, i.request.CloudDeletedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return sink.ErrOvertaken
	}
	if err != nil {
		return err
	}
	event, err := notice(published.event())
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, notify, string(event)); err != nil {
		return err
	}
	var problems []string
	if i.mapped != nil {
		if problems, err = i.publishRows(ctx, tx); err != nil {
			return i.mapped.failed(err)
		}
	}
	if job.SitemapName != "" {
		problem, err := i.store.refreshView(ctx, tx, job.Account, job.SitemapName, i.committedColumns, i.rowsOnly)
		if err != nil {
			return err
		}
		problems = append(problems, problem)
	}
	if i.mapped != nil {
		if err := dropHolding(ctx, tx, i.id); err != nil {
			return i.mapped.failed(err)
		}
	}
	i.problem = strings.Join(slices.DeleteFunc(problems, func(p string) bool { return p == "" }), "; ")
	if i.problem == "" {
		return nil
	}
	_, err = tx.ExecContext(ctx, noteProblem, i.id, i.problem)
	return err
}

const setAbandoned = `
UPDATE scrapehaul.imports SET state = 'abandoned' WHERE import_id = $1 AND fence = $2 AND state = 'importing'`

// Abandon leaves the records for [Store.RemoveUnneeded].
func (i *attempt) Abandon(ctx context.Context) error {
	err := exactlyOne(i.store.exec(ctx, setAbandoned, i.id, i.fence))
	return doing(err, "abandoning import %d", i.id)
}

// exactlyOne turns an update that the fence kept from its row into
// sink.ErrOvertaken.
func exactlyOne(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	updated, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if updated != 1 {
		return sink.ErrOvertaken
	}
	return nil
}

// Transactions say that they write, so that they would do so on a server that was
// made read-only, too.
const nameConnection = `
SELECT current_setting('transaction_read_only')::boolean FROM set_config('application_name', $1, false)`

// named does work on a connection that terminateAttempts finds. The name is set
// outside of any transaction: when a rollback takes it back, PostgreSQL says so,
// and lib/pq takes that for the connection's end in a COPY.
func (i *attempt) named(ctx context.Context, conn *sqlx.Conn, work func() error) error {
	var readOnly bool
	if err := conn.GetContext(ctx, &readOnly, nameConnection, applicationName(i.request.Job.ScrapingJobID)); err != nil {
		return err
	}
	if readOnly {
		return ErrReadOnly
	}
	if err := work(); err != nil {
		return err
	}
	_, err := conn.ExecContext(ctx, `RESET application_name`)
	return err
}
