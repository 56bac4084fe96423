package activities_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestPublishingStartsNothingByDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{SitemapName: "shop-1", Records: webscrapertest.Products(20, 1)})
	_, imported := w.imported(id, 1)
	require.Nil(t, imported.Announce)
	w.steps.OnPublished = &activities.FollowUp{WorkflowType: "FollowUp", TaskQueue: "theirs"}
	require.False(t, w.describe(id).Published.Unannounced, "earlier imports are left alone")
	require.Empty(t, w.findDue(activities.Filter{}))
}

func TestAnnouncementIsReturnedUntilTheImportIsAnnounced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	followUp := &activities.FollowUp{WorkflowType: "FollowUp", TaskQueue: "theirs", SitemapNamePrefix: "shop"}
	w.steps.OnPublished = followUp
	id := w.cloud.AddJob(webscrapertest.Job{SitemapID: 7, SitemapName: "shop-1", Records: webscrapertest.Products(20, 1)})
	other := w.cloud.AddJob(webscrapertest.Job{SitemapName: "books", Records: webscrapertest.Products(20, 2)})
	_, ofOther := w.imported(other, 1)
	require.Nil(t, ofOther.Announce)

	in, imported := w.imported(id, 1)
	require.NotNil(t, imported.Announce)
	require.NotEmpty(t, imported.Announce.Columns)
	require.Equal(t, &activities.Announcement{FollowUp: followUp, Publication: sink.Publication{
		ScrapingJobID: id, Account: sink.DefaultAccount, SitemapID: 7, SitemapName: "shop-1", CustomID: in.Job.CustomID, Status: "finished",
		ImportID: imported.ImportID, Kind: sink.FirstImport, Counts: sink.Counts{Records: 20},
		Columns: imported.Announce.Columns, PublishedAt: imported.Announce.PublishedAt,
	}}, imported.Announce)
	again, err := w.tryImport(in)
	require.NoError(t, err)
	require.Equal(t, imported, again, "a retry")
	require.Equal(t, imported.Announce, w.describe(id).Announce)
	require.Equal(t, []int64{id}, w.findDue(activities.Filter{}))
	w.steps.OnPublished = nil
	require.Nil(t, w.describe(id).Announce)
	require.Empty(t, w.findDue(activities.Filter{}), "there is no longer a follow-up")
	w.steps.OnPublished = followUp

	_, err = run[any](w, "SetAnnounced", activities.SetAnnouncedInput{Publication: imported.Announce.Publication, Problem: "no such namespace"})
	require.NoError(t, err)
	described := w.describe(id)
	require.Nil(t, described.Announce)
	require.True(t, described.Unchanged())
	require.Empty(t, w.findDue(activities.Filter{}))

	withheld := w.downloaded(id, 2)
	withheld.Job.StoredRecordCount, withheld.MaxRecordBytes = 30, 1
	short, err := w.tryImport(withheld)
	require.NoError(t, err)
	require.False(t, short.Published)
	require.Nil(t, short.Announce)

	restore := w.downloaded(id, 3)
	restore.Restored = true
	restored, err := w.tryImport(restore)
	require.NoError(t, err)
	require.Equal(t, sink.Restore, restored.Announce.Kind)
	require.Equal(t, imported.ImportID, restored.Announce.ReplacedImportID)
}

// forgetfulSink fails to record the first announcement.
type forgetfulSink struct {
	sink.RecordSink
	calls int
}

func (s *forgetfulSink) SetAnnounced(ctx context.Context, importID int64, problem string) error {
	if s.calls++; s.calls == 1 {
		return errors.New("the connection broke")
	}
	return s.RecordSink.SetAnnounced(ctx, importID, problem)
}

// Uses a real server, as recording the announcement is retried.
func TestImportIsAnnouncedOnceItsDeliveryHasStarted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.steps.Webhook = &activities.Webhook{URL: "https://example.com", Secret: "whsec_c2VjcmV0"}
	id := w.cloud.AddJob(webscrapertest.Job{SitemapName: "shop-1", Records: webscrapertest.Products(20, 1)})
	_, imported := w.imported(id, 1)
	require.True(t, imported.Announce.Webhook)
	require.Nil(t, imported.Announce.FollowUp)
	w.steps.Sink = &forgetfulSink{RecordSink: w.steps.Sink}

	namespace := temporaltest.NewNamespace(t)
	onWorker := worker.New(namespace.Client, queue, worker.Options{})
	w.steps.Register(onWorker)
	onWorker.RegisterWorkflowWithOptions(func(ctx workflow.Context, in activities.SetAnnouncedInput) error {
		return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: waitAtMost,
			RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Millisecond},
		}), "SetAnnounced", in).Get(ctx, nil)
	}, workflow.RegisterOptions{Name: "Announce"})
	onWorker.RegisterWorkflowWithOptions(func(ctx workflow.Context, sitemapName string) (string, error) {
		for range 2 {
			workflow.GetSignalChannel(ctx, "publication").Receive(ctx, nil)
		}
		return sitemapName, nil
	}, workflow.RegisterOptions{Name: activities.DeliverPublicationsName})
	onWorker.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: waitAtMost}), "RemoveUnfinishedImports").Get(ctx, nil)
	}, workflow.RegisterOptions{Name: "Remove"})
	require.NoError(t, onWorker.Start())
	t.Cleanup(onWorker.Stop)

	run, err := namespace.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "announce", TaskQueue: queue},
		"Announce", activities.SetAnnouncedInput{Publication: imported.Announce.Publication, Webhook: true})
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))
	require.False(t, w.describe(id).Published.Unannounced)
	var delivering string
	require.NoError(t, namespace.Client.GetWorkflow(t.Context(), "scrapehaul-webhook-shop-1", "").Get(t.Context(), &delivering))
	require.Equal(t, "shop-1", delivering, "both attempts have started it")
	next, err := w.steps.Store.NextUndelivered(t.Context(), sink.DefaultAccount, "shop-1")
	require.NoError(t, err)
	require.Equal(t, imported.Announce.Publication, next.Publication)

	// Someone may have terminated it.
	run, err = namespace.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "leftovers", TaskQueue: queue}, "Remove")
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))
	again, err := namespace.Client.DescribeWorkflowExecution(t.Context(), "scrapehaul-webhook-shop-1", "")
	require.NoError(t, err)
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, again.GetWorkflowExecutionInfo().GetStatus())

	of := imported.Announce.Publication
	of.Account = "acme"
	run, err = namespace.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "announce-acme", TaskQueue: queue},
		"Announce", activities.SetAnnouncedInput{Publication: of, Webhook: true})
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))
	acme, err := namespace.Client.DescribeWorkflowExecution(t.Context(), activities.DeliveryID("acme", "shop-1"), "")
	require.NoError(t, err)
	require.Equal(t, "acme", acme.GetWorkflowExecutionInfo().GetPriority().GetFairnessKey(), "accounts take turns")
}
