package activities_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// remover runs RemoveUnfinishedImports on a real server, which has the open workflows of
// jobs.
type remover struct {
	*world
	temporal client.Client
}

func newRemover(t *testing.T) *remover {
	t.Helper()
	w := newWorld(t)
	namespace := temporaltest.NewNamespace(t)
	onWorker := worker.New(namespace.Client, queue, worker.Options{})
	w.steps.Register(onWorker)
	onWorker.RegisterWorkflowWithOptions(func(ctx workflow.Context, in activities.RemoveUnfinishedImportsInput) (removed activities.Removed, err error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: waitAtMost})
		err = workflow.ExecuteActivity(ctx, "RemoveUnfinishedImports", in).Get(ctx, &removed)
		return removed, err
	}, workflow.RegisterOptions{Name: "Remove"})
	onWorker.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		workflow.GetSignalChannel(ctx, "end").Receive(ctx, nil)
		return nil
	}, workflow.RegisterOptions{Name: "Open"})
	require.NoError(t, onWorker.Start())
	t.Cleanup(onWorker.Stop)
	return &remover{w, namespace.Client}
}

// remove returns how many old imports and records were removed.
func (r *remover) remove(in activities.RemoveUnfinishedImportsInput) [2]int64 {
	r.t.Helper()
	run, err := r.temporal.ExecuteWorkflow(r.t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, "Remove", in)
	require.NoError(r.t, err)
	var removed activities.Removed
	require.NoError(r.t, run.Get(r.t.Context(), &removed))
	return [2]int64{int64(removed.OldImports), removed.OldRecords}
}

// old imports a job of the sitemap, published that long ago.
func (r *remover) old(records int, age time.Duration) (id int64, in activities.DeleteScrapingJobInput) {
	r.t.Helper()
	id, in = r.importedJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(records, 1)})
	r.db.MustExec(`UPDATE scrapehaul.imports SET published_at = now() - make_interval(secs => $2) WHERE import_id = $1`, in.ImportID, age.Seconds())
	return id, in
}

const month = 30 * 24 * time.Hour

func TestOldImportIsKeptWhileItsWorkflowIsOpen(t *testing.T) {
	t.Parallel()
	r := newRemover(t)
	r.steps.RecordsRetention = month
	id, in := r.old(20, 2*month)
	r.old(10, 2*month)
	require.Zero(t, r.remove(activities.RemoveUnfinishedImportsInput{}), "its job is still to be deleted in the cloud")
	require.True(t, r.delete(in).Deleted)

	open, err := r.temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: strconv.FormatInt(id, 10), TaskQueue: queue}, "Open")
	require.NoError(t, err)
	require.Zero(t, r.remove(activities.RemoveUnfinishedImportsInput{}))
	require.NoError(t, r.temporal.SignalWorkflow(t.Context(), open.GetID(), "", "end", nil))
	require.NoError(t, open.Get(t.Context(), nil))
	require.Equal(t, [2]int64{1, 20}, r.remove(activities.RemoveUnfinishedImportsInput{}))
	require.Equal(t, int64(10), r.visible())
	require.Equal(t, int64(10), r.count(`SELECT count(*) FROM scrapehaul.import_records`))
	require.Zero(t, r.remove(activities.RemoveUnfinishedImportsInput{}))
}

func TestOldImportThatPostgreSQLRefusesToRemoveDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	r := newRemover(t)
	r.steps.RecordsRetention = month
	_, refused := r.old(20, 3*month)
	r.old(10, 2*month)
	r.old(5, 2*month)
	r.db.MustExec(fmt.Sprintf(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it is ours'; END $$;
		CREATE TRIGGER refuse BEFORE UPDATE ON scrapehaul.imports FOR EACH ROW WHEN (NEW.state = 'removed' AND NEW.import_id = %d) EXECUTE FUNCTION refuse()`, refused.ImportID))
	run, err := r.temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, "Remove", activities.RemoveUnfinishedImportsInput{NeverDeleted: true})
	require.NoError(t, err)
	require.ErrorContains(t, run.Get(t.Context(), nil), "it is ours")
	require.Equal(t, int64(25), r.visible())
	require.Equal(t, int64(25), r.count(`SELECT count(*) FROM scrapehaul.import_records`))
}

func TestOldImportIsKeptUntilItsFileIsArchived(t *testing.T) {
	t.Parallel()
	r := newRemover(t)
	r.steps.KeepImports = 1
	id, _ := r.old(20, 2*month)
	r.old(10, month)
	dir, bucket := r.archiving()
	never := activities.RemoveUnfinishedImportsInput{NeverDeleted: true}
	require.Zero(t, r.remove(never))
	r.imported(id, 2)
	r.db.MustExec(`UPDATE scrapehaul.imports SET published_at = now() - interval '60 days' WHERE pass = 2`)
	keys := r.archived(bucket)
	require.Len(t, keys, 1)
	require.NoError(t, os.Rename(filepath.Join(dir, keys[0]), filepath.Join(dir, "elsewhere")))
	require.Zero(t, r.remove(never))
	require.NoError(t, os.Rename(filepath.Join(dir, "elsewhere"), filepath.Join(dir, keys[0])))
	require.Equal(t, [2]int64{1, 20}, r.remove(never))

	// It can be restored from there.
	require.NoError(t, r.client(apiToken).DeleteScrapingJob(t.Context(), id))
	r.spool = t.TempDir()
	r.steps.Spool = openSpool(t, r.spool, 0)
	found, err := r.tryAgain(id, true)
	require.NoError(t, err)
	require.Equal(t, int64(20), found.Archived.StoredRecordCount)
}

func TestJobWithRemovedRecordsStaysInTheCloudAndIsNotDue(t *testing.T) {
	t.Parallel()
	r := newRemover(t)
	r.steps.RecordsRetention = month
	id, in := r.old(20, 2*month)
	r.old(10, 2*month)
	require.Equal(t, [2]int64{1, 20}, r.remove(activities.RemoveUnfinishedImportsInput{NeverDeleted: true}))

	deleted := r.delete(in)
	require.Contains(t, deleted.Reason, "its 20 records were removed on ")
	deleted.Reason = ""
	require.Equal(t, activities.DeleteScrapingJobResult{Removed: true}, deleted)
	require.Zero(t, r.requests(http.MethodDelete, ""))
	require.Zero(t, r.count(recordedDeletions))

	require.Empty(t, r.findDue(activities.Filter{}))
	r.db.MustExec(`UPDATE scrapehaul.scraping_jobs SET cloud_deleted_at = now() - interval '1 day'`)
	require.NotContains(t, r.findDue(activities.Filter{}), id, "it cannot be verified before the deletion")
	require.False(t, r.describe(id).Due(false))

	// Fewer records than before are no loss to readers, who have none.
	require.NoError(t, r.cloud.SetRecords(id, webscrapertest.Products(15, 2)))
	require.Contains(t, r.findDue(activities.Filter{}), id, "it has run again")
	_, imported := r.imported(id, 2)
	require.True(t, imported.Published, imported.Reason)
}
