package chaos

import (
	"flag"
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

var report = flag.String("report", "", "write what was observed into this `file`, docs/reliability.md")

func TestMain(m *testing.M) {
	flag.Parse()
	// Cases mostly wait, so run several in parallel.
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "6") // a number
	}
	code := systemtest.Run(m)
	if code == 0 {
		if err := finishReport(*report); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// chaos is a case: a complete system to break.
type chaos struct {
	*systemtest.System
	*entry
	spools []string // must be empty at the end
}

// settings are the defaults of all cases: short times, and batches small enough to break an
// import between them.
var settings = map[string]string{
	"HOLD_BEFORE_DELETE": "0",
	"BATCH_RECORDS":      "200",
	"HEARTBEAT_TIMEOUT":  "8s",
	"WORKER_GONE_AFTER":  "30s",
}

// begin starts a case on shared servers. with are further settings, like
// "HOLD_BEFORE_DELETE=1h".
func begin(t *testing.T, happens, holds string, with ...string) *chaos {
	t.Helper()
	e := register(t, happens, holds)
	return e.on(t, temporaltest.NewNamespace(t), schematest.NewDatabase(t), with...)
}

// on starts a case on its own servers.
func (e *entry) on(t *testing.T, namespace temporaltest.Namespace, databaseURL string, with ...string) *chaos {
	t.Helper()
	all := map[string]string{}
	for name, value := range settings {
		all[name] = value
	}
	for _, setting := range with {
		name, value, _ := strings.Cut(setting, "=")
		all[name] = value
	}
	return &chaos{entry: e, System: systemtest.NewOn(t, namespace, databaseURL, all, e.cloud...)}
}

// answersInTime makes the cloud wait for the response to a notification only as long as the
// starter may take. Its other timeouts are those of the real service.
func answersInTime(o *webscrapertest.Options) { o.WebhookTimeout = 8 * time.Second }

// changeRecords replaces the records of the cloud's first job before it is downloaded.
func changeRecords(records webscrapertest.Records) webscrapertest.Effect {
	return func(cloud *webscrapertest.Cloud, next http.Handler) http.Handler {
		_ = cloud.SetRecords(500, records)
		return next
	}
}

func noRateLimit(o *webscrapertest.Options) { o.RateLimitCalls = -1 }

// recordBytes is the size of one record of webscrapertest.Products.
const recordBytes = 520

// worker starts a worker on the spool.
func (c *chaos) worker(spool string) *childprocess.Process {
	c.T.Helper()
	if !slices.Contains(c.spools, spool) {
		c.spools = append(c.spools, spool)
	}
	return c.StartWorker(spool)
}

// kill is kill -9.
func (c *chaos) kill(worker *childprocess.Process) {
	c.T.Helper()
	c.signal(worker, syscall.SIGKILL)
	<-worker.Done()
}

func (c *chaos) signal(worker *childprocess.Process, signal syscall.Signal) {
	c.T.Helper()
	require.NoError(c.T, syscall.Kill(worker.PID(), signal))
}

// loseSpool removes the spool, as if its host were lost.
func (c *chaos) loseSpool(spool string) {
	c.T.Helper()
	require.NoError(c.T, os.RemoveAll(spool))
	c.spools = slices.DeleteFunc(c.spools, func(s string) bool { return s == spool })
}

// finished adds a finished job of n records to the cloud, and sends its notification.
func (c *chaos) finished(n int) (id int64) {
	c.T.Helper()
	id = c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(n, 1)})
	c.Notify(id)
	return id
}

// Calls of the API, for webscrapertest.Fault.
const (
	describeCall = "scraping-job/*" // and with DELETE the deletion
	downloadCall = "scraping-job/*/json"
)

// slowDownload makes the next downloads take seconds for thousands of records.
func (c *chaos) slowDownload(times int) {
	c.Cloud.Inject(webscrapertest.Fault{Path: downloadCall, Times: times, Effect: webscrapertest.Drip(1<<10, time.Millisecond)})
}

// untilDownloading waits until part of a file is in the spool, and returns its size in
// bytes.
func (c *chaos) untilDownloading(spool string) (bytes int64) {
	c.T.Helper()
	return c.untilPartials(spool, 1)
}

// untilPartials waits for the partial files of n downloads; killed ones leave theirs.
func (c *chaos) untilPartials(spool string, n int) (bytes int64) {
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

// requireRest requires that the last download fetched only the rest of the file.
func (c *chaos) requireRest(id int64) {
	c.T.Helper()
	var last webscrapertest.Request
	for _, request := range c.Cloud.Requests() {
		if request.ID == id && strings.HasSuffix(request.Path, "/json") {
			last = request
		}
	}
	require.Equal(c.T, http.StatusPartialContent, last.Status)
	c.observe("the last download was of %s only (Range: %s)", megabytes(last.Bytes), last.Range)
}

// requireDownloading requires that the download was still running when it was broken.
func (c *chaos) requireDownloading(id int64) {
	c.T.Helper()
	require.Zero(c.T, c.imports(id), "the download was over before it was broken")
}

// slowImport makes every batch wait inside its transaction. It needs the schema, so start a
// worker before.
func (c *chaos) slowImport() {
	c.delayBatches("50ms")
	c.DB.MustExec(`CREATE TRIGGER slow BEFORE UPDATE OF committed_bytes ON scrapehaul.imports FOR EACH ROW EXECUTE FUNCTION scrapehaul.slow()`)
}

// delayBatches sets how long the batches of slowImport wait.
func (c *chaos) delayBatches(interval string) {
	c.DB.MustExec(`CREATE OR REPLACE FUNCTION scrapehaul.slow() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_sleep_for('` + interval + `'); RETURN NEW; END $$`)
}

// untilImported waits until that many records are committed but not published.
func (c *chaos) untilImported(id, records int64) {
	c.T.Helper()
	c.WaitFor("some batches", func() bool { return c.committed(id) >= records })
}

// committed returns the number of committed records of a running import.
func (c *chaos) committed(id int64) int64 {
	c.T.Helper()
	return c.Count(`SELECT coalesce(max(records), 0) FROM scrapehaul.imports WHERE scrapingjob_id = $1 AND state = 'importing'`, id)
}

// requireHalf requires that the import was still running when it was broken, and that
// nothing of it is visible. It returns the number of committed records.
func (c *chaos) requireHalf(id, n int64) (records int64) {
	c.T.Helper()
	records = c.committed(id)
	require.NotZero(c.T, records, "the import was over before it was broken")
	require.Less(c.T, records, n)
	require.Zero(c.T, c.visible(id), "a partial import is visible")
	return records
}

func (c *chaos) visible(id int64) int64 {
	c.T.Helper()
	return c.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id)
}

func (c *chaos) imports(id int64) int64 {
	c.T.Helper()
	return c.Count(`SELECT count(*) FROM scrapehaul.imports WHERE scrapingjob_id = $1`, id)
}

// requireImported requires success: the workflow completed, every record exists once, no
// file is left, and the job was deleted in the cloud after verification.
func (c *chaos) requireImported(id, n int64) {
	c.T.Helper()
	result := c.Result(id)
	require.Equal(c.T, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(c.T, [2]int64{n, 0}, [2]int64{result.Records, result.Rejected})
	c.requireRecords(id, n)
	c.requireDeletedAfterwards(id)
	c.requireEmptySpools()
	c.observe("%s records once, %s, then deleted in the cloud", grouped(n), times(c.Downloads(id), "download"))
}

// requireRecords requires the records of one download, each once, and nothing left of
// unpublished imports.
func (c *chaos) requireRecords(id, n int64) {
	c.T.Helper()
	c.RequireRecords(id, n)
	require.Equal(c.T, min(n, 1), c.Count(
		`SELECT count(DISTINCT split_part(web_scraper_order, '-', 1)) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id),
		"records of two downloads are mixed")
	require.Equal(c.T, n, c.Count(`SELECT count(*) FROM scrapehaul.import_records
		WHERE import_id IN (SELECT import_id FROM scrapehaul.imports WHERE scrapingjob_id = $1)`, id), "records of other imports are left")
}

// requireDeletedAfterwards requires that the job was deleted in the cloud after its last
// download was published, complete by the job's own count.
func (c *chaos) requireDeletedAfterwards(id int64) {
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
	deletion := slices.Index(calls, "DELETE "+describeCall)
	require.NotContains(c.T, calls[deletion:], "GET "+downloadCall, "deleted before the last download")
}

func (c *chaos) requireEmptySpools() {
	c.T.Helper()
	for _, spool := range c.spools {
		c.RequireEmptySpool(spool)
	}
}

// requireGone is requireImported for a job with late notifications: the last run may have
// found it deleted.
func (c *chaos) requireGone(id, n int64) {
	c.T.Helper()
	result := c.Result(id)
	require.Contains(c.T, []workflows.Outcome{workflows.Deleted, workflows.NotFound}, result.Outcome, result.Reason)
	c.completed(id)
	c.requireRecords(id, n)
	c.requireDeletedAfterwards(id)
}

// completed waits for the end of the job's workflow, requires that all its runs completed,
// and returns their number.
func (c *chaos) completed(id int64) (runs int) {
	c.T.Helper()
	var all []*workflowpb.WorkflowExecutionInfo
	c.WaitForAnswer("the end of all runs", func() bool {
		last := c.describe(id).GetWorkflowExecutionInfo().GetExecution().GetRunId()
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

// describe returns the job's last run as Temporal sees it.
func (c *chaos) describe(id int64) *workflowservice.DescribeWorkflowExecutionResponse {
	c.T.Helper()
	description, err := c.Temporal.DescribeWorkflowExecution(c.T.Context(), workflows.WorkflowID(id), "")
	require.NoError(c.T, err)
	return description
}

// requireAttention requires that the import needs attention and says why, the job is still
// in the cloud, and the view has the expected number of records.
func (c *chaos) requireAttention(id, visible int64, sentence string) {
	c.T.Helper()
	says := c.Attention(id)
	require.Contains(c.T, says, sentence)
	require.Equal(c.T, workflows.StepNeedsAttention, c.Progress(id).Step)
	c.requireRecords(id, visible)
	c.requireInCloud(id)
	c.WaitFor("empty spools", func() bool {
		return !slices.ContainsFunc(c.spools, func(spool string) bool {
			files, _ := filepath.Glob(filepath.Join(spool, "[^.]*"))
			return len(files) > 0
		})
	})
	says, _, _ = strings.Cut(says, ". Signals: ")
	c.observe("needs attention: “%s”", says)
}

// requireInCloud requires that no deletion of the job was attempted.
func (c *chaos) requireInCloud(id int64) {
	c.T.Helper()
	require.False(c.T, c.Cloud.Deleted(id))
	for _, request := range c.Cloud.Requests() {
		require.False(c.T, request.ID == id && request.Method == "DELETE", "a deletion was attempted")
	}
}

// requireCanceled cancels the import, and requires that nothing of it is left.
func (c *chaos) requireCanceled(id int64) {
	c.T.Helper()
	require.NoError(c.T, c.Temporal.CancelWorkflow(c.T.Context(), workflows.WorkflowID(id), ""))
	c.WaitForAnswer("the end", func() bool {
		runs := c.Runs(id)
		return len(runs) == 1 && runs[0].GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED
	})
	require.Zero(c.T, c.visible(id))
	c.requireInCloud(id)
	c.requireEmptySpools()
	c.observe("canceled: nothing visible, no file, the job still in the cloud")
}

func times(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// grouped formats n with commas.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// megabytes formats n bytes.
func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
