package scrapehaul_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestNotificationBecomesVerifiedRows(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	s.startWorker(s.spool)
	id := s.cloud.AddJob(webscrapertest.Job{
		SitemapID: 12, SitemapName: "my-sitemap", CustomID: "custom-12",
		Status: webscrapertest.StatusStarted, Records: webscrapertest.Products(5000, 1),
	})
	require.NoError(t, s.cloud.Finish(t.Context(), id, webscrapertest.StatusFinished))

	result := s.result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(t, int64(5000), result.Records)
	require.Zero(t, result.Rejected)
	require.NotZero(t, result.Bytes)
	require.Len(t, result.SHA256, 64)
	s.requireRecords(id, 5000)
	require.Equal(t, int64(5000), s.count(
		`SELECT count(*) FROM scrapehaul.scraped_records WHERE sitemap_id = 12 AND sitemap_name = 'my-sitemap' AND custom_id = 'custom-12'`))
	require.True(t, s.cloud.Deleted(id))
	require.Equal(t, int64(1), s.count(`SELECT count(*) FROM scrapehaul.scraping_jobs WHERE cloud_deleted_at IS NOT NULL`))
	s.requireEmptySpool(s.spool)
}

func TestFiftyIdenticalNotificationsAreOneImport(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "never"})
	id := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() { s.notify(id) })
	}
	all.Wait() // without a worker: none is needed
	s.startWorker(s.spool)

	require.Equal(t, workflows.Kept, s.result(id).Outcome)
	require.Len(t, s.runs(id), 1)
	s.requireRecords(id, 500)
	require.Equal(t, int64(1), s.count(`SELECT count(*) FROM scrapehaul.imports`))
	require.False(t, s.cloud.Deleted(id))

	s.notify(id) // late, after the end: another run that does nothing
	s.waitFor("a second run", func() bool { return len(s.runs(id)) == 2 })
	require.Equal(t, workflows.Unchanged, s.result(id).Outcome)
	require.Equal(t, int64(1), s.count(`SELECT count(*) FROM scrapehaul.imports`))
}

func TestContinuedJobReplacesItsRecordsAtOnce(t *testing.T) {
	s := newSystem(t, nil)
	s.startWorker(s.spool)
	id := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(2000, 1)})
	s.notify(id)
	s.waitFor("the hold", func() bool { return s.progress(id).Step == workflows.StepHold })

	// A reader polls throughout: it may see the old or the new, never both.
	done := make(chan struct{})
	seen := map[int64]bool{}
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			var n int64
			if err := s.db.Get(&n, `SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id); err != nil {
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
	require.NoError(t, s.cloud.Continue(id, webscrapertest.Products(3000, 2)))
	s.notify(id) // late: the job runs again, nothing is imported
	require.Equal(t, workflows.StillRunning, s.result(id).Outcome)
	require.NoError(t, s.cloud.Finish(t.Context(), id, webscrapertest.StatusFinished))
	s.waitFor("the second import", func() bool {
		p := s.progress(id)
		return p.Step == workflows.StepHold && p.Records == 3000
	})
	close(done)
	reader.Wait()
	require.Equal(t, map[int64]bool{2000: true, 3000: true}, seen)
	s.requireRecords(id, 3000)
	require.Equal(t, int64(3000), s.count(`SELECT count(*) FROM scrapehaul.import_records`), "the replaced records are removed")
	require.False(t, s.cloud.Deleted(id))
}

func TestWrongRecordsAreRejectedAndTheirNeighboursImported(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "MAX_RECORD_BYTES": "1000"})
	s.startWorker(s.spool)
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
	id := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(body, 9)})
	s.notify(id)
	require.Contains(t, s.attention(id), "6 records were rejected (see scrapehaul.rejected_records). Signals: accept")
	require.False(t, s.cloud.Deleted(id))

	var orders []string
	require.NoError(t, s.db.Select(&orders, `SELECT web_scraper_order FROM scrapehaul.scraped_records ORDER BY record_number`))
	require.Equal(t, []string{"1-1", "1-2", "1-3"}, orders)
	require.Equal(t, int64(1), s.count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE data::text LIKE '%12345678901234567890.10%'`))
	var reasons []string
	require.NoError(t, s.db.Select(&reasons, `SELECT reason FROM scrapehaul.rejected_records ORDER BY record_number`))
	for i, want := range []string{"an array", `\u0000`, "lone surrogate", "invalid UTF-8", "PostgreSQL refuses it", "over the limit of 1000"} {
		require.Contains(t, reasons[i], want)
	}

	// The good records are published; a person decides about the cloud's copy.
	s.signal(id, workflows.AcceptSignal)
	result := s.result(id)
	require.Equal(t, workflows.Deleted, result.Outcome)
	require.Equal(t, [2]int64{3, 6}, [2]int64{result.Records, result.Rejected})
	require.True(t, s.cloud.Deleted(id))

	cut := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(`{"a":1}`+"\n"+`{"a":`, 2)})
	s.notify(cut)
	s.attention(cut)
	s.signal(cut, workflows.AbandonSignal)
	result = s.result(cut)
	require.Equal(t, workflows.Abandoned, result.Outcome)
	require.Equal(t, [2]int64{1, 1}, [2]int64{result.Records, result.Rejected})
	require.False(t, s.cloud.Deleted(cut))
}

func TestJobsThatAreNotFinishedStayInTheCloud(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	s.startWorker(s.spool)
	for _, status := range []string{webscrapertest.StatusStopped, webscrapertest.StatusFailed} {
		id := s.cloud.AddJob(webscrapertest.Job{Status: status, Records: webscrapertest.Products(20, 1)})
		s.notify(id)
		require.Equal(t, workflows.Kept, s.result(id).Outcome)
		s.requireRecords(id, 20)
		require.False(t, s.cloud.Deleted(id))
	}
	short := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(`{"a":1}`+"\n", 2)})
	s.notify(short)
	require.Contains(t, s.attention(short), "1 records were imported, but the job has stored 2")
	s.signal(short, workflows.KeepSignal)
	require.Equal(t, workflows.Kept, s.result(short).Outcome)
	require.False(t, s.cloud.Deleted(short))
}

func TestTestButtonOfTheDashboardIsNoFailure(t *testing.T) {
	s := newSystem(t, nil)
	s.startWorker(s.spool)
	run, err := workflows.Notify(t.Context(), s.temporal, workflows.DefaultTaskQueue, workflows.Notification{ScrapingJobID: 999}, workflows.Settings{})
	require.NoError(t, err)
	require.Equal(t, "999", run.GetID())
	require.Equal(t, workflows.NotFound, s.result(999).Outcome)
}

func TestOperatorImportsAgainByHand(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "never"})
	s.startWorker(s.spool)
	id := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
	number := strconv.FormatInt(id, 10)
	output, err := s.programs.RunStarter(t.Context(), s.env, "import", number)
	require.NoError(t, err)
	require.Contains(t, output, "scraping job "+number+": workflow "+number)
	s.result(id)
	s.requireRecords(id, 100)

	_, err = s.programs.RunStarter(t.Context(), s.env, "reimport", number)
	require.NoError(t, err)
	s.waitFor("a second import", func() bool { return s.count(`SELECT count(*) FROM scrapehaul.imports`) == 2 })
	s.result(id)
	s.requireRecords(id, 100)
	require.Equal(t, int64(100), s.count(`SELECT count(*) FROM scrapehaul.import_records`))

	// A download that comes out short must not replace good records.
	s.cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Times: 1, Effect: webscrapertest.Empty()})
	_, err = s.programs.RunStarter(t.Context(), s.env, "reimport", number)
	require.NoError(t, err)
	require.Contains(t, s.attention(id), "the 100 records published before stay")
	s.requireRecords(id, 100)
	s.signal(id, workflows.NotificationSignal)
	require.Equal(t, workflows.Unchanged, s.result(id).Outcome)
	s.requireRecords(id, 100)
}

func TestStarterListsJobsAndBudget(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "never"})
	_, err := s.programs.RunStarter(t.Context(), s.env, "jobs")
	require.ErrorContains(t, err, "schema scrapehaul is not there yet")
	s.startWorker(s.spool)
	imported := s.cloud.AddJob(webscrapertest.Job{SitemapName: "laptops", Records: webscrapertest.Products(100, 1)})
	continued := s.cloud.AddJob(webscrapertest.Job{SitemapName: "books", Records: webscrapertest.Products(50, 1)})
	s.cloud.AddJob(webscrapertest.Job{SitemapName: "phones", Status: webscrapertest.StatusStopped, Records: webscrapertest.Products(7, 1)})
	for _, id := range []int64{imported, continued} {
		s.notify(id)
		s.result(id)
	}
	require.NoError(t, s.cloud.SetRecords(continued, webscrapertest.Products(60, 2)))

	list, err := s.programs.RunStarter(t.Context(), s.env, "jobs")
	require.NoError(t, err)
	for _, want := range []string{
		`(?m)^\d+ +laptops +finished +100 +100 +20\d\d-`,
		`(?m)^\d+ +books +finished +60 +50 \(has run again since\) +20\d\d-`,
		`(?m)^\d+ +phones +stopped +7 +no *$`,
	} {
		require.Regexp(t, want, list)
	}
	account, err := s.programs.RunStarter(t.Context(), s.env, "account")
	require.NoError(t, err)
	require.Regexp(t, `API calls left +\d+ of 200 per 15 minutes`, account)
}

func TestKilledWorkerResumesAfterItsLastBatch(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "HEARTBEAT_TIMEOUT": "3s", "BATCH_RECORDS": "500"})
	worker := s.startWorker(s.spool)
	id := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(200_000, 1)})
	s.notify(id)
	s.waitFor("some batches", func() bool {
		return s.count(`SELECT coalesce(max(records), 0) FROM scrapehaul.imports`) >= 5000
	})
	require.NoError(t, syscall.Kill(worker.PID(), syscall.SIGKILL))
	<-worker.Done()
	require.Zero(t, s.count(`SELECT count(*) FROM scrapehaul.scraped_records`), "half an import is visible")

	s.startWorker(s.spool)
	require.Equal(t, workflows.Deleted, s.result(id).Outcome)
	s.requireRecords(id, 200_000)
	require.Equal(t, int64(1), s.count(`SELECT count(*) FROM scrapehaul.imports`), "the import was resumed, not begun anew")
	require.Equal(t, 1, s.downloads(id))
	s.requireEmptySpool(s.spool)
}

func TestAnotherWorkerTakesOverWhenTheFirstIsGone(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "HEARTBEAT_TIMEOUT": "3s", "WORKER_GONE_AFTER": "2s", "BATCH_RECORDS": "500"})
	worker := s.startWorker(s.spool)
	id := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(200_000, 1)})
	s.notify(id)
	s.waitFor("some batches", func() bool {
		return s.count(`SELECT coalesce(max(records), 0) FROM scrapehaul.imports`) >= 5000
	})
	require.NoError(t, syscall.Kill(worker.PID(), syscall.SIGKILL))
	<-worker.Done()

	other := t.TempDir()
	s.startWorker(other)
	require.Equal(t, workflows.Deleted, s.result(id).Outcome)
	s.requireRecords(id, 200_000)
	require.Equal(t, 2, s.downloads(id))
	require.Equal(t, int64(1), s.count(`SELECT count(*) FROM scrapehaul.imports`), "the same file again: its committed batches are kept")
	s.requireEmptySpool(other)
}

func TestStoppedWorkerFinishesItsBatchAndHandsOver(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "BATCH_RECORDS": "500"})
	worker := s.startWorker(s.spool)
	id := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(200_000, 1)})
	s.notify(id)
	s.waitFor("some batches", func() bool {
		return s.count(`SELECT coalesce(max(records), 0) FROM scrapehaul.imports`) >= 5000
	})
	begun := time.Now()
	require.NoError(t, worker.Stop())
	require.Less(t, time.Since(begun), 25*time.Second, "within WORKER_STOP_TIMEOUT")

	// No heartbeat has to be missed: the attempt was given back.
	s.startWorker(s.spool)
	require.Equal(t, workflows.Deleted, s.result(id).Outcome)
	s.requireRecords(id, 200_000)
	require.Equal(t, 1, s.downloads(id))
}

func TestImportSurvivesTheLossOfItsDatabaseConnections(t *testing.T) {
	// An attempt that hangs must not be helped by its heartbeat timeout.
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "BATCH_RECORDS": "500", "HEARTBEAT_TIMEOUT": "10m"})
	s.startWorker(s.spool)
	id := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100_000, 1)})
	s.notify(id)
	for _, records := range []int{5_000, 20_000, 50_000} {
		s.waitFor("some batches", func() bool {
			return s.count(`SELECT coalesce(max(records), 0) FROM scrapehaul.imports`) >= int64(records)
		})
		s.count(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	require.Equal(t, workflows.Deleted, s.result(id).Outcome)
	s.requireRecords(id, 100_000)
	require.Equal(t, int64(1), s.count(`SELECT count(*) FROM scrapehaul.imports`))
	require.Equal(t, 1, s.downloads(id))
}

func TestMillionRecordsNeedLittleMemory(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	worker := s.startWorker(s.spool)
	id := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(1_000_000, 1)})
	s.notify(id)
	require.Equal(t, workflows.Deleted, s.result(id).Outcome)
	require.Equal(t, int64(1_000_000), s.count(`SELECT count(*) FROM scrapehaul.scraped_records`))
	if runtime.GOOS == "linux" { // elsewhere the system tells no peak
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

// downloads counts the downloads of a job that the cloud has seen.
func (s *system) downloads(id int64) (n int) {
	for _, request := range s.cloud.Requests() {
		if strings.HasSuffix(request.Path, fmt.Sprintf("scraping-job/%d/json", id)) {
			n++
		}
	}
	return n
}

func TestCancelledImportLeavesNothingBehind(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "BATCH_RECORDS": "500", "HEARTBEAT_TIMEOUT": "3s"})
	s.startWorker(s.spool)
	id := s.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(200_000, 1)})
	s.notify(id)
	s.waitFor("some batches", func() bool {
		return s.count(`SELECT coalesce(max(records), 0) FROM scrapehaul.imports`) >= 5000
	})
	require.NoError(t, s.temporal.CancelWorkflow(t.Context(), workflows.WorkflowID(id), ""))
	s.waitFor("the end", func() bool {
		runs := s.runs(id)
		return len(runs) == 1 && runs[0].GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED
	})
	require.Zero(t, s.count(`SELECT count(*) FROM scrapehaul.scraped_records`))
	require.False(t, s.cloud.Deleted(id))
	s.requireEmptySpool(s.spool)
}
