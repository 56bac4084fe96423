package uitest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/internal/testbed/browsertest"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

const pricesSitemap = 1001

// scrapePrices is a host's workflow that runs a sitemap.
func scrapePrices(ctx workflow.Context) (result contract.RunSitemapResult, err error) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{TaskQueue: workflows.DefaultTaskQueue, WorkflowID: "prices-scrape"})
	return workflows.RunSitemap(ctx, workflows.RunSitemapInput{RunSitemapInput: contract.RunSitemapInput{SitemapID: pricesSitemap, TimeLimit: "6h"}})
}

// comparePrices is the host's follow-up of every publish.
func comparePrices(ctx workflow.Context, _ sink.Publication) error {
	return workflow.Sleep(ctx, time.Hour) // still running in the picture
}

func TestOperatorSeesAScrapeWithItsImportAndWhatFollows(t *testing.T) {
	t.Parallel()
	var passed atomic.Int64 // of the hour that the job takes
	o := newOperator(t, map[string]string{"HOLD_BEFORE_DELETE": "24h", "ON_PUBLISHED": "ComparePrices@prices"}, func(c *webscrapertest.Options) {
		c.Timeline = webscrapertest.Timeline{Started: time.Hour}
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	})
	host := worker.New(o.Temporal, "prices", worker.Options{})
	host.RegisterWorkflowWithOptions(scrapePrices, workflow.RegisterOptions{Name: "ScrapePrices"})
	host.RegisterWorkflowWithOptions(comparePrices, workflow.RegisterOptions{Name: "ComparePrices"})
	require.NoError(t, host.Start())
	t.Cleanup(host.Stop)
	o.Cloud.AddSitemap(webscrapertest.Sitemap{ID: pricesSitemap, Name: "laptops_shop_de"})
	o.openBrowser()
	form := o.address + "/namespaces/" + o.Env.TemporalNamespace + "/workflows/start-workflow?workflowId=prices&workflowType=ScrapePrices&taskQueue=prices"
	require.NoError(t, o.tab.Navigate(form)) // like a link in the demo's hints
	o.click("button", "Start Workflow")
	const id = 500 // the cloud's first job
	o.WaitForAnswer("the check of the job", func() bool { return o.Progress(id).WaitsFor != "" })

	o.list("")
	o.openWorkflow("prices-scrape")
	o.details()
	o.waitForText("what the run waits for", "waiting for scraping job 500 to end and be published, since ", row("sitemap", "%d", pricesSitemap),
		row("next", "workflow 500 imports the records"), row("limit", "fails after "), row("if canceled", "scraping job 500 keeps running"))
	o.requireNothingCut()
	o.list(`ImportState = "scraping"`)
	o.open(id)
	o.details()
	o.waitForText("what the import waits for", "scraping: waits for Web Scraper Cloud to report the job’s end; checks again at ",
		row("sitemap", "laptops_shop_de"), row("job", "started, 0 records, 0 of 1 pages"), row("next", "the records are imported when the job ends"))
	o.requireNothingCut()

	passed.Store(int64(time.Hour))
	var result contract.RunSitemapResult
	require.NoError(t, o.Temporal.GetWorkflow(t.Context(), "prices", "").Get(t.Context(), &result))
	o.list("")
	o.openWorkflow("prices-scrape")
	o.details()
	o.waitForText("the end", "done", row("job 500", "finished, published, %d records", result.Records))
	o.list("")
	o.open(id)
	require.NoError(t, o.tab.View(1300, 960, browsertest.Light))
	o.click(`[data-testid="relationships-tab"]`, "")
	o.click(`input[data-track-text="Expand All"]`, "")
	o.waitForText("the complete tree", "ScrapePrices", "RunSitemap", "ImportScrapingJob", "ComparePrices")
	o.picture("temporal-ui-relationships")
}
