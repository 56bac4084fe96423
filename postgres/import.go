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
	// fencingToken must still be the import's current one in every commit.
	fencingToken int64
	// published is set if an earlier attempt has published the import.
	published bool

	// rowPrefix starts every row of the COPY data.
	rowPrefix []byte
	// mapped is nil unless the sitemap is mapped to a table.
	mapped *mappedRows
	// rowsOnly is set if the records are kept in the mapped table only.
	rowsOnly bool
	// problem says what failed although the records were published.
	problem string

	mu         sync.Mutex
	checkpoint sink.Checkpoint
	// committedColumns are the columns of the records up to the checkpoint.
	committedColumns []string
	// patience is how long a failed batch waits for the previous ones.
	patience time.Duration
}

// ID returns the import's key in scrapehaul.imports.
func (i *attempt) ID() int64 { return i.id }

// Checkpoint returns how far the import is committed, including by earlier attempts.
func (i *attempt) Checkpoint() sink.Checkpoint {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.checkpoint
}

// Problem says why the sitemap's view was not refreshed or rows of a mapped table were not
// deactivated.
func (i *attempt) Problem() string { return i.problem }

// progress is called repeatedly during long steps.
func (i *attempt) progress() {
	if i.request.Progress != nil {
		i.request.Progress()
	}
}

// Published reports whether this or an earlier attempt has published the import.
func (i *attempt) Published() bool { return i.published }

const selectJobImports = `
SELECT coalesce(bool_or(requested_at > $2), false) AS superseded, coalesce(bool_or(state = 'importing'), false) AS unfinished,
       coalesce(bool_or(workflow_run_id = $3 AND pass = $4 AND bytes = $5 AND sha256 = $6), false) AS attempted
FROM scrapehaul.imports WHERE scrapingjob_id = $1`

// A published job keeps its account.
const lockScrapingJob = `
INSERT INTO scrapehaul.scraping_jobs AS job (scrapingjob_id, account) VALUES ($1, $2)
ON CONFLICT (scrapingjob_id) DO UPDATE SET account = CASE WHEN job.published_at IS NULL THEN excluded.account ELSE job.account END
RETURNING account`

const importRow = `import_id, fence, committed_bytes, last_record_number, records, rejected, skipped, unmapped, cut, columns,
    state <> 'importing' AS published, coalesce(problem, '') AS problem`

// If a later pass of the same run has published since, this import is 'replaced' and still
// done. So is a removed one.
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

// selectReasons selects why records were rejected or left unmapped.
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

// BeginImport starts an attempt at an import, or resumes one; see [sink.RecordSink].
func (s *Store) BeginImport(ctx context.Context, request sink.ImportRequest) (sink.Import, error) {
	attempt := &attempt{store: s, request: request, patience: 30 * time.Second}
	prior, err := attempt.priorImports(ctx, s.db)
	if err == nil && prior.Unfinished {
		// An attempt that hangs in a transaction holds its locks until its connection ends.
		err = s.terminateAttempts(ctx, request.Job.ScrapingJobID)
	}
	if err == nil {
		err = s.inTx(ctx, func(tx transaction) error { return attempt.begin(ctx, tx) })
		attempt.addFix(ctx, err)
	}
	if err != nil {
		return nil, fmt.Errorf("starting the import of scraping job %d: %w", request.Job.ScrapingJobID, err)
	}
	return attempt, nil
}

// priorImports says whether the job has imports that were requested later, are unfinished,
// or are of this request.
type priorImports struct{ Superseded, Unfinished, Attempted bool }

// priorImports returns sink.ErrSuperseded if a later import was requested.
func (i *attempt) priorImports(ctx context.Context, db session) (prior priorImports, err error) {
	err = db.GetContext(ctx, &prior, selectJobImports, i.request.Job.ScrapingJobID, i.request.RequestedAt,
		i.request.WorkflowRunID, i.request.Pass, i.request.Bytes, i.request.SHA256)
	if prior.Superseded {
		err = sink.ErrSuperseded
	}
	return prior, err
}

func (i *attempt) lockScrapingJob(ctx context.Context, tx transaction) error {
	job := &i.request.Job
	var owner string
	err := tx.GetContext(ctx, &owner, lockScrapingJob, job.ScrapingJobID, cmp.Or(job.Account, sink.DefaultAccount))
	if err == nil && job.Account != "" && job.Account != owner {
		return sink.ErrSuperseded // the workflow starts over and finds out why it is refused
	}
	job.Account = owner
	return err
}

// begin finds the import of the request or creates it.
func (i *attempt) begin(ctx context.Context, tx transaction) error {
	// The job's row is the lock: attempts start one at a time.
	if err := i.lockScrapingJob(ctx, tx); err != nil {
		return err
	}
	prior, err := i.priorImports(ctx, tx)
	if err != nil {
		return err
	}
	key := []any{i.request.Job.ScrapingJobID, i.request.WorkflowRunID, i.request.Pass, i.request.Bytes, i.request.SHA256}
	of := i.store.mappings.For(i.request.Job.Account, i.request.Job.SitemapName)
	i.rowsOnly = of != nil && of.RowsOnly
	var row struct {
		ImportID     int64 `db:"import_id"`
		FencingToken int64 `db:"fence"`
		sink.Checkpoint
		Columns   pq.StringArray `db:"columns"`
		Published bool           `db:"published"`
		Problem   string         `db:"problem"` // of a published import
	}
	err = sql.ErrNoRows
	if prior.Attempted {
		err = tx.GetContext(ctx, &row, takeOver, append(key, loadedBy(of))...)
	}
	if err == nil && !row.Published && of != nil {
		i.mapped = newMappedRows(of, holdingTable(row.ImportID))
		tx.progress = i.progress // counting rows takes long
		err = i.mapped.checkComplete(ctx, tx, row.Good())
	}
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, errIncomplete) {
		if prior.Unfinished {
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
	i.id, i.fencingToken, i.checkpoint, i.committedColumns = row.ImportID, row.FencingToken, row.Checkpoint, row.Columns
	i.published, i.problem = row.Published, row.Problem
	i.rowPrefix = fmt.Appendf(nil, "%d\t", i.id)
	return nil
}

// preparePublishing names the connection and makes the commit synchronous even if the
// database's default is not: after that, the job may be deleted in the cloud.
const preparePublishing = `
SELECT current_setting('default_transaction_read_only')::boolean OR pg_is_in_recovery()
FROM set_config('application_name', $1, true) AS name,
     current_setting('synchronous_commit') AS was, set_config('synchronous_commit', CASE was WHEN 'off' THEN 'on' ELSE was END, true) AS waits`

// A job has one published import at a time: the previous one is replaced first.
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

// Publish also stores the job that the import was made from, adds the records' columns to
// the sitemap's view (or sets Problem), and notifies channel scrapehaul_published; see
// [sink.Import].
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
	// The import is published even if the comparison fails; reconciliation retries that.
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
	// The job first, as in BeginImport.
	if err := i.lockScrapingJob(ctx, tx); err != nil {
		return err
	}
	var published publishedRow
	err := tx.GetContext(ctx, &published, setPublished, job.ScrapingJobID, i.id, i.fencingToken, i.request.Announce, i.request.Restored,
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

// Abandon abandons the import. [Store.RemoveUnneeded] removes its records.
func (i *attempt) Abandon(ctx context.Context) error {
	err := exactlyOne(i.store.exec(ctx, setAbandoned, i.id, i.fencingToken))
	return doing(err, "abandoning import %d", i.id)
}

// exactlyOne returns sink.ErrOvertaken for an update that fencing prevented.
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

// nameConnection also checks for a read-only server: transactions that ask for read-write
// are allowed to write even if it was made read-only by default.
const nameConnection = `
SELECT current_setting('transaction_read_only')::boolean FROM set_config('application_name', $1, false)`

// named does work on a connection that terminateAttempts can find. The name is set outside
// of any transaction: PostgreSQL would report its rollback, and lib/pq would take that for
// the end of the connection in a COPY.
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
