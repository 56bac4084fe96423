package chaos

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/schematest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Run runs a package's cases. It checks that docs/reliability.md has the same ones, or writes
// them with -report.
func Run(m *testing.M) (code int) {
	systemtest.SetParallel(6)
	code = systemtest.Run(m)
	if code == 0 {
		if err := finishReport(*write); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// Case is a complete system to break.
type Case struct {
	*systemtest.System
	*Entry
	spools []string // must be empty at the end
}

// Many records make a hundred batches: five seconds of a slow import.
const Many = 20_000

// Settings are the defaults of all cases: short times, and batches small enough to break an
// import between them.
var Settings = map[string]string{
	"HOLD_BEFORE_DELETE": "0",
	"BATCH_RECORDS":      "200",
	"HEARTBEAT_TIMEOUT":  "8s",
	"WORKER_GONE_AFTER":  "30s",
}

// Begin starts a case on shared servers. with are further settings, like
// "HOLD_BEFORE_DELETE=1h".
func Begin(t *testing.T, happens, holds string, with ...string) *Case {
	t.Helper()
	e := Register(t, happens, holds)
	return e.On(t, temporaltest.NewNamespace(t), schematest.NewDatabase(t), with...)
}

// On starts a case on its own servers.
func (e *Entry) On(t *testing.T, namespace temporaltest.Namespace, databaseURL string, with ...string) *Case {
	t.Helper()
	all := map[string]string{}
	for name, value := range Settings {
		all[name] = value
	}
	for _, setting := range with {
		name, value, _ := strings.Cut(setting, "=")
		all[name] = value
	}
	return &Case{Entry: e, System: systemtest.NewOn(t, namespace, databaseURL, all, e.CloudOptions...)}
}

// AnswersInTime makes the cloud wait for the response to a notification only as long as the
// starter may take. Its other timeouts are those of the real service.
func AnswersInTime(o *webscrapertest.Options) { o.WebhookTimeout = 8 * time.Second }

// NoRateLimit turns the API's rate limit off.
func NoRateLimit(o *webscrapertest.Options) { o.RateLimitCalls = -1 }

// RecordBytes is the size of one record of webscrapertest.Products.
const RecordBytes = 520

// Worker starts a worker on the spool.
func (c *Case) Worker(spool string) *childprocess.Process {
	c.T.Helper()
	if !slices.Contains(c.spools, spool) {
		c.spools = append(c.spools, spool)
	}
	return c.StartWorker(spool)
}

// Kill is kill -9.
func (c *Case) Kill(worker *childprocess.Process) {
	c.T.Helper()
	c.SignalProcess(worker, syscall.SIGKILL)
	<-worker.Done()
}

// SignalProcess sends a signal to the worker's process.
func (c *Case) SignalProcess(worker *childprocess.Process, signal syscall.Signal) {
	c.T.Helper()
	require.NoError(c.T, syscall.Kill(worker.PID(), signal))
}

// LoseSpool removes the spool, as if its host were lost.
func (c *Case) LoseSpool(spool string) {
	c.T.Helper()
	require.NoError(c.T, os.RemoveAll(spool))
	c.spools = slices.DeleteFunc(c.spools, func(s string) bool { return s == spool })
}

// Finished adds a finished job of n records to the cloud, and sends its notification.
func (c *Case) Finished(n int) (id int64) {
	c.T.Helper()
	id = c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(n, 1)})
	c.Notify(id)
	return id
}

// Calls of the API, for webscrapertest.Fault.
const (
	DescribeCall = "scraping-job/*" // and with DELETE the deletion
	DownloadCall = "scraping-job/*/json"
)

// SlowDownload makes the next downloads take seconds for thousands of records.
func (c *Case) SlowDownload(times int) {
	c.Cloud.Inject(webscrapertest.Fault{Path: DownloadCall, Times: times, Effect: webscrapertest.Drip(1<<10, time.Millisecond)})
}

// UntilDownloading waits until part of a file is in the spool, and returns its size in
// bytes.
func (c *Case) UntilDownloading(spool string) (bytes int64) {
	c.T.Helper()
	return c.UntilPartials(spool, 1)
}

// UntilPartials waits for the partial files of n downloads; killed ones leave theirs.
func (c *Case) UntilPartials(spool string, n int) (bytes int64) {
	c.T.Helper()
	c.WaitFor("a running download", func() bool {
		partials, _ := filepath.Glob(filepath.Join(spool, "*.partial-*"))
		large := 0
		for _, partial := range partials {
			if info, err := os.Stat(partial); err == nil && info.Size() >= 1<<20 {
				bytes = info.Size()
				large++
			}
		}
		return large == n
	})
	return bytes
}

// RequireRest requires that the last download fetched only the rest of the file.
func (c *Case) RequireRest(id int64) {
	c.T.Helper()
	var last webscrapertest.Request
	for _, request := range c.Cloud.Requests() {
		if request.ID == id && strings.HasSuffix(request.Path, "/json") {
			last = request
		}
	}
	require.Equal(c.T, http.StatusPartialContent, last.Status)
	c.Observe("the last download was of %s only (Range: %s)", Megabytes(last.Bytes), last.Range)
}

// RequireDownloading requires that the download was still running when it was broken.
func (c *Case) RequireDownloading(id int64) {
	c.T.Helper()
	require.Zero(c.T, c.Imports(id), "the download was over before it was broken")
}

// SlowImport makes every batch wait inside its transaction. It needs the schema, so start a
// worker before.
func (c *Case) SlowImport() {
	c.DelayBatches("50ms")
	c.DB.MustExec(`CREATE TRIGGER slow BEFORE UPDATE OF committed_bytes ON scrapehaul.imports FOR EACH ROW EXECUTE FUNCTION scrapehaul.slow()`)
}

// DelayBatches sets how long the batches of SlowImport wait.
func (c *Case) DelayBatches(interval string) {
	c.DB.MustExec(`CREATE OR REPLACE FUNCTION scrapehaul.slow() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_sleep_for('` + interval + `'); RETURN NEW; END $$`)
}

// UntilImported waits until that many records are committed but not published.
func (c *Case) UntilImported(id, records int64) {
	c.T.Helper()
	c.WaitFor("some batches", func() bool { return c.Committed(id) >= records })
}

// Committed returns the number of committed records of a running import.
func (c *Case) Committed(id int64) int64 {
	c.T.Helper()
	return c.Count(`SELECT coalesce(max(records), 0) FROM scrapehaul.imports WHERE scrapingjob_id = $1 AND state = 'importing'`, id)
}

// RequireHalf requires that the import was still running when it was broken, and that
// nothing of it is visible. It returns the number of committed records.
func (c *Case) RequireHalf(id, n int64) (records int64) {
	c.T.Helper()
	records = c.Committed(id)
	require.NotZero(c.T, records, "the import was over before it was broken")
	require.Less(c.T, records, n)
	require.Zero(c.T, c.Visible(id), "a partial import is visible")
	return records
}

// Visible returns the number of the job's records that readers see.
func (c *Case) Visible(id int64) int64 {
	c.T.Helper()
	return c.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id)
}

// Imports returns the number of the job's imports in the database.
func (c *Case) Imports(id int64) int64 {
	c.T.Helper()
	return c.Count(`SELECT count(*) FROM scrapehaul.imports WHERE scrapingjob_id = $1`, id)
}

// RequireImported requires success: the workflow completed, every record exists once, no
// file is left, and the job was deleted in the cloud after verification.
func (c *Case) RequireImported(id, n int64) {
	c.T.Helper()
	result := c.Result(id)
	require.Equal(c.T, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(c.T, [2]int64{n, 0}, [2]int64{result.Records, result.Rejected})
	c.RequireOneDownload(id, n)
	c.RequireDeletedAfterwards(id)
	c.RequireEmptySpools()
	c.Observe("%s records once, %s, then deleted in the cloud", humanize.Comma(n), Times(c.Downloads(id), "download"))
}

// RequireOneDownload requires the records of one download, each once, and nothing left of
// unpublished imports.
func (c *Case) RequireOneDownload(id, n int64) {
	c.T.Helper()
	c.RequireRecords(id, n)
	require.Equal(c.T, min(n, 1), c.Count(
		`SELECT count(DISTINCT split_part(web_scraper_order, '-', 1)) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id),
		"records of two downloads are mixed")
	require.Equal(c.T, n, c.Count(`SELECT count(*) FROM scrapehaul.import_records
		WHERE import_id IN (SELECT import_id FROM scrapehaul.imports WHERE scrapingjob_id = $1)`, id), "records of other imports are left")
}

// RequireDeletedAfterwards requires that the job was deleted in the cloud after its last
// download was published, complete by the job's own count.
func (c *Case) RequireDeletedAfterwards(id int64) {
	c.T.Helper()
	require.True(c.T, c.Cloud.Deleted(id))
	require.Equal(c.T, int64(1), c.Count(`
		SELECT count(*) FROM scrapehaul.scraping_jobs
		WHERE scrapingjob_id = $1 AND published_at <= cloud_deleted_at AND stored_record_count =
			(SELECT count(*) FROM scrapehaul.import_records WHERE import_id = published_import_id)`, id))
	var calls []string
	for _, request := range c.Cloud.Requests() {
		if request.ID == id {
			calls = append(calls, request.Method+" "+strings.Replace(request.Path, strconv.FormatInt(id, 10), "*", 1))
		}
	}
	deletion := slices.Index(calls, "DELETE "+DescribeCall)
	require.NotContains(c.T, calls[deletion:], "GET "+DownloadCall, "deleted before the last download")
}

// RequireEmptySpools requires that no spool of the case has a file.
func (c *Case) RequireEmptySpools() {
	c.T.Helper()
	for _, spool := range c.spools {
		c.RequireEmptySpool(spool)
	}
}

// RequireGone is RequireImported for a job with late notifications: the last run may have
// found it deleted.
func (c *Case) RequireGone(id, n int64) {
	c.T.Helper()
	result := c.Result(id)
	require.Contains(c.T, []workflows.Outcome{workflows.Deleted, workflows.NotFound}, result.Outcome, result.Reason)
	c.Completed(id)
	c.RequireOneDownload(id, n)
	c.RequireDeletedAfterwards(id)
}

// Completed waits for the end of the job's workflow, requires that all its runs completed,
// and returns their number.
func (c *Case) Completed(id int64) (runs int) {
	c.T.Helper()
	var all []*workflowpb.WorkflowExecutionInfo
	c.WaitForAnswer("the end of all runs", func() bool {
		last := c.Describe(id).GetWorkflowExecutionInfo().GetExecution().GetRunId()
		all = c.Runs(id)
		// The list may lag behind.
		return len(all) > 0 && all[0].GetExecution().GetRunId() == last &&
			!slices.ContainsFunc(all, func(run *workflowpb.WorkflowExecutionInfo) bool {
				return run.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
			})
	})
	for _, run := range all {
		require.Equal(c.T, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, run.GetStatus())
	}
	return len(all)
}

// Describe returns the job's last run as Temporal sees it.
func (c *Case) Describe(id int64) *workflowservice.DescribeWorkflowExecutionResponse {
	c.T.Helper()
	description, err := c.Temporal.DescribeWorkflowExecution(c.T.Context(), workflows.WorkflowID(id), "")
	require.NoError(c.T, err)
	return description
}

// RequireAttention requires that the import needs attention and says why, the job is still
// in the cloud, and the view has the expected number of records.
func (c *Case) RequireAttention(id, visible int64, sentence string) {
	c.T.Helper()
	says := c.Attention(id)
	require.Contains(c.T, says, sentence)
	require.Equal(c.T, workflows.StepNeedsAttention, c.Progress(id).Step)
	c.RequireOneDownload(id, visible)
	c.RequireInCloud(id)
	c.WaitFor("empty spools", func() bool {
		return !slices.ContainsFunc(c.spools, func(spool string) bool {
			files, _ := filepath.Glob(filepath.Join(spool, "[^.]*"))
			return len(files) > 0
		})
	})
	says, _, _ = strings.Cut(says, ". Signals: ")
	c.Observe("needs attention: “%s”", says)
}

// RequireInCloud requires that no deletion of the job was attempted.
func (c *Case) RequireInCloud(id int64) {
	c.T.Helper()
	require.False(c.T, c.Cloud.Deleted(id))
	for _, request := range c.Cloud.Requests() {
		require.False(c.T, request.ID == id && request.Method == "DELETE", "a deletion was attempted")
	}
}

// RequireCanceled cancels the import, and requires that nothing of it is left.
func (c *Case) RequireCanceled(id int64) {
	c.T.Helper()
	require.NoError(c.T, c.Temporal.CancelWorkflow(c.T.Context(), workflows.WorkflowID(id), ""))
	c.WaitForAnswer("the end", func() bool {
		runs := c.Runs(id)
		return len(runs) == 1 && runs[0].GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED
	})
	require.Zero(c.T, c.Visible(id))
	c.RequireInCloud(id)
	c.RequireEmptySpools()
	c.Observe("canceled: nothing visible, no file, the job still in the cloud")
}

// Times formats "1 download", "2 downloads".
func Times(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// Megabytes formats n bytes.
func Megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// Failure waits until an attempt of the import fails with that text, and returns the
// message.
func (c *Case) Failure(id int64, says string) (message string) {
	c.T.Helper()
	c.WaitForAnswer(says, func() bool {
		for _, pending := range c.Describe(id).GetPendingActivities() {
			message = pending.GetLastFailure().GetMessage()
		}
		return strings.Contains(message, says)
	})
	return message
}

// Reconcile runs the starter's command and requires that text in its output.
func (c *Case) Reconcile(says string) {
	c.T.Helper()
	output, err := c.Programs.RunStarter(c.T.Context(), c.Env, "reconcile")
	require.NoError(c.T, err)
	require.Contains(c.T, output, says)
	c.Observe("“%s”", says)
}

// ListedAttention counts the imports in need of attention in Temporal's list, which lags
// behind.
func (c *Case) ListedAttention() (n int) {
	counts, err := workflows.CountOpenImports(c.T.Context(), c.Temporal)
	require.NoError(c.T, err)
	for _, count := range counts {
		for _, each := range count.NeedAttention {
			n += each
		}
	}
	return n
}
