package activities_test

import (
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/diskspace"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func (a *attempts) runIfDue(env *testsuite.TestActivityEnvironment, due activities.IfDue) (activities.DownloadScrapingJobResult, error) {
	return runIn[activities.DownloadScrapingJobResult](a.world, env, "DownloadScrapingJob",
		activities.DownloadScrapingJobInput{ScrapingJobID: a.id, File: file, IfDue: &due})
}

// resume completes an interrupted download.
func (a *attempts) resume(interrupted activities.DownloadScrapingJobResult) (activities.DownloadScrapingJobResult, error) {
	return run[activities.DownloadScrapingJobResult](a.world, "DownloadScrapingJob",
		activities.DownloadScrapingJobInput{ScrapingJobID: a.id, File: file, Earlier: &interrupted.Interrupted.Progress})
}

func TestOnlyADueJobIsDownloaded(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	download, err := a.runIfDue(a.next(), activities.IfDue{})
	require.NoError(t, err)
	require.True(t, download.Described.Found)
	require.Equal(t, int64(records), download.Described.Job.StoredRecordCount)
	require.Equal(t, queue, download.Described.WorkerTaskQueue)
	require.Nil(t, download.Interrupted)
	described := download.Described
	download.Described = nil
	a.requireFile(download, webscrapertest.Products(records, 1))

	_, err = a.tryImport(activities.ImportRecordsInput{
		Job: described.Job, File: file, Bytes: download.Bytes, SHA256: download.SHA256, RunID: "run", Pass: 1,
		BatchRecords: 100, MaxRecordBytes: 1 << 20,
	})
	require.NoError(t, err)
	require.Empty(t, a.files(), "the import removes its file")
	for name, due := range map[string]activities.IfDue{
		"published": {},
		"filtered":  {Filter: activities.Filter{SitemapNamePrefix: "other-"}},
	} {
		download, err := a.runIfDue(a.next(), due)
		require.NoError(t, err, name)
		require.Zero(t, download.Bytes, name)
		require.NotNil(t, download.Described, name)
		require.Empty(t, a.files(), name)
	}
	again, err := a.runIfDue(a.next(), activities.IfDue{Again: true})
	require.NoError(t, err)
	require.True(t, again.Described.Unchanged())
	require.Equal(t, []string{file}, a.files())
}

func TestInterruptedDownloadIsHandedOverWithItsProgress(t *testing.T) {
	t.Parallel()
	a := newAttempts(t, noGzip)
	a.inject(webscrapertest.Truncate(nineTenths))
	interrupted, err := a.runIfDue(a.next(), activities.IfDue{})
	require.NoError(t, err)
	require.NotEmpty(t, interrupted.Interrupted.Reason)
	require.Equal(t, int64(nineTenths), interrupted.Interrupted.Progress.Bytes)
	require.Equal(t, queue, interrupted.Described.WorkerTaskQueue)

	download, err := a.resume(interrupted)
	require.NoError(t, err)
	a.requireFile(download, webscrapertest.Products(records, 1))
	require.Equal(t, []string{file}, a.files(), "nothing else is left")
	require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), a.lastRequest().Range)
}

// A job is bound to a worker only once there is a file to resume.
func TestAnyWorkerTakesADownloadWithoutAPartialFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind   string
		happen func(a *attempts) (restore func())
	}{
		"503": {activities.ErrorCloud, func(a *attempts) func() {
			a.inject(webscrapertest.FailWithHTML(503))
			return func() {}
		}},
		"broken, without range support": {activities.ErrorCloud, func(a *attempts) func() {
			removed := a.inject(func(_ *webscrapertest.Cloud, next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Length", "1000")
					_, _ = w.Write([]byte("{"))
				})
			})
			return removed.Remove
		}},
		"no room": {activities.ErrorDiskFull, func(a *attempts) func() {
			roomy := a.steps.Spool
			a.steps.Spool = openSpool(a.t, a.spool, math.MaxInt64/2)
			return func() { a.steps.Spool = roomy }
		}},
		"no room for all of it": {activities.ErrorDiskFull, func(a *attempts) func() {
			free, _, err := diskspace.Of(a.spool)
			require.NoError(a.t, err)
			roomy, small := a.steps.Spool, a.id
			a.steps.Spool = openSpool(a.t, a.spool, free-10_000_000*520)
			a.id = a.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20_000_000, 1)})
			return func() { a.steps.Spool, a.id = roomy, small }
		}},
		"no slot, as an import has taken it": {activities.ErrorWorkerBusy, func(a *attempts) func() {
			activities.FillSlots(a.steps)
			return func() { activities.UnboundSlots(a.steps) }
		}},
		"the worker stops without a free slot": {activities.ErrorWorkerStopping, func(a *attempts) func() {
			activities.FillSlots(a.steps)
			return func() { activities.UnboundSlots(a.steps) }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAttempts(t, noGzip)
			restore := c.happen(a)
			env := a.next()
			if c.kind == activities.ErrorWorkerStopping {
				stopped := make(chan struct{})
				close(stopped)
				env.SetWorkerStopChannel(stopped)
			}
			_, err := a.runIfDue(env, activities.IfDue{})
			requireFailure(t, err, c.kind, true)
			require.Empty(t, a.files())
			if c.kind == activities.ErrorWorkerBusy {
				require.Empty(t, a.cloud.Requests(), "no API call is wasted")
			}
			restore()

			a.steps.WorkerTaskQueue = "another worker"
			download, err := a.runIfDue(a.next(), activities.IfDue{})
			require.NoError(t, err)
			require.Nil(t, download.Interrupted)
			require.Equal(t, "another worker", download.Described.WorkerTaskQueue)
			download.Described = nil
			a.requireFile(download, webscrapertest.Products(records, 1))
		})
	}
}

func TestWorkerWithoutRoomForTheRestReturnsTheDownload(t *testing.T) {
	t.Parallel()
	a := newAttempts(t, noGzip)
	a.inject(webscrapertest.Truncate(nineTenths))
	interrupted, err := a.runIfDue(a.next(), activities.IfDue{})
	require.NoError(t, err)
	a.steps.Spool = openSpool(t, a.spool, math.MaxInt64/2)
	_, err = a.resume(interrupted)
	requireFailure(t, err, activities.ErrorDiskFull, false)
	require.Empty(t, a.files())
}

func TestFinalErrorOfADownloadLeavesNothing(t *testing.T) {
	t.Parallel()
	for kind, effect := range map[string]webscrapertest.Effect{
		activities.ErrorTokenRefused: webscrapertest.FailWith(401),
		activities.ErrorJobGone:      webscrapertest.FailWith(404),
	} {
		a := newAttempts(t)
		a.cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Effect: effect})
		interrupted, err := a.runIfDue(a.next(), activities.IfDue{})
		require.NoError(t, err)
		require.True(t, interrupted.Described.Found, "the description is returned anyway")
		require.Empty(t, a.files())
		_, err = a.resume(interrupted)
		requireFailure(t, err, kind, false)
		require.Empty(t, a.files())
	}
}

func TestRateLimitedDownloadWaits(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.inject(webscrapertest.TooManyRequests(7 * time.Second))
	started := time.Now()
	download, err := a.runIfDue(a.next(), activities.IfDue{})
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(started)+download.Wait, 8*time.Second, "not before the API allows it")
	require.Equal(t, activities.DownloadScrapingJobResult{Wait: download.Wait}, download, "nothing was done")
	require.Empty(t, a.files())
}

// A worker was killed during the download, and any worker may get the retry.
func TestDownloadIsResumedWhereItsFileIs(t *testing.T) {
	t.Parallel()
	interrupted := func(t *testing.T) *attempts {
		a := newAttempts(t, noGzip)
		a.inject(webscrapertest.Truncate(nineTenths))
		_, err := a.runIfDue(a.next(), activities.IfDue{})
		require.NoError(t, err)
		require.Equal(t, queue, a.reported.Load().WorkerTaskQueue)
		return a
	}
	t.Run("on the same worker", func(t *testing.T) {
		a := interrupted(t)
		download, err := a.runIfDue(a.next(), activities.IfDue{})
		require.NoError(t, err)
		require.Nil(t, download.Interrupted)
		download.Described = nil
		a.requireFile(download, webscrapertest.Products(records, 1))
		require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), a.lastRequest().Range)
	})
	t.Run("not on another worker", func(t *testing.T) {
		a := interrupted(t)
		downloads := len(a.cloud.Requests())
		first := a.steps.WorkerTaskQueue
		a.steps.WorkerTaskQueue = "another worker"
		handedBack, err := a.runIfDue(a.next(), activities.IfDue{})
		require.NoError(t, err)
		require.Equal(t, first, handedBack.Described.WorkerTaskQueue)
		require.Equal(t, downloads+1, len(a.cloud.Requests()), "the job was only described")

		a.steps.WorkerTaskQueue = first
		download, err := a.resume(handedBack)
		require.NoError(t, err)
		a.requireFile(download, webscrapertest.Products(records, 1))
		require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), a.lastRequest().Range)
	})
	t.Run("after another worker has checked its data quality", func(t *testing.T) {
		a := interrupted(t)
		a.steps.WorkerTaskQueue = "another worker"
		a.quality(http.StatusOK, `{"success":true,"data":{"overall_data_quality_success":false}}`)
		handedBack, err := runIn[activities.DownloadScrapingJobResult](a.world, a.next(), "DownloadScrapingJob",
			activities.DownloadScrapingJobInput{ScrapingJobID: a.id, File: file, IfDue: &activities.IfDue{}, DataQuality: true})
		require.NoError(t, err)
		require.NotNil(t, handedBack.Interrupted)
		require.Contains(t, handedBack.FailedDataQuality, "data quality check failed")
	})
	t.Run("not if the job is no longer due", func(t *testing.T) {
		a := interrupted(t)
		first := a.steps.WorkerTaskQueue
		a.steps.WorkerTaskQueue = "another worker"
		require.NoError(t, a.cloud.SetStatus(a.id, "started"))
		left, err := a.runIfDue(a.next(), activities.IfDue{})
		require.NoError(t, err)
		require.NotNil(t, left.Interrupted, "the workflow removes its file")
		require.Equal(t, first, left.Described.WorkerTaskQueue)
	})
	t.Run("not if the job is in the archive only", func(t *testing.T) {
		a := newAttempts(t, noGzip)
		a.archiving()
		a.imported(a.id, 1)
		a.inject(webscrapertest.Truncate(nineTenths))
		_, err := a.runIfDue(a.next(), activities.IfDue{Again: true})
		require.NoError(t, err)
		require.NoError(t, a.client(apiToken).DeleteScrapingJob(t.Context(), a.id))
		a.spool = t.TempDir()
		a.steps.Spool, a.steps.WorkerTaskQueue = openSpool(t, a.spool, 0), "another worker"
		restored, err := a.runIfDue(a.next(), activities.IfDue{Again: true})
		require.NoError(t, err)
		require.NotNil(t, restored.Archived)
		require.Nil(t, restored.Interrupted)
		require.Equal(t, "another worker", restored.Described.WorkerTaskQueue)
		require.Equal(t, []string{file}, a.files())
	})
}
