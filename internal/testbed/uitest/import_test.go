package uitest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// addHeld adds a job whose import is in its hold.
func (o *operator) addHeld() (id int64) {
	id = o.Cloud.AddJob(webscrapertest.Job{SitemapName: "laptops_shop_de", Records: webscrapertest.Products(5000, 1)})
	o.Notify(id)
	o.WaitForStep(id, workflows.StepHold)
	return id
}

// addCut adds a job of that sitemap whose last record is cut, so that its import
// needs attention.
func (o *operator) addCut(sitemap string) (id int64) {
	body := strings.Repeat(`{"web-scraper-order":"1-1","product":"kept"}`+"\n", 1999) + `{"web-scraper-order":"1-2","prod`
	id = o.Cloud.AddJob(webscrapertest.Job{SitemapName: sitemap, Records: webscrapertest.RawBody(body, 2000)})
	o.Notify(id)
	o.Attention(id)
	return id
}

func TestOperatorFindsAnImportAndReadsWhereItIs(t *testing.T) {
	t.Parallel()
	o := newOperator(t, map[string]string{"HOLD_BEFORE_DELETE": "24h"})
	held, cut := o.addHeld(), o.addCut("tires-and-wheels")
	o.openBrowser()
	o.list("")
	o.see("the held import", "a", workflows.WorkflowID(held))
	o.see("the import that needs attention", "a", workflows.WorkflowID(cut))
	o.click(`[data-testid="workflows-summary-table-configuration-button"]`, "")
	for _, change := range []string{"Run ID-remove", "Type-remove", "SitemapName-add", "ImportState-add"} {
		o.click(fmt.Sprintf(`[data-testid="orderable-list-item-%s-button"]`, change), "")
	}
	o.click(`[data-testid="drawer-close-button"]`, "")
	o.waitFor("the closed drawer", find(`[data-testid="drawer-close-button"]`, "")+` === undefined`)
	o.see("the sitemap next to the job's ID", "td", "laptops_shop_de")
	o.see("the state", "td", "needs-attention")
	o.picture("temporal-ui-list")

	o.list(`ImportState = "holding"`)
	o.see("the held import", "a", workflows.WorkflowID(held))
	o.waitFor("nothing but the held import", find("a", workflows.WorkflowID(cut))+` === undefined`)
	o.open(held)
	o.waitForText("the steps", "download scraping job "+workflows.WorkflowID(held), "import 5000 records",
		"hold before deleting scraping job "+workflows.WorkflowID(held))
	o.details()
	after := o.Progress(held).DeleteAfter
	require.NotNil(t, after)
	o.waitForText("the summary and the current details", "laptops_shop_de · finished",
		"holding", row("sitemap", "laptops_shop_de"), row("job", "finished, 5,000 records"),
		row("published", "5,000 records from a file of 2.6 MB"), row("rejected", "0"),
		row("next", "the job is deleted in the cloud after %s", after.UTC().Format("2006-01-02 15:04 UTC")),
		row("delete-now", "ends the hold and deletes the job in the cloud now"), row("keep", "closes"), row("abandon", "closes"), row("reimport", "downloads"))
	o.requireNothingCut()
	o.picture("temporal-ui")

	o.list(`ImportState = "needs-attention"`)
	o.see("the import that needs attention", "a", workflows.WorkflowID(cut))
	o.waitFor("nothing but the import that needs attention", find("a", workflows.WorkflowID(held))+` === undefined`)
	o.open(cut)
	o.details()
	o.waitForText("what is wrong", "needs-attention: 1 record was rejected", row("sitemap", "tires-and-wheels"),
		row("published", "1,999 records from a file of 90 kB"), row("rejected", "1, see scrapehaul.rejected_records"),
		row("next", "without a signal, the import fails after "), row("accept", "lets the job be deleted in the cloud, with 1 of its 2,000 records only in scrapehaul.rejected_records"))
	o.requireNothingCut()
	o.picture("temporal-ui-attention")
}

func TestOperatorSeesADownloadProgress(t *testing.T) {
	t.Parallel()
	o := newOperator(t, nil)
	id := o.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100_000, 1)})
	o.Cloud.Inject(webscrapertest.Fault{
		Path: "scraping-job/" + workflows.WorkflowID(id) + "/json", Effect: webscrapertest.Drip(2000, 20*time.Millisecond),
	})
	o.Notify(id)
	t.Cleanup(func() { // its end would take too long
		require.NoError(t, o.Temporal.TerminateWorkflow(context.Background(), workflows.WorkflowID(id), "", "seen enough"))
	})
	o.openBrowser()
	o.list(`ImportState = "importing"`)
	o.open(id)
	o.details()
	o.waitForText("the download", "downloading", row("progress", "see the heartbeat under Pending Activities"), row("next", "the records are imported"), row("reimport", "downloads"))
	o.requireNothingCut()
	o.click(`[data-testid="pending-activities-tab"]`, "")
	o.waitForText("the heartbeat", "DownloadScrapingJob", `"bytes"`)
}

func TestOperatorReimportsWithTheSignalForm(t *testing.T) {
	t.Parallel()
	o := newOperator(t, map[string]string{"HOLD_BEFORE_DELETE": "24h"})
	id := o.addHeld()
	const published = `SELECT import_id FROM scrapehaul.imports WHERE scrapingjob_id = $1 AND state = 'published'`
	first := o.Count(published, id)
	o.openBrowser()
	o.list("")
	o.open(id)
	o.signal(workflows.ReimportSignal)
	o.WaitFor("a second import, held", func() bool {
		return o.Count(`SELECT count(*) FROM scrapehaul.imports WHERE scrapingjob_id = $1 AND published_at IS NOT NULL`, id) == 2 &&
			o.Progress(id).Step == workflows.StepHold
	})
	require.Greater(t, o.Count(published, id), first)
	o.RequireRecords(id, 5000)
	require.Len(t, o.Runs(id), 1, "the same run")
	require.False(t, o.Cloud.Deleted(id))
}

func TestOperatorAcceptsRejectsWithTheSignalForm(t *testing.T) {
	t.Parallel()
	o := newOperator(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	const odd = "a|b *c* <b>d_e_f</b> `g` [h](i) & ~~j~~"
	id := o.addCut(odd)
	require.False(t, o.Cloud.Deleted(id))
	o.openBrowser()
	o.list("")
	o.open(id)
	o.signal(workflows.AcceptSignal)

	result := o.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(t, [2]int64{1999, 1}, [2]int64{result.Records, result.Rejected})
	require.True(t, o.Cloud.Deleted(id))
	require.Equal(t, int64(1999), o.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id))
	require.Equal(t, int64(1), o.Count(`SELECT count(*) FROM scrapehaul.scraping_jobs JOIN scrapehaul.imports USING (scrapingjob_id)
		WHERE scrapingjob_id = $1 AND imports.state = 'published' AND cloud_deleted_at > imports.published_at`, id))
	o.list("")
	o.open(id)
	o.waitForText("the end", "Completed", `"outcome": "deleted"`)
	o.details()
	o.waitForText("the last details", "done: deleted", row("sitemap", "%s", odd), row("published", "1,999 records from a file of 90 kB"))
}
