package activities_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/diskspace"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestDownloadIsACompleteFileThatOnlyItsOwnerReads(t *testing.T) {
	t.Parallel()
	for name, changes := range map[string][]func(*webscrapertest.Options){
		"compressed":   nil,
		"uncompressed": {noGzip},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, changes...)
			records := webscrapertest.Products(1000, 1)
			want, err := io.ReadAll(records.Open())
			require.NoError(t, err)
			id := w.cloud.AddJob(webscrapertest.Job{Records: records})

			download, err := w.tryDownload(id)
			require.NoError(t, err)
			hash := sha256.Sum256(want)
			require.Equal(t, activities.DownloadScrapingJobResult{
				Bytes: int64(len(want)), SHA256: hex.EncodeToString(hash[:]),
			}, download)
			got, err := os.ReadFile(filepath.Join(w.spool, file))
			require.NoError(t, err)
			require.Equal(t, want, got)
			info, err := os.Stat(filepath.Join(w.spool, file))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode())
			require.Equal(t, []string{file}, w.files(), "nothing else is left")

			sent := w.lastAnswered().Bytes
			require.Equal(t, changes == nil, sent < download.Bytes, "%d bytes were sent", sent)
		})
	}
}

func TestDownloadOfAnEmptyJobIsAnEmptyFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	download, err := w.tryDownload(w.cloud.AddJob(webscrapertest.Job{}))
	require.NoError(t, err)
	require.Zero(t, download.Bytes)
	require.Equal(t, []string{file}, w.files())
}

func TestDownloadReplacesTheFileOfAnEarlierAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(file, strings.Repeat("earlier", 1000))
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"a":1}`)})
	_, err := w.tryDownload(id)
	require.NoError(t, err)
	got, err := os.ReadFile(filepath.Join(w.spool, file))
	require.NoError(t, err)
	require.Equal(t, `{"a":1}`+"\n", string(got))
}

func TestFullDiskIsNoticedBeforeTheDownload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.steps.Spool = openSpool(t, w.spool, math.MaxInt64/2)
	_, err := w.tryDownload(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)}))
	requireFailure(t, err, activities.ErrorDiskFull, true)
	require.ErrorContains(t, err, "SPOOL_MIN_FREE")
	require.Empty(t, w.files())
	require.Zero(t, w.downloads(), "no API call is wasted")
}

func TestDownloadThatDoesNotFitIsNotStarted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, noGzip)
	free, _, err := diskspace.Of(w.spool)
	require.NoError(t, err)
	const records = 20_000_000 // 10 GB, of which half fits
	w.steps.Spool = openSpool(t, w.spool, free-records*520/2)
	_, err = w.tryDownload(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(records, 1)}))
	requireFailure(t, err, activities.ErrorDiskFull, true)
	require.ErrorContains(t, err, "10400000000 more are to be written", "the complete file")
	require.Empty(t, w.files())
	require.Equal(t, 1, w.downloads())
}

func TestStoppingWorkerReturnsTheDownload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.steps.MaxConcurrentImports = 1
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(1000, 1)})
	hang := w.cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Effect: webscrapertest.HangAt(10_000)})
	stop := make(chan struct{})
	env := w.environment()
	env.SetWorkerStopChannel(stop)
	failed := make(chan error)
	go func() {
		_, err := env.ExecuteActivity("DownloadScrapingJob", activities.DownloadScrapingJobInput{ScrapingJobID: id, File: file})
		failed <- err
	}()
	require.Eventually(t, func() bool { return hang.Hits() == 1 }, waitAtMost, pollEvery)

	// The others wait for the only slot.
	stopped := make(chan struct{})
	close(stopped)
	for activity, input := range map[string]any{
		"DownloadScrapingJob": activities.DownloadScrapingJobInput{ScrapingJobID: id, File: "another.json"},
		"ImportRecords":       activities.ImportRecordsInput{Job: sink.ScrapingJob{ScrapingJobID: id}, File: file},
	} {
		waiting := w.environment()
		waiting.SetWorkerStopChannel(stopped)
		_, err := waiting.ExecuteActivity(activity, input)
		requireFailure(t, err, activities.ErrorWorkerStopping, true)
	}
	close(stop)
	requireFailure(t, <-failed, activities.ErrorWorkerStopping, true)
	require.Empty(t, w.files())
	require.Equal(t, 1, w.downloads())
	require.Zero(t, w.count(`SELECT count(*) FROM scrapehaul.imports`))
}

func TestDownloadSendsHeartbeatsWhileItWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
	heartbeat := make(chan struct{}, 1)
	w.cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Effect: func(_ *webscrapertest.Cloud, next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			select {
			case <-heartbeat:
				next.ServeHTTP(rw, r)
			case <-r.Context().Done():
			}
		})
	}})
	// Only an activity of a workflow has a heartbeat timeout here.
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	w.steps.Register(env)
	env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) {
		select {
		case heartbeat <- struct{}{}:
		default: // one is enough
		}
	})
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: waitAtMost,
			HeartbeatTimeout:    4 * time.Second,
			RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		})
		return workflow.ExecuteActivity(ctx, "DownloadScrapingJob",
			activities.DownloadScrapingJobInput{ScrapingJobID: id, File: file}).Get(ctx, nil)
	})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{file}, w.files())
}

func TestFileNamesThatLeadOutOfTheSpoolAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
	in := w.downloaded(id, 1)
	outside := filepath.Join(filepath.Dir(w.spool), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("mine"), 0o600))
	for _, name := range []string{"", ".", "..", "../outside", "a/../../outside", "a/b", "/", outside, ".scrapehaul-spool"} {
		t.Run(name, func(t *testing.T) {
			in.File = name
			for activity, input := range map[string]any{
				"DownloadScrapingJob": activities.DownloadScrapingJobInput{ScrapingJobID: id, File: name},
				"ImportRecords":       in,
				"RemoveFile":          activities.RemoveFileInput{File: name},
			} {
				_, err := run[any](w, activity, input)
				require.ErrorContains(t, err, "is not the name of a spool file", activity)
			}
		})
	}
	content, err := os.ReadFile(outside)
	require.NoError(t, err)
	require.Equal(t, "mine", string(content))
	require.FileExists(t, filepath.Join(w.spool, ".scrapehaul-spool"))
	require.Equal(t, []string{file}, w.files())
	require.Zero(t, w.visible())
}
