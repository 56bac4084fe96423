package operations

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestAllNotificationsMissed(t *testing.T) {
	e := chaos.Register(t, "Temporal is down for all three attempts of a notification", "reconciliation finds the job")
	server := temporaltest.NewServer(t)
	c := e.On(t, server.Namespace, postgrestest.NewDatabase(t))
	c.Worker(c.Spool)
	id := c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(1000, 1)})
	server.Stop()
	delivery, err := c.Cloud.SendWebhook(t.Context(), id)
	require.NoError(t, err)
	require.False(t, delivery.Delivered)
	require.Len(t, delivery.Attempts, 3)
	server.Start()
	c.Reconcile("1 of 1 jobs are due")
	c.RequireImported(id, 1000)
}

func TestStarterBeforeTemporal(t *testing.T) {
	e := chaos.Register(t, "a starter starts while Temporal is down", "it creates the reconciliation schedule as soon as Temporal is available")
	server := temporaltest.NewServer(t)
	c := e.On(t, server.Namespace, postgrestest.NewDatabase(t))
	server.Stop()
	c.StartStarter(c.Env.With("RECONCILE_EVERY", "1h"))
	c.WaitFor("an attempt", func() bool {
		return strings.Contains(c.Log.String(), "Reading or writing the import settings failed")
	})
	server.Start()
	c.WaitForSchedule()
	c.Observe("the schedule exists")
}

func TestTerminatedRun(t *testing.T) {
	c := chaos.Begin(t, "the workflow is terminated during the import, so that it cannot clean up",
		"reconciliation removes its file and its records, and imports the job")
	worker := c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 2000)
	c.Kill(worker)
	require.NoError(t, c.Temporal.TerminateWorkflow(t.Context(), workflows.WorkflowID(id), "", "chaos"))
	c.Observe("terminated after %s records", humanize.Comma(c.RequireHalf(id, chaos.Many)))
	c.Worker(c.Spool)
	c.Reconcile("removed leftovers of ended runs: ")
	c.RequireImported(id, chaos.Many)
}

func TestReconciliationContinuesOnceTheTokenIsValid(t *testing.T) {
	c := chaos.Begin(t, "the API token is refused (401) for a while, and nobody sends a signal",
		"once it is valid, reconciliation continues the imports that need attention")
	refusal := c.Cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.FailWith(http.StatusUnauthorized)})
	c.Worker(c.Spool)
	id := c.Finished(1000)
	c.RequireAttention(id, 0, "refuses the API token")
	refusal.Remove()
	c.Reconcile("1 of 1 jobs are due")
	c.RequireImported(id, 1000)
}

func TestLongRemoval(t *testing.T) {
	c := chaos.Begin(t, "removing the leftovers of a terminated import takes forever (here: it blocks in PostgreSQL)",
		"it continues in the background; the next reconciliation starts, and imports due jobs")
	worker := c.Worker(c.Spool)
	c.SlowImport()
	terminated := c.Finished(chaos.Many)
	c.UntilImported(terminated, 2000)
	c.Kill(worker)
	require.NoError(t, c.Temporal.TerminateWorkflow(t.Context(), workflows.WorkflowID(terminated), "", "chaos"))
	c.DB.MustExec(`
		CREATE TABLE public.hold AS SELECT true;
		CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			WHILE EXISTS (SELECT FROM public.hold) LOOP PERFORM pg_sleep(0.1); END LOOP; RETURN OLD;
		END $$;
		CREATE TRIGGER hold BEFORE DELETE ON scrapehaul.import_records FOR EACH ROW EXECUTE FUNCTION public.hold()`)
	c.Worker(c.Spool)
	scheduled := client.StartWorkflowOptions{ID: workflows.ReconcileScheduleID + "-scheduled", TaskQueue: workflows.DefaultTaskQueue}
	_, err := c.Temporal.ExecuteWorkflow(t.Context(), scheduled, workflows.ReconcileScrapingJobsName,
		workflows.ReconcileScrapingJobsInput{Settings: workflows.Settings{HoldBeforeDelete: "0", Filter: activities.Filter{SitemapNamePrefix: "another's"}}})
	require.NoError(t, err)
	c.WaitFor("the removal", func() bool { // not an import: none is due
		return c.Count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`) > 0
	})
	id := c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
	c.Reconcile("are still being removed")
	require.Equal(t, workflows.Deleted, c.Result(id).Outcome)
	c.DB.MustExec(`DELETE FROM public.hold`)
	c.RequireImported(terminated, chaos.Many)
}

func TestKilledWhileRemovingOldImports(t *testing.T) {
	const kept, old, records = 1, 2, 45_000 // removed in three transactions per import
	c := chaos.Begin(t, "`kill -9` of the worker that removes old imports (`KEEP_IMPORTS=1`): during the transaction that hides the first one, and while its records are being removed",
		"readers see each import completely or not at all, and another worker continues until all old records are gone", "KEEP_IMPORTS=1", "BATCH_RECORDS=5000")
	worker := c.Worker(c.Spool)
	for range kept + old {
		id := c.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(records, 1)})
		c.Notify(id)
		c.RequireImported(id, records)
	}
	c.DB.MustExec(`
		CREATE TABLE public.slow AS SELECT true;
		CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF EXISTS (SELECT FROM public.slow) THEN PERFORM pg_sleep(0.5); END IF; RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
		END $$;
		CREATE TRIGGER slow BEFORE UPDATE OF removed_import_id ON scrapehaul.scraping_jobs FOR EACH ROW EXECUTE FUNCTION public.slow();
		CREATE TRIGGER slow BEFORE DELETE ON scrapehaul.import_records FOR EACH ROW WHEN (OLD.record_number % 5000 = 0) EXECUTE FUNCTION public.slow()`)
	reading := make(chan error, 1)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	go func() {
		defer close(reading)
		for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) { // leaves the processors to others
			var partly []int64
			err := c.DB.Select(&partly, `SELECT count(*) FROM sitemaps.shop GROUP BY scrapingjob_id HAVING count(*) <> $1`, records)
			if err != nil || len(partly) > 0 {
				reading <- fmt.Errorf("readers see partial imports: %d, %w", partly, err)
				return
			}
		}
	}()
	removal, err := c.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "removal", TaskQueue: workflows.DefaultTaskQueue},
		workflows.RemoveLeftoversName, workflows.RemoveLeftoversInput{})
	require.NoError(t, err)
	sleeps := func() bool {
		return c.Count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`) > 0
	}
	removed := func() int64 { return c.Count(`SELECT count(*) FROM scrapehaul.imports WHERE state = 'removed'`) }
	c.WaitFor("the transaction", sleeps)
	c.Kill(worker)
	c.WaitFor("its end", func() bool { return !sleeps() })
	require.Zero(t, removed())
	worker = c.Worker(c.Spool)
	gone := func() int64 { return (kept+old)*records - c.Count(`SELECT count(*) FROM scrapehaul.import_records`) }
	c.WaitFor("the removal of records", func() bool { return gone() > 0 && sleeps() })
	c.Kill(worker)
	require.Less(t, gone(), int64(old*records))
	c.Observe("killed with %d of %d old imports hidden, and %s of their %s records removed", removed(), old, humanize.Comma(gone()), humanize.Comma(old*records))
	c.DB.MustExec(`DELETE FROM public.slow`)
	c.Worker(c.Spool)
	require.NoError(t, removal.Get(t.Context(), nil))
	history := c.Temporal.GetWorkflowHistory(t.Context(), removal.GetID(), removal.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	var ends []string // of killed attempts
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(t, err)
		if failure := event.GetActivityTaskStartedEventAttributes().GetLastFailure(); failure != nil {
			ends = append(ends, failure.GetApplicationFailureInfo().GetType())
		}
	}
	require.Equal(t, []string{"WorkerStopping"}, ends, "reported by another worker, before the heartbeat timeout")
	end()
	require.NoError(t, <-reading)
	require.Equal(t, int64(old), removed())
	require.Equal(t, int64(records*kept), c.Count(`SELECT count(*) FROM scrapehaul.import_records`))
	require.Equal(t, int64(records*kept), c.Count(`SELECT count(*) FROM sitemaps_latest.shop`))
}

func TestRefusedSignal(t *testing.T) {
	c := chaos.Begin(t, "Temporal refuses to signal the import of one of three jobs (here: a workflow of another type is running under its ID)",
		"its notification is answered with 503; reconciliation starts the others and reports it")
	c.Worker(c.Spool)
	var ids []int64
	for range 3 {
		ids = append(ids, c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)}))
	}
	taken := workflows.WorkflowID(ids[1])
	_, err := c.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: taken, TaskQueue: "orders"}, "OrderWorkflow")
	require.NoError(t, err)
	c.WaitFor("a refusal", func() bool { // not for a run that has only just started
		delivery, err := c.Cloud.SendWebhook(t.Context(), ids[1])
		require.NoError(t, err)
		return !delivery.Delivered && delivery.Attempts[0].Status == http.StatusServiceUnavailable
	})
	c.Reconcile("1 imports failed to start or retry; the next reconciliation tries again")
	c.Result(ids[0])
	c.Result(ids[2])
	c.RequireImported(ids[0], 100)
	c.RequireImported(ids[2], 100)
	require.NoError(t, c.Temporal.TerminateWorkflow(t.Context(), taken, "", "chaos"))
	c.Reconcile("1 of 1 jobs are due")
	c.RequireImported(ids[1], 100)
}

func TestRotatedToken(t *testing.T) {
	const jobs = 10
	c := chaos.Begin(t, fmt.Sprintf("the API token is rotated: the deletions of %d published jobs are refused (401), and nobody sends a signal", jobs),
		"once it is valid, one reconciliation has all of them deleted, without another download")
	refusal := c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodDelete, Effect: webscrapertest.FailWith(http.StatusUnauthorized)})
	c.Worker(c.Spool)
	var ids []int64
	for range jobs {
		ids = append(ids, c.Finished(100))
	}
	c.WaitFor("all of them in Temporal's list", func() bool { return c.ListedAttention() == jobs })
	refusal.Remove()
	c.Reconcile(fmt.Sprintf("0 of %d jobs are due", jobs))
	for _, id := range ids {
		require.Equal(t, workflows.Deleted, c.Result(id).Outcome)
		c.RequireOneDownload(id, 100)
		c.RequireDeletedAfterwards(id)
		require.Equal(t, 1, c.Downloads(id))
	}
	c.Observe("%d jobs deleted in the cloud", jobs)
}

func TestAbandoned(t *testing.T) {
	c := chaos.Begin(t, "an operator abandons an import before anything is published",
		"reconciliation skips the job until it has run again")
	refusal := c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Effect: webscrapertest.FailWith(http.StatusForbidden)})
	c.Worker(c.Spool)
	id := c.Finished(1000)
	c.RequireAttention(id, 0, "403")
	refusal.Remove()
	c.Signal(id, workflows.AbandonSignal)
	require.Equal(t, workflows.Abandoned, c.Result(id).Outcome)
	c.Reconcile("0 of 1 jobs are due")
	require.NoError(t, c.Cloud.SetRecords(id, webscrapertest.Products(1100, 2)))
	c.Reconcile("1 of 1 jobs are due")
	c.WaitFor("its end", func() bool { return c.Cloud.Deleted(id) })
	c.RequireImported(id, 1100)
}
