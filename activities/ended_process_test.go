package activities_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
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

// hangingSink reports the start of an import and hangs.
type hangingSink struct {
	sink.RecordSink
	started chan struct{}
}

func (s hangingSink) BeginImport(ctx context.Context, in sink.ImportRequest) (sink.Import, error) {
	in.Progress()
	s.started <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// unavailable is a Temporal that cannot be reached.
type unavailable struct{ client.Client }

func (unavailable) CompleteActivity(context.Context, []byte, any, error) error {
	return serviceerror.NewUnavailable("connection refused")
}

// Uses a real server, with timeouts longer than the test.
func TestAttemptsOfAnEndedProcessAreRetriedImmediately(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5, 1)}), 1)
	hangs := hangingSink{w.steps.Sink, make(chan struct{}, 10)}
	w.steps.Sink = hangs
	namespace := temporaltest.NewNamespace(t)
	onWorker := worker.New(namespace.Client, queue, worker.Options{})
	w.steps.Register(onWorker)
	onWorker.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: time.Hour,
			HeartbeatTimeout:    time.Hour,
			RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Hour},
		}), "ImportRecords", in).Get(ctx, nil)
	}, workflow.RegisterOptions{Name: "Import"})
	require.NoError(t, onWorker.Start())
	t.Cleanup(onWorker.Stop)
	run, err := namespace.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, "Import")
	require.NoError(t, err)
	pending := func() *workflowpb.PendingActivityInfo {
		described, err := namespace.Client.DescribeWorkflowExecution(t.Context(), run.GetID(), "")
		require.NoError(t, err)
		require.Len(t, described.GetPendingActivities(), 1)
		return described.GetPendingActivities()[0]
	}
	starts := func() {
		select {
		case <-hangs.started:
		case <-time.After(waitAtMost):
			t.Fatal("no attempt has started")
		}
	}

	starts()
	files := w.processFiles()
	require.Len(t, files, 2, "a lock and the attempt's file")
	copies := map[string]string{}
	for _, path := range files {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NotContains(t, string(content), apiToken)
		copies[path] = string(content)
	}

	another := openSpool(t, w.spool, 0)
	activities.ReportEnded(another, t.Context(), namespace.Client)
	require.Equal(t, files, w.processFiles(), "its process is running")
	require.EqualValues(t, 1, pending().GetAttempt())

	activities.EndProcess(w.steps.Spool)
	activities.ReportEnded(another, t.Context(), unavailable{namespace.Client})
	require.Equal(t, files, w.processFiles(), "to be reported later")
	activities.ReportEnded(another, t.Context(), namespace.Client)
	starts()
	second := pending()
	require.EqualValues(t, 2, second.GetAttempt())
	require.Contains(t, second.GetLastFailure().GetMessage(), "has ended; another attempt will resume from here")
	var last activities.Progress
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(second.GetHeartbeatDetails(), &last))
	require.Equal(t, in.Bytes, last.OfBytes, "the first attempt's last heartbeat")

	// A file system that was rolled back.
	for _, path := range w.processFiles() {
		require.NoError(t, os.Remove(path))
	}
	for path, content := range copies {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	activities.ReportEnded(another, t.Context(), namespace.Client)
	require.Empty(t, w.processFiles())
	require.EqualValues(t, 2, pending().GetAttempt(), "Temporal refuses the stale token")
}

// What a host crash has left of it is removed.
func TestCompletedAttemptLeavesNothingToReport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5, 1)}), 1)
	_, err := w.tryImport(in)
	require.NoError(t, err)
	files := w.processFiles()
	require.Len(t, files, 1, "the lock")
	activities.EndProcess(w.steps.Spool)
	require.NoError(t, os.WriteFile(strings.TrimSuffix(files[0], ".lock")+".attempt-1", nil, 0o600))
	activities.ReportEnded(w.steps.Spool, t.Context(), nil)
	require.Empty(t, w.processFiles())
}

// processFiles lists the files of processes and their attempts.
func (w *world) processFiles() []string {
	w.t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.spool, ".scrapehaul-process-*"))
	require.NoError(w.t, err)
	return paths
}
