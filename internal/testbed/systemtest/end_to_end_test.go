package systemtest_test

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestMain(m *testing.M) { systemtest.Main(m) }

func TestNotificationBecomesVerifiedRows(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{
		SitemapID: 12, SitemapName: "my-sitemap", CustomID: "custom-12",
		Status: "started", Records: webscrapertest.Products(5000, 1),
	})
	require.NoError(t, s.Cloud.Finish(t.Context(), id, "finished"))

	result := s.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(t, int64(5000), result.Records)
	require.Zero(t, result.Rejected)
	require.NotZero(t, result.Bytes)
	require.Len(t, result.SHA256, 64)
	s.RequireRecords(id, 5000)
	require.Equal(t, int64(5000), s.Count(
		`SELECT count(*) FROM scrapehaul.scraped_records WHERE sitemap_id = 12 AND sitemap_name = 'my-sitemap' AND custom_id = 'custom-12'`))
	require.Equal(t, int64(5000), s.Count(
		`SELECT count(DISTINCT web_scraper_order) FROM sitemaps."my-sitemap" WHERE scrapingjob_id = $1 AND product <> '' AND price <> ''`, id))
	require.True(t, s.Cloud.Deleted(id))
	require.Equal(t, int64(1), s.Count(`SELECT count(*) FROM scrapehaul.scraping_jobs WHERE cloud_deleted_at IS NOT NULL`))
	s.RequireEmptySpool(s.Spool)
}

func TestFiftyIdenticalNotificationsAreOneImport(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "never"})
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { s.Notify(id) })
	}
	all.Wait() // no worker is needed
	s.StartWorker(s.Spool)

	require.Equal(t, workflows.Kept, s.Result(id).Outcome)
	require.Len(t, s.Runs(id), 1)
	s.RequireRecords(id, 500)
	require.Equal(t, int64(1), s.Count(`SELECT count(*) FROM scrapehaul.imports`))
	require.False(t, s.Cloud.Deleted(id))

	s.Notify(id) // after the end: another run, without an import
	s.WaitFor("a second run", func() bool { return len(s.Runs(id)) == 2 })
	require.Equal(t, workflows.Unchanged, s.Result(id).Outcome)
	require.Equal(t, int64(1), s.Count(`SELECT count(*) FROM scrapehaul.imports`))
}

func TestContinuedJobReplacesItsRecordsAtomically(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, nil)
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(2000, 1)})
	s.Notify(id)
	s.WaitForStep(id, workflows.StepHold)

	// A reader polls throughout: it may see the old or the new records, never both.
	done := make(chan struct{})
	seen := map[int64]bool{}
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			var n int64
			if err := s.DB.Get(&n, `SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id); err != nil {
				t.Errorf("reading: %v", err)
			}
			seen[n] = true
			select {
			case <-done:
				return
			default:
			}
		}
	})
	require.NoError(t, s.Cloud.Continue(id, webscrapertest.Products(3000, 2)))
	s.Notify(id) // late: the job is running again, so nothing is imported
	require.Equal(t, workflows.StillRunning, s.Result(id).Outcome)
	require.NoError(t, s.Cloud.Finish(t.Context(), id, "finished"))
	s.WaitForAnswer("the second import", func() bool {
		p := s.Progress(id)
		return p.Step == workflows.StepHold && p.Records == 3000
	})
	close(done)
	reader.Wait()
	require.Equal(t, map[int64]bool{2000: true, 3000: true}, seen)
	s.RequireRecords(id, 3000)
	require.Equal(t, int64(3000), s.Count(`SELECT count(*) FROM scrapehaul.import_records`), "the replaced records are removed")
	require.False(t, s.Cloud.Deleted(id))
}

func TestInvalidRecordsAreRejectedAndTheirNeighborsImported(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "MAX_RECORD_BYTES": "1000"})
	s.StartWorker(s.Spool)
	long := `{"long":"` + strings.Repeat("x", 1000) + `"}`
	body := "\uFEFF" + `{"web-scraper-order":"1-1","a":"BOM before"}` + "\r\n" +
		"\n   \r\n" +
		`["not an object"]` + "\n" +
		`{"nul":"\u0000"}` + "\n" +
		`{"lone surrogate":"\ud83d"}` + "\n" +
		"{\"invalid UTF-8\":\"\xff\"}\n" +
		`{"numeric overflow":1e200000}` + "\n" +
		long + "\n" +
		`{"web_scraper_order":"1-2","price":12345678901234567890.10}` + "\n" +
		`{"web-scraper-order":"1-3","a":"no newline at the end"}`
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(body, 9)})
	s.Notify(id)
	require.Contains(t, s.Attention(id), "6 records were rejected (see scrapehaul.rejected_records). Signals: accept")
	require.False(t, s.Cloud.Deleted(id))

	var orders []string
	require.NoError(t, s.DB.Select(&orders, `SELECT web_scraper_order FROM scrapehaul.scraped_records ORDER BY record_number`))
	require.Equal(t, []string{"1-1", "1-2", "1-3"}, orders)
	require.Equal(t, int64(1), s.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE data::text LIKE '%12345678901234567890.10%'`))
	var reasons []string
	require.NoError(t, s.DB.Select(&reasons, `SELECT reason FROM scrapehaul.rejected_records ORDER BY record_number`))
	for i, want := range []string{"an array", `\u0000`, "lone surrogate", "invalid UTF-8", "PostgreSQL refuses it", "over the limit of 1000"} {
		require.Contains(t, reasons[i], want)
	}

	// The good records are published; an operator decides about the cloud's copy.
	s.Signal(id, workflows.AcceptSignal)
	result := s.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome)
	require.Equal(t, [2]int64{3, 6}, [2]int64{result.Records, result.Rejected})
	require.True(t, s.Cloud.Deleted(id))

	cut := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(`{"a":1}`+"\n"+`{"a":`, 2)})
	s.Notify(cut)
	s.Attention(cut)
	s.Signal(cut, workflows.AbandonSignal)
	result = s.Result(cut)
	require.Equal(t, workflows.Abandoned, result.Outcome)
	require.Equal(t, [2]int64{1, 1}, [2]int64{result.Records, result.Rejected})
	require.False(t, s.Cloud.Deleted(cut))
}

func TestJobsThatAreNotFinishedStayInTheCloud(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	s.StartWorker(s.Spool)
	for _, status := range []string{"stopped", "failed"} {
		id := s.Cloud.AddJob(webscrapertest.Job{Status: status, Records: webscrapertest.Products(20, 1)})
		s.Notify(id)
		require.Equal(t, workflows.Kept, s.Result(id).Outcome)
		s.RequireRecords(id, 20)
		require.False(t, s.Cloud.Deleted(id))
	}
	short := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(`{"a":1}`+"\n", 2)})
	s.Notify(short)
	require.Contains(t, s.Attention(short), "1 record was imported, but the job has stored 2")
	s.Signal(short, workflows.KeepSignal)
	require.Equal(t, workflows.Kept, s.Result(short).Outcome)
	require.False(t, s.Cloud.Deleted(short))
}

func TestDashboardTestButtonIsNoFailure(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, nil)
	s.StartWorker(s.Spool)
	run, err := workflows.Notify(t.Context(), s.Temporal, workflows.DefaultTaskQueue, workflows.Notification{ScrapingJobID: 999}, workflows.Settings{})
	require.NoError(t, err)
	require.Equal(t, "999", run.GetID())
	require.Equal(t, workflows.NotFound, s.Result(999).Outcome)
}

func TestOperatorReimportsManually(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "never"})
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
	number := strconv.FormatInt(id, 10)
	output, err := s.Programs.RunStarter(t.Context(), s.Env, "import", number)
	require.NoError(t, err)
	require.Contains(t, output, "scraping job "+number+": workflow "+number)
	s.Result(id)
	s.RequireRecords(id, 100)

	_, err = s.Programs.RunStarter(t.Context(), s.Env, "reimport", number)
	require.NoError(t, err)
	s.WaitFor("a second import", func() bool { return s.Count(`SELECT count(*) FROM scrapehaul.imports`) == 2 })
	s.Result(id)
	s.RequireRecords(id, 100)
	require.Equal(t, int64(100), s.Count(`SELECT count(*) FROM scrapehaul.import_records`))

	// A download that comes out short must not replace good records.
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Times: 1, Effect: webscrapertest.Empty()})
	_, err = s.Programs.RunStarter(t.Context(), s.Env, "reimport", number)
	require.NoError(t, err)
	require.Contains(t, s.Attention(id), "queries still return the 100 published before")
	s.RequireRecords(id, 100)
	s.Signal(id, workflows.NotificationSignal) // retries the re-import
	require.Equal(t, workflows.Kept, s.Result(id).Outcome)
	s.RequireRecords(id, 100)
}

func TestStarterListsJobsAndBudget(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "never"})
	_, err := s.Programs.RunStarter(t.Context(), s.Env, "jobs")
	require.ErrorContains(t, err, "schema scrapehaul does not exist yet")
	s.StartWorker(s.Spool)
	imported := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "laptops", Records: webscrapertest.Products(100, 1)})
	continued := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "books", Records: webscrapertest.Products(50, 1)})
	s.Cloud.AddJob(webscrapertest.Job{SitemapName: "phones", Status: "stopped", Records: webscrapertest.Products(7, 1)})
	for _, id := range []int64{imported, continued} {
		s.Notify(id)
		s.Result(id)
	}
	require.NoError(t, s.Cloud.SetRecords(continued, webscrapertest.Products(60, 2)))

	list, err := s.Programs.RunStarter(t.Context(), s.Env, "jobs")
	require.NoError(t, err)
	for _, want := range []string{
		`(?m)^\d+ +laptops +finished +100 +100 +20\d\d-`,
		`(?m)^\d+ +books +finished +60 +50 \(has run again since\) +20\d\d-`,
		`(?m)^\d+ +phones +stopped +7 +no *$`,
	} {
		require.Regexp(t, want, list)
	}
	account, err := s.Programs.RunStarter(t.Context(), s.Env, "account")
	require.NoError(t, err)
	require.Regexp(t, `window +\d+ calls made here and 0 elsewhere, of 200 until `, account)
}

func TestStoppedWorkerFinishesItsBatchAndHandsOver(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "BATCH_RECORDS": "500"})
	worker := s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(200_000, 1)})
	s.Notify(id)
	s.WaitFor("some batches", func() bool {
		return s.Count(`SELECT coalesce(max(records), 0) FROM scrapehaul.imports`) >= 5000
	})
	stopping := time.Now()
	require.NoError(t, worker.Stop())
	require.Less(t, time.Since(stopping), 25*time.Second, "within WORKER_STOP_TIMEOUT")

	// The next attempt needs no heartbeat timeout: the worker ended its attempt.
	s.StartWorker(s.Spool)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	s.RequireRecords(id, 200_000)
	require.Equal(t, 1, s.Downloads(id))
}

func TestMillionRecordsNeedLittleMemory(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	worker := s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(1_000_000, 1)})
	s.Notify(id)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	require.Equal(t, int64(1_000_000), s.Count(`SELECT count(*) FROM scrapehaul.scraped_records`))
	if runtime.GOOS == "linux" { // which reports the peak
		peak := peakMemoryMiB(t, worker.PID())
		t.Logf("the worker's peak memory: %d MiB", peak)
		require.Less(t, peak, 150)
	}
}

func peakMemoryMiB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	require.True(t, found)
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	return kib >> 10
}

func TestSecretsDoNotLeak(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "HEARTBEAT_TIMEOUT": "2s"})
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5_000, 1)})
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*", Times: 2, Effect: webscrapertest.FailWithHTML(http.StatusBadGateway)})
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Times: 1, Effect: webscrapertest.HangAt(100_000)})
	s.Notify(id)
	for _, shown := range []string{`502 Bad Gateway`, `"bytes":`} {
		s.WaitFor("what Temporal shows: "+shown, func() bool { return strings.Contains(s.PendingActivities(), shown) })
	}
	require.NoError(t, s.Temporal.CancelWorkflow(t.Context(), workflows.WorkflowID(id), ""))
	refused := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	s.Cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.FailWith(http.StatusUnauthorized)})
	s.Notify(refused)
	require.Contains(t, s.Attention(refused), "refuses the API token")
	s.Signal(refused, workflows.AbandonSignal)
	require.Equal(t, workflows.Abandoned, s.Result(refused).Outcome)
	// The end of the test searches everything for secrets, as in every other test.
}

func TestJobsFinishingTogetherSpendTheWindowTogether(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "API_CALLS_PER_15_MINUTES": "200"})
	s.StartWorker(s.Spool)
	s.StartWorker(t.TempDir())
	var ids []int64
	for range 30 {
		ids = append(ids, s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)}))
	}
	var notified sync.WaitGroup
	for _, id := range ids {
		notified.Go(func() { s.Notify(id) })
	}
	notified.Wait()
	for _, id := range ids {
		require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
		s.RequireRecords(id, 20)
	}
	for _, request := range s.Cloud.Requests() {
		require.NotEqual(t, http.StatusTooManyRequests, request.Status)
	}
	state, err := postgres.NewLedger(s.DB, sink.DefaultAccount, 0).State(t.Context())
	require.NoError(t, err)
	require.Len(t, s.Cloud.Requests(), state.Taken, "the workers count in one ledger")
	require.Zero(t, state.Waiting)
}
