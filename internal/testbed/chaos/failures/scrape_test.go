package failures

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// pages is the number of pages per job, with one record each.
const pages = 1000

const (
	hostQueue   = "host"
	followQueue = "host-follow-ups"
)

// pipeline is a host's workflow with a scrape as one of its steps.
func pipeline(ctx workflow.Context, sitemapID int64) (contract.RunSitemapResult, error) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{TaskQueue: workflows.DefaultTaskQueue})
	return workflows.RunSitemap(ctx, workflows.RunSitemapInput{RunSitemapInput: contract.RunSitemapInput{
		SitemapID: sitemapID, StartURLs: []string{fmt.Sprintf("https://example.com/[1-%d]", pages)},
	}})
}

// followUp is the host's follow-up workflow.
func followUp(_ workflow.Context, published sink.Publication) (int64, error) {
	return published.Records, nil
}

// scrape is a case with a host whose workflows run a sitemap.
type scrape struct {
	*chaos.Case
	sitemapID int64
	run       client.WorkflowRun
}

// beginScrape is begin for such a case, with a cloud that takes seconds to scrape. The
// host's worker is running, and no workflow has started.
func beginScrape(t *testing.T, happens, holds string, with ...string) *scrape {
	t.Helper()
	return beginScrapeOf(t, 2*time.Second, happens, holds, with...)
}

// beginScrapeOf is beginScrape with a cloud that takes that long to scrape.
func beginScrapeOf(t *testing.T, scraping time.Duration, happens, holds string, with ...string) *scrape {
	t.Helper()
	e := chaos.Register(t, happens, holds)
	e.CloudOptions = append(e.CloudOptions, func(o *webscrapertest.Options) {
		o.Timeline = webscrapertest.Timeline{WaitingToBeScheduled: time.Second, Scheduling: time.Second, Scheduled: time.Second, Started: scraping}
	})
	c := &scrape{Case: e.On(t, temporaltest.NewNamespace(t), postgrestest.NewDatabase(t), append(with, "ON_PUBLISHED=FollowUp@"+followQueue)...)}
	c.sitemapID = c.Cloud.AddSitemap(webscrapertest.Sitemap{Name: "shop", RecordsPerPage: 1})
	c.host(hostQueue)
	return c
}

// host starts a worker of the host.
func (c *scrape) host(taskQueue string) {
	c.T.Helper()
	host := worker.New(c.Temporal, taskQueue, worker.Options{})
	host.RegisterWorkflowWithOptions(pipeline, workflow.RegisterOptions{Name: "Pipeline"})
	host.RegisterWorkflowWithOptions(followUp, workflow.RegisterOptions{Name: "FollowUp"})
	require.NoError(c.T, host.Start())
	c.T.Cleanup(host.Stop)
}

func (c *scrape) start() {
	c.T.Helper()
	var err error
	c.run, err = c.Temporal.ExecuteWorkflow(c.T.Context(), client.StartWorkflowOptions{ID: "pipeline", TaskQueue: hostQueue}, "Pipeline", c.sitemapID)
	require.NoError(c.T, err)
}

// created returns the jobs of the sitemap in the cloud.
func (c *scrape) created() (ids []int64) {
	for id := int64(500); id < 600; id++ { // the first one
		if job, there := c.Cloud.Job(id); there && job.SitemapID == c.sitemapID || c.Cloud.Deleted(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// untilCreated waits for the job and returns its ID.
func (c *scrape) untilCreated() int64 {
	c.T.Helper()
	c.WaitFor("the job", func() bool { return len(c.created()) > 0 })
	return c.created()[0]
}

// followUps returns the runs of the follow-up.
func (c *scrape) followUps() (runs []*workflowpb.WorkflowExecutionInfo) {
	for _, run := range c.Runs(0) {
		if run.GetType().GetName() == "FollowUp" {
			runs = append(runs, run)
		}
	}
	return runs
}

// requireScraped requires success: the host's workflow has its result, one job was created,
// all of its records are published, and the follow-up of each import has run once, as a
// child of the import.
func (c *scrape) requireScraped(imports int) {
	c.T.Helper()
	var result contract.RunSitemapResult
	require.NoError(c.T, c.run.Get(c.T.Context(), &result))
	require.Equal(c.T, contract.Published, result.Outcome, result.Reason)
	require.Equal(c.T, int64(pages), result.Records)
	require.Equal(c.T, "finished", result.Status)
	require.Equal(c.T, []int64{result.ScrapingJobID}, c.created(), "scraped once")
	c.RequireRecords(result.ScrapingJobID, pages)
	c.WaitForAnswer("the follow-up", func() bool {
		done := 0
		for _, run := range c.followUps() {
			if run.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
				done++
			}
		}
		return done == imports
	})
	for _, run := range c.followUps() {
		require.Equal(c.T, workflows.WorkflowID(result.ScrapingJobID), run.GetParentExecution().GetWorkflowId())
	}
	c.Completed(result.ScrapingJobID)
	require.Len(c.T, c.followUps(), imports)
	require.Zero(c.T, c.Count(`SELECT count(*) FROM scrapehaul.imports WHERE announce AND state = 'published' AND announced_at IS NULL`))
	c.RequireEmptySpools()
	c.Observe("scraped once, %s records once, %s", humanize.Comma(pages), chaos.Times(imports, "follow-up"))
}

const createCall = "scraping-job"

func TestScrapeIsAStepOfAWorkflow(t *testing.T) {
	c := beginScrape(t, "a host's workflow runs a sitemap, and the publish starts a follow-up", "both see the records; the job is created once")
	c.host(followQueue)
	c.Worker(c.Spool)
	c.start()
	c.requireScraped(1)
}

func TestScrapeWithoutANotification(t *testing.T) {
	c := beginScrape(t, "a scrape's notification never arrives", "the import's own checks find the job's end")
	c.Cloud.SetWebhookURL("")
	c.host(followQueue)
	c.Worker(c.Spool)
	c.start()
	c.requireScraped(1)
}

func TestScrapeWithALostCreateResponse(t *testing.T) {
	c := beginScrape(t, "the job is created, and the response is lost", "it is found by its custom_id; no second job is created")
	lost := c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodPost, Path: createCall, Times: 1, Effect: webscrapertest.ResetAt(0)})
	c.host(followQueue)
	c.Worker(c.Spool)
	c.start()
	c.requireScraped(1)
	require.Equal(t, 1, lost.Hits())
}

func TestScrapeIsResetAfterItsJobIsGone(t *testing.T) {
	c := beginScrape(t, "a scrape is reset to its start after its job was imported and deleted in the cloud", "its custom_id is in the database: the same result, without another scrape")
	c.host(followQueue)
	c.Worker(c.Spool)
	c.start()
	c.requireScraped(1)
	id := c.created()[0]
	c.WaitForAnswer("the deletion", func() bool { return c.Cloud.Deleted(id) })
	for _, run := range c.Runs(0) {
		if run.GetType().GetName() == workflows.RunSitemapName {
			again, err := c.Temporal.ResetWorkflowExecution(t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
				Namespace: c.Env.TemporalNamespace, WorkflowExecution: run.GetExecution(), Reason: "a test", RequestId: t.Name(), WorkflowTaskFinishEventId: 4,
				ResetReapplyExcludeTypes: []enumspb.ResetReapplyExcludeType{enumspb.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL},
			})
			require.NoError(t, err)
			c.run = c.Temporal.GetWorkflow(t.Context(), run.GetExecution().GetWorkflowId(), again.GetRunId())
		}
	}
	c.requireScraped(1)
}

func TestKilledAtEveryStepOfAScrape(t *testing.T) {
	c := beginScrapeOf(t, 30*time.Second, "`kill -9` of the worker while the job is created, scraped and imported, and right after the publish",
		"the job is created once, and the follow-up starts once")
	c.host(followQueue)
	hangs := c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodPost, Path: createCall, Times: 1, Effect: webscrapertest.HangAt(0)})
	killed := c.Worker(c.Spool)
	c.start()
	c.WaitFor("the creation", func() bool { return hangs.Hits() == 1 })
	id := c.untilCreated()
	c.Kill(killed)

	killed = c.Worker(c.Spool)
	c.WaitForStep(id, workflows.StepScrape)
	c.Kill(killed)

	c.SlowImport()
	killed = c.Worker(c.Spool)
	c.UntilImported(id, pages/4)
	c.Kill(killed)

	killed = c.Worker(c.Spool)
	c.WaitFor("the publish", func() bool { return c.Visible(id) > 0 })
	c.Kill(killed)
	c.Worker(c.Spool)
	c.requireScraped(1)
}

func TestImportOfAScrapeIsReset(t *testing.T) {
	c := beginScrape(t, "the import of a scrape is reset to its start, and its notification arrives twice", "it is published once, and the follow-up starts once",
		"HOLD_BEFORE_DELETE=1h")
	c.host(followQueue)
	c.Worker(c.Spool)
	c.start()
	id := c.untilCreated()
	c.WaitForStep(id, workflows.StepHold)
	_, err := c.Temporal.ResetWorkflowExecution(t.Context(), &workflowservice.ResetWorkflowExecutionRequest{
		Namespace: c.Env.TemporalNamespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: workflows.WorkflowID(id)}, Reason: "a test", RequestId: t.Name(),
		WorkflowTaskFinishEventId: 4,
	})
	require.NoError(t, err)
	c.Notify(id)
	c.Notify(id)
	c.WaitForStep(id, workflows.StepHold)
	c.Signal(id, workflows.DeleteNowSignal)
	c.requireTerminatedAndScraped(1)
}

// requireTerminatedAndScraped is requireScraped for an import that had other runs.
func (c *scrape) requireTerminatedAndScraped(imports int) {
	c.T.Helper()
	var result contract.RunSitemapResult
	require.NoError(c.T, c.run.Get(c.T.Context(), &result))
	require.Equal(c.T, []int64{result.ScrapingJobID}, c.created(), "scraped once")
	c.WaitForAnswer("the deletion", func() bool { return c.Cloud.Deleted(result.ScrapingJobID) })
	c.RequireRecords(result.ScrapingJobID, pages)
	c.WaitForAnswer("the follow-up", func() bool { return len(c.followUps()) >= imports })
	c.Result(result.ScrapingJobID)
	require.Len(c.T, c.followUps(), imports)
	require.Equal(c.T, int64(imports), c.Imports(result.ScrapingJobID))
	c.RequireEmptySpools()
	c.Observe("scraped once, %s records once, %s", humanize.Comma(pages), chaos.Times(imports, "follow-up"))
}

func TestImportIsTerminatedBeforeItsFollowUp(t *testing.T) {
	c := beginScrape(t, "the import of a scrape is terminated right after its publish", "reconciliation has the follow-up started")
	c.host(followQueue)
	killed := c.Worker(c.Spool)
	c.start()
	id := c.untilCreated()
	// After the publish the records of abandoned imports are removed, before the activity ends.
	c.DB.MustExec(`
		CREATE FUNCTION scrapehaul.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
		CREATE TRIGGER slow BEFORE UPDATE OF records_removed_at ON scrapehaul.imports FOR EACH ROW EXECUTE FUNCTION scrapehaul.slow()`)
	c.DB.MustExec(`INSERT INTO scrapehaul.scraping_jobs (scrapingjob_id) VALUES ($1) ON CONFLICT DO NOTHING`, id)
	c.DB.MustExec(`INSERT INTO scrapehaul.imports (scrapingjob_id, workflow_run_id, pass, requested_at, bytes, sha256, state)
		VALUES ($1, 'earlier', 1, '2020-01-01', 1, '', 'abandoned')`, id)
	c.WaitFor("the publish", func() bool { return c.Visible(id) > 0 })
	c.Kill(killed)
	require.NoError(t, c.Temporal.TerminateWorkflow(t.Context(), workflows.WorkflowID(id), "", "a test"))
	c.DB.MustExec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'`)
	c.DB.MustExec(`DROP FUNCTION scrapehaul.slow CASCADE`)
	require.Empty(t, c.followUps())
	c.Worker(c.Spool)
	c.Reconcile("1 of 1 jobs are due")
	var result contract.RunSitemapResult
	require.NoError(t, c.run.Get(t.Context(), &result))
	require.Equal(t, contract.Published, result.Outcome)
	c.WaitForAnswer("the follow-up", func() bool { return len(c.followUps()) == 1 })
	c.Result(id)
	c.RequireOneDownload(id, pages)
	c.RequireDeletedAfterwards(id)
}

func TestFollowUpsWorkerIsDown(t *testing.T) {
	c := beginScrape(t, "the follow-up's worker is down when a scrape is published", "the host's workflow continues; the follow-up runs once its worker is back")
	c.Worker(c.Spool)
	c.start()
	var result contract.RunSitemapResult
	require.NoError(t, c.run.Get(t.Context(), &result))
	require.Equal(t, contract.Published, result.Outcome)
	c.WaitForAnswer("the follow-up", func() bool { return len(c.followUps()) == 1 })
	c.WaitFor("the deletion", func() bool { return c.Cloud.Deleted(result.ScrapingJobID) })
	c.host(followQueue)
	c.requireScraped(1)
}

func TestImportOfAScrapeStartedByANotification(t *testing.T) {
	c := beginScrape(t, "the notification of a job arrives before the response to its creation", "the import that the notification started also reports to RunSitemap",
		"FILTER_SITEMAP_PREFIX=another-")
	hangs := c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodPost, Path: createCall, Times: 1, Effect: func(cloud *webscrapertest.Cloud, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			response := new(strings.Builder)
			next.ServeHTTP(&buffered{header: http.Header{}, text: response}, r)
			c.WaitFor("the import", func() bool { return len(c.created()) > 0 && len(c.Runs(c.created()[0])) > 0 })
			_, _ = w.Write([]byte(response.String()))
		})
	}})
	c.host(followQueue)
	c.Worker(c.Spool)
	c.start()
	c.requireScraped(1)
	require.Equal(t, 1, hangs.Hits())
}

// buffered keeps a response.
type buffered struct {
	header http.Header
	text   *strings.Builder
}

func (b *buffered) Header() http.Header            { return b.header }
func (b *buffered) WriteHeader(int)                {}
func (b *buffered) Write(text []byte) (int, error) { return b.text.Write(text) }
