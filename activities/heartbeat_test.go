package activities_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// Uses a real server: heartbeats sent while waiting for a slot must neither hide where the
// download broke nor end the download that follows.
func TestDownloadIsResumedAfterWaitingForASlot(t *testing.T) {
	t.Parallel()
	a := newAttempts(t)
	a.steps.MaxConcurrentImports = 1
	namespace := temporaltest.NewNamespace(t)
	onWorker := worker.New(namespace.Client, queue, worker.Options{})
	a.steps.Register(onWorker)
	onWorker.RegisterWorkflowWithOptions(func(ctx workflow.Context, in activities.DownloadScrapingJobInput) (result activities.DownloadScrapingJobResult, err error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: 2 * waitAtMost,
			HeartbeatTimeout:    3 * time.Second,
			RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Millisecond, MaximumAttempts: 2},
		})
		err = workflow.ExecuteActivity(ctx, "DownloadScrapingJob", in).Get(ctx, &result)
		return result, err
	}, workflow.RegisterOptions{Name: "Download"})
	require.NoError(t, onWorker.Start())
	t.Cleanup(onWorker.Stop)

	download := func(file string) client.WorkflowRun {
		run, err := namespace.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: file, TaskQueue: queue},
			"Download", activities.DownloadScrapingJobInput{ScrapingJobID: a.id, File: file})
		require.NoError(t, err)
		return run
	}
	waitForHeartbeat := func(file string, matches func(attempt int32, reported activities.Progress) bool) {
		require.Eventually(t, func() bool {
			described, err := namespace.Client.DescribeWorkflowExecution(t.Context(), file, "")
			if err != nil || len(described.GetPendingActivities()) == 0 {
				return false
			}
			pending := described.GetPendingActivities()[0]
			var reported activities.Progress
			err = converter.GetDefaultDataConverter().FromPayloads(pending.GetHeartbeatDetails(), &reported)
			return err == nil && matches(pending.GetAttempt(), reported)
		}, waitAtMost, 10*pollEvery)
	}

	breaks, otherContinues, continues := make(chan struct{}), make(chan struct{}), make(chan struct{})
	a.inject(answerAfter(breaks, webscrapertest.Truncate(nineTenths)))
	a.inject(answerAfter(otherContinues, nil))
	a.inject(answerAfter(continues, nil))
	first := download(file)
	require.Eventually(t, func() bool { return a.downloads() == 1 }, waitAtMost, pollEvery)
	other := download("another.json")
	waitForHeartbeat("another.json", func(_ int32, reported activities.Progress) bool { return reported.Waiting })
	close(breaks) // now the other one gets the slot

	waitForHeartbeat(file, func(attempt int32, reported activities.Progress) bool {
		return attempt == 2 && reported.Waiting && reported.Partial != ""
	})
	waitForHeartbeat("another.json", func(_ int32, reported activities.Progress) bool { return !reported.Waiting })
	close(otherContinues)
	waitForHeartbeat(file, func(_ int32, reported activities.Progress) bool { return !reported.Waiting && reported.Partial != "" })
	close(continues)

	require.NoError(t, other.Get(t.Context(), nil))
	var result activities.DownloadScrapingJobResult
	require.NoError(t, first.Get(t.Context(), &result))
	a.requireFile(result, webscrapertest.Products(records, 1))
	require.Equal(t, 3, a.downloads(), "no attempt was lost")
	require.Equal(t, fmt.Sprintf("bytes=%d-", nineTenths), a.lastRequest().Range)
	require.ElementsMatch(t, []string{file, "another.json"}, a.files())
}

// answerAfter waits for start before it answers the request, with the effect if there is
// one.
func answerAfter(start <-chan struct{}, effect webscrapertest.Effect) webscrapertest.Effect {
	return func(c *webscrapertest.Cloud, next http.Handler) http.Handler {
		if effect != nil {
			next = effect(c, next)
		}
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			select {
			case <-start:
				next.ServeHTTP(rw, r)
			case <-r.Context().Done():
			}
		})
	}
}

// silentSink never gets a response from its database.
type silentSink struct{ sink.RecordSink }

func (silentSink) BeginImport(ctx context.Context, _ sink.ImportRequest) (sink.Import, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("reading the row: %w", ctx.Err())
}

// It would keep its slot while it hangs.
func TestAttemptWithoutProgressEndsWithAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5, 1)}), 1)
	w.steps.Sink = silentSink{w.steps.Sink}
	w.steps.MaxConcurrentImports = 1
	namespace := temporaltest.NewNamespace(t)
	onWorker := worker.New(namespace.Client, queue, worker.Options{})
	w.steps.Register(onWorker)
	onWorker.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: 2 * waitAtMost,
			HeartbeatTimeout:    10 * time.Second,
			RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		}), "ImportRecords", in).Get(ctx, nil)
	}, workflow.RegisterOptions{Name: "Import"})
	require.NoError(t, onWorker.Start())
	t.Cleanup(onWorker.Stop)

	var runs []client.WorkflowRun
	for _, id := range []string{"first", "second"} { // one of them gets the slot first
		run, err := namespace.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: queue}, "Import")
		require.NoError(t, err)
		runs = append(runs, run)
	}
	for _, run := range runs {
		require.ErrorContains(t, run.Get(t.Context(), nil), "no progress for 10s (HEARTBEAT_TIMEOUT): reading the row: context canceled")
	}
}
