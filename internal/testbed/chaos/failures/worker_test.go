package failures

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// goneSoon is for cases in which a worker does not return, noHeartbeat for those that must
// succeed without the heartbeat timeout.
const (
	goneSoon    = "WORKER_GONE_AFTER=5s"
	noHeartbeat = "HEARTBEAT_TIMEOUT=1h"
)

func TestKilledDuringTheDownload(t *testing.T) {
	c := chaos.Begin(t, "`kill -9` of the worker during the download, twice; replaced by others on the same spool",
		"within seconds, a compressed download restarts uncompressed; that one is resumed where it broke", noHeartbeat)
	worker := c.Worker(c.Spool)
	c.SlowDownload(2)
	id := c.Finished(chaos.Many)
	for downloads := 1; downloads <= 2; downloads++ {
		bytes := c.UntilPartials(c.Spool, downloads)
		c.Kill(worker)
		c.RequireDownloading(id)
		c.Observe("killed after %s of %s", chaos.Megabytes(bytes), chaos.Megabytes(chaos.Many*chaos.RecordBytes))
		worker = c.Worker(c.Spool)
	}
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 3, c.Downloads(id))
	c.RequireRest(id)
}

func TestKilledDuringAnAPICall(t *testing.T) {
	c := chaos.Begin(t, "`kill -9` of the worker while it waits for an API response", "the call is retried as soon as a worker is on its spool", noHeartbeat)
	call := c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DescribeCall, Times: 1, Effect: webscrapertest.Hang()})
	worker := c.Worker(c.Spool)
	id := c.Finished(1000)
	c.WaitFor("the call", func() bool { return call.Hits() == 1 })
	killed := time.Now()
	c.Kill(worker)
	c.Worker(c.Spool)
	c.RequireImported(id, 1000)
	c.Observe("done %.0f s later", time.Since(killed).Seconds())
}

func TestKilledDuringTheImport(t *testing.T) {
	c := chaos.Begin(t, "`kill -9` of the worker during the import, three times", "each successor resumes within seconds, after the last committed batch, with the same file", noHeartbeat)
	worker := c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	for _, records := range []int64{2000, 6000, 10_000} {
		c.UntilImported(id, records)
		requireNoSecrets(c, processFiles(c))
		killed := time.Now()
		c.Kill(worker)
		committed := c.RequireHalf(id, chaos.Many)
		worker = c.Worker(c.Spool)
		c.WaitFor("the next batch", func() bool { return c.Committed(id) > committed })
		c.Observe("killed after %s records, the next batch %.1f s later", humanize.Comma(committed), time.Since(killed).Seconds())
	}
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 1, c.Downloads(id))
	require.Equal(t, int64(1), c.Imports(id), "resumed, not restarted")
}

// processFiles returns the process files of workers in the spool.
func processFiles(c *chaos.Case) (paths []string) {
	c.T.Helper()
	paths, err := filepath.Glob(filepath.Join(c.Spool, ".scrapehaul-process-*"))
	require.NoError(c.T, err)
	return paths
}

func requireNoSecrets(c *chaos.Case, paths []string) {
	c.T.Helper()
	tokens := 0
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(c.T, err)
		var attempt struct {
			TaskToken []byte `json:"task_token"`
		}
		if json.Unmarshal(content, &attempt) == nil {
			tokens++
		}
		for _, secret := range []string{systemtest.APIToken, systemtest.WebhookToken, c.Env.DatabaseURL} {
			require.NotContains(c.T, string(content)+string(attempt.TaskToken), secret)
		}
	}
	require.Equal(c.T, 1, tokens, "of the files %q", paths)
}

func TestKilledWithAnotherWorkerOnTheSpool(t *testing.T) {
	c := chaos.Begin(t, "`kill -9` of the worker during the import; another one is on the same spool", "the other one resumes within seconds", noHeartbeat)
	worker := c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 2000)
	c.Worker(c.Spool)
	killed := time.Now()
	c.Kill(worker)
	committed := c.RequireHalf(id, chaos.Many)
	c.WaitFor("the next batch", func() bool { return c.Committed(id) > committed })
	c.Observe("killed after %s records, the next batch %.1f s later", humanize.Comma(committed), time.Since(killed).Seconds())
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 1, c.Downloads(id))
}

func TestStoppedDuringALongBatch(t *testing.T) {
	c := chaos.Begin(t, "SIGTERM to the worker during a batch that takes longer than WORKER_STOP_TIMEOUT", "its successor resumes within seconds, with that batch",
		noHeartbeat, "WORKER_STOP_TIMEOUT=1s")
	worker := c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 2000)
	c.DelayBatches("1h")
	c.WaitFor("the long batch", func() bool {
		return c.Count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep' AND clock_timestamp() - query_start > '1s'`) > 0
	})
	stopped := time.Now()
	require.NoError(t, worker.Stop())
	committed := c.RequireHalf(id, chaos.Many)
	c.DelayBatches("50ms")
	c.Worker(c.Spool)
	c.WaitFor("the next batch", func() bool { return c.Committed(id) > committed })
	c.Observe("stopped after %s records, the next batch %.1f s later", humanize.Comma(committed), time.Since(stopped).Seconds())
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 1, c.Downloads(id))
}

func TestKilledDuringTheHold(t *testing.T) {
	c := chaos.Begin(t, "`kill -9` of the worker during the hold, which ends while no worker is running", "deleted once a worker is back, and not imported again",
		"HOLD_BEFORE_DELETE=10s")
	worker := c.Worker(c.Spool)
	id := c.Finished(1000)
	c.WaitForStep(id, workflows.StepHold)
	c.WaitFor("the file's removal", func() bool { return len(c.Describe(id).GetPendingActivities()) == 0 })
	c.Kill(worker)
	require.False(t, c.Cloud.Deleted(id))
	c.WaitFor("the end of the hold", func() bool {
		for _, event := range c.History(c.Runs(id)[0]).GetEvents() {
			if event.GetEventType() == enumspb.EVENT_TYPE_TIMER_FIRED {
				return true
			}
		}
		return false
	})
	c.RequireInCloud(id)
	c.Worker(c.Spool)
	c.RequireImported(id, 1000)
	require.Equal(t, 1, c.Downloads(id))
}

func TestReplacedByAWorkerOnAnotherHost(t *testing.T) {
	c := chaos.Begin(t, "the worker's host is lost during the import, with its spool; a worker with another spool and identity is running",
		"restarted by the other one; the file is the same, so its committed batches are kept", goneSoon)
	worker := c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 4000)
	c.Kill(worker)
	c.Observe("lost after %s records", humanize.Comma(c.RequireHalf(id, chaos.Many)))
	c.LoseSpool(c.Spool)
	c.Worker(t.TempDir())
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 2, c.Downloads(id))
	require.Equal(t, int64(1), c.Imports(id))
}

func TestReplacedWorkerAndChangedContent(t *testing.T) {
	c := chaos.Begin(t, "the worker's host is lost during the import, and the second download has different content (the same number of records)",
		"all records are from the second download, none from the first", goneSoon)
	worker := c.Worker(c.Spool)
	c.SlowImport()
	c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, After: 1, Times: 1,
		Effect: changeRecords(webscrapertest.Products(chaos.Many, 2))})
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 4000)
	c.Kill(worker)
	c.Observe("lost after %s records", humanize.Comma(c.RequireHalf(id, chaos.Many)))
	c.LoseSpool(c.Spool)
	c.Worker(t.TempDir())
	c.RequireImported(id, chaos.Many)
	require.Equal(t, int64(2), c.Imports(id))
}

func TestSpoolFileGone(t *testing.T) {
	c := chaos.Begin(t, "`kill -9` of the worker during the import, and its spool file is gone", "downloaded again, and the import resumes")
	worker := c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 4000)
	c.Kill(worker)
	c.RequireHalf(id, chaos.Many)
	files, err := filepath.Glob(filepath.Join(c.Spool, "scrapingjob-*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.NoError(t, os.Remove(files[0]))
	c.Worker(c.Spool)
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 2, c.Downloads(id))
}

func TestFrozenDuringTheImport(t *testing.T) {
	c := chaos.Begin(t, "the worker is frozen during the import (SIGSTOP), another one on the same spool takes over, the first resumes (SIGCONT)",
		"the first commits nothing more, whatever it still had in flight")
	worker := c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 4000)
	c.SignalProcess(worker, syscall.SIGSTOP)
	c.RequireHalf(id, chaos.Many)
	c.Worker(c.Spool)
	fence := func() int64 {
		return c.Count(`SELECT max(fence) FROM scrapehaul.imports WHERE scrapingjob_id = $1`, id)
	}
	c.WaitFor("another attempt", func() bool { return fence() > 1 })
	require.NotNil(t, c.Describe(id).GetPendingActivities()[0].GetLastFailure().GetTimeoutFailureInfo(), "its process has not ended")
	records := c.RequireHalf(id, chaos.Many)
	c.WaitFor("its first batches", func() bool { return c.Committed(id) > records+1000 })
	c.SignalProcess(worker, syscall.SIGCONT)
	c.Observe("the other worker was at %s records when the first one resumed", humanize.Comma(c.RequireHalf(id, chaos.Many)))
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 1, c.Downloads(id))
	c.Observe("%d attempts started", fence())
}

func TestFrozenWithItsLockLost(t *testing.T) {
	c := chaos.Begin(t, "the worker is frozen during the import (SIGSTOP), and the lock that shows others on the spool it is alive is lost; it resumes (SIGCONT) after another one has taken over",
		"the first commits nothing more")
	worker := c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 4000)
	c.SignalProcess(worker, syscall.SIGSTOP)
	c.RequireHalf(id, chaos.Many)
	for _, path := range processFiles(c) {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(strings.Replace(path, "-process-", "-process-COPY-OF-", 1), content, 0o600))
	}
	c.Worker(c.Spool)
	c.WaitFor("the report", func() bool { return c.Describe(id).GetPendingActivities()[0].GetAttempt() > 1 })
	require.Contains(t, c.Describe(id).GetPendingActivities()[0].GetLastFailure().GetMessage(), "has ended")
	c.WaitFor("another attempt", func() bool {
		return c.Count(`SELECT max(fence) FROM scrapehaul.imports WHERE scrapingjob_id = $1`, id) > 1
	})
	c.SignalProcess(worker, syscall.SIGCONT)
	c.Observe("the other worker was at %s records when the first one resumed", humanize.Comma(c.RequireHalf(id, chaos.Many)))
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 1, c.Downloads(id))
}

func TestFrozenDuringTheDownload(t *testing.T) {
	c := chaos.Begin(t, "the worker is frozen during the download (SIGSTOP), another one on the same spool imports the job, the first resumes (SIGCONT)",
		"the late download does no harm and leaves no file")
	worker := c.Worker(c.Spool)
	c.SlowDownload(1)
	id := c.Finished(chaos.Many)
	c.UntilDownloading(c.Spool)
	c.SignalProcess(worker, syscall.SIGSTOP)
	c.RequireDownloading(id)
	c.Worker(c.Spool)
	c.WaitFor("the other's import", func() bool { return c.Visible(id) == chaos.Many })
	c.SignalProcess(worker, syscall.SIGCONT)
	c.RequireImported(id, chaos.Many)
	require.NoError(t, worker.Stop()) // after this, its download has ended
	c.RequireEmptySpools()
}

func TestTwoWorkersShareJobs(t *testing.T) {
	c := chaos.Begin(t, "two workers with a spool each; 20 jobs, each with three notifications and a re-import, all at the same time",
		"one import per job at a time, on either worker")
	c.Worker(c.Spool)
	c.Worker(t.TempDir())
	const jobs, records = 20, 500
	var ids []int64
	for range jobs {
		ids = append(ids, c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(records, 1)}))
	}
	var all sync.WaitGroup
	for _, id := range ids {
		for range 3 {
			all.Go(func() { c.Notify(id) })
		}
		all.Go(func() {
			_, err := workflows.Reimport(t.Context(), c.Temporal, workflows.DefaultTaskQueue, workflows.Notification{ScrapingJobID: id}, workflows.Settings{HoldBeforeDelete: "0"})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	downloads, imports := 0, int64(0)
	for _, id := range ids {
		c.RequireGone(id, records)
		downloads += c.Downloads(id)
		imports += c.Imports(id)
	}
	c.RequireEmptySpools()
	c.Observe("%d × %d records once after %d downloads and %d imports, each job then deleted in the cloud", jobs, records, downloads, imports)
}

func TestCanceledDuringTheDownload(t *testing.T) {
	c := chaos.Begin(t, "the workflow is canceled during the download", "nothing is left behind")
	c.Worker(c.Spool)
	c.SlowDownload(1)
	id := c.Finished(chaos.Many)
	c.UntilDownloading(c.Spool)
	c.RequireDownloading(id)
	c.RequireCanceled(id)
}

func TestCanceledDuringTheImport(t *testing.T) {
	c := chaos.Begin(t, "the workflow is canceled during the import", "nothing is left behind")
	c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 4000)
	c.RequireHalf(id, chaos.Many)
	c.RequireCanceled(id)
}

func TestIdleWorkerAlongsideABusyOne(t *testing.T) {
	c := chaos.Begin(t, "a worker with one slot is downloading when a second job finishes; another worker starts; the first one stops",
		"the waiting job is not tied to a worker: the other one takes it immediately", "MAX_CONCURRENT_IMPORTS=1", "WORKER_GONE_AFTER=5m")
	worker := c.Worker(c.Spool)
	c.SlowDownload(1)
	const large = 4 * chaos.Many // takes longer than another worker's start and import
	first := c.Finished(large)
	c.UntilDownloading(c.Spool)
	second := c.Finished(1000)
	c.WaitFor("the second job's download to be due", func() bool { return len(c.Describe(second).GetPendingActivities()) > 0 })
	c.Worker(t.TempDir())
	started := time.Now()
	c.Result(second)
	require.Less(t, time.Since(started), time.Minute)
	c.RequireOneDownload(second, 1000)
	c.RequireDownloading(first)
	require.NoError(t, worker.Stop())
	c.Worker(c.Spool) // has the first one's partial file
	c.Result(first)
	c.RequireImported(second, 1000)
	c.RequireImported(first, large)
}
