package operations

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// untilAsked waits for a question with that text, and records it.
func untilAsked(c *chaos.Case, id int64, text string) {
	c.T.Helper()
	c.WaitForAnswer("the question: "+text, func() bool { return strings.Contains(c.Progress(id).Attention, text) })
	says := c.Progress(id).Attention
	c.RequireInCloud(id)
	says, _, _ = strings.Cut(says, "; reimport tries again")
	c.Observe("needs attention: “%s”", says)
}

func TestReimportWithAWrongMapping(t *testing.T) {
	const n = 5000
	file := filepath.Join(t.TempDir(), "mappings.yaml")
	mapPrice := func(price string) {
		require.NoError(t, os.WriteFile(file, []byte(`
mappings:
  - sitemap: shop
    table: products
    columns: [{name: product, type: text}, {name: price, `+price+`}]
    mode: replace-job
`), 0o600))
	}
	mapPrice("type: numeric, clean: [money]")
	c := chaos.Begin(t, "a published job is imported again with a mapping that lacks a cleaner",
		"readers keep the published records until an operator accepts; that publishes, and deletes nothing", "HOLD_BEFORE_DELETE=1h", "MAPPINGS="+file)
	worker := c.Worker(c.Spool)
	restart := func() {
		require.NoError(t, worker.Stop())
		worker = c.Worker(c.Spool)
	}
	rows := func() int64 { return c.Count(`SELECT count(*) FROM products WHERE price > 0`) }
	id := c.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(n, 1)})
	c.Notify(id)
	untilHold(c, id)
	require.Equal(t, int64(n), rows())

	mapPrice("type: numeric")
	restart()
	c.Signal(id, workflows.ReimportSignal)
	untilAsked(c, id, `and the job has stored 5,000 (record 1: column "price": `)
	require.Contains(t, c.Progress(id).Attention, "; nothing was published, and queries still return the 5,000 published before. ")
	require.Contains(t, c.Progress(id).Attention, "accept downloads the job again and publishes it, even with 5,000 records, 5,000 of them without a row in the mapped table; they replace the 5,000 published before; "+
		"it asks again before the job is deleted in the cloud")
	c.RequireOneDownload(id, n)
	require.Equal(t, int64(n), rows())

	c.Signal(id, workflows.AcceptSignal)
	untilAsked(c, id, "5,000 records were imported without a row in the mapped table")
	c.RequireOneDownload(id, n)
	require.Zero(t, rows())

	mapPrice("type: numeric, clean: [money]")
	restart()
	c.Signal(id, workflows.ReimportSignal)
	untilHold(c, id)
	require.Equal(t, int64(n), rows())
	c.Signal(id, workflows.DeleteNowSignal)
	c.RequireImported(id, n)
}

func TestKilledWhilePublishingTheReimportOfAnEarlierJob(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mappings.yaml")
	require.NoError(t, os.WriteFile(file, []byte("mappings: [{sitemap: shop, table: offers, columns: [{name: url, type: text}, {name: price, type: integer}], key: [url], mode: append}]"), 0o600))
	c := chaos.Begin(t, "in a mapped table with mode append, the first of two jobs is imported again without a key that the second one has; `kill -9` of the worker while it publishes",
		"readers see the table unchanged, and then the second job's row for that key", "HOLD_BEFORE_DELETE=1h", "MAPPINGS="+file)
	worker := c.Worker(c.Spool)
	var jobs []int64
	for _, records := range []webscrapertest.Records{
		webscrapertest.JSONLines(`{"url":"a","price":1}`, `{"url":"b","price":1}`), webscrapertest.JSONLines(`{"url":"a","price":2}`, `{"url":"c","price":2}`),
	} {
		id := c.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: records})
		c.Notify(id)
		untilHold(c, id)
		jobs = append(jobs, id)
	}
	shown := func() (all string) {
		require.NoError(t, c.DB.Get(&all, `SELECT string_agg(concat(url, price), ' ' ORDER BY url) FROM public.offers`))
		return all
	}
	require.Equal(t, "a1 b1 c2", shown())

	require.NoError(t, c.Cloud.SetRecords(jobs[0], webscrapertest.JSONLines(`{"url":"b","price":3}`, `{"url":"d","price":3}`)))
	other := c.DB.MustBegin()
	other.MustExec(`LOCK TABLE public.offers IN EXCLUSIVE MODE`)
	c.Signal(jobs[0], workflows.ReimportSignal)
	c.WaitFor("publishing", func() bool {
		return c.Count(`SELECT count(*) FROM pg_locks WHERE relation = 'public.offers'::regclass AND NOT granted`) == 1
	})
	c.Kill(worker)
	require.NoError(t, other.Rollback())
	require.Equal(t, "a1 b1 c2", shown())
	c.Worker(c.Spool)
	c.WaitFor("the re-import", func() bool {
		return c.Progress(jobs[0]).Step == workflows.StepHold && c.Visible(jobs[0]) == 2 && shown() != "a1 b1 c2"
	})
	require.Equal(t, "a2 b3 c2 d3", shown())
	c.Observe("before: a, b of the first job and c of the second; after: a, c of the second and b, d of the first")
	for _, id := range jobs {
		c.Signal(id, workflows.DeleteNowSignal)
		require.Equal(t, workflows.Deleted, c.Result(id).Outcome)
	}
}

func TestReimportOfFewerRecords(t *testing.T) {
	c := chaos.Begin(t, "a published job of 1,000 records now has 800 by its own count, and a notification arrives",
		"readers keep the 1,000 until an operator accepts the 800", "HOLD_BEFORE_DELETE=1h")
	c.Worker(c.Spool)
	id := c.Finished(1000)
	untilHold(c, id)
	require.NoError(t, c.Cloud.SetRecords(id, webscrapertest.Products(800, 2)))
	c.Notify(id)
	untilAsked(c, id, "accept downloads the job again and publishes it, even with only 800 records; they replace the 1,000 published before; the job is deleted in the cloud after its hold")
	c.RequireOneDownload(id, 1000)
	c.Signal(id, workflows.AcceptSignal)
	untilHold(c, id)
	c.Signal(id, workflows.DeleteNowSignal)
	c.RequireImported(id, 800)
}

func TestReimportWithManyRejectedRecords(t *testing.T) {
	c := chaos.Begin(t, "a published job of 1,000 records is imported again with 1,500 records and 500 truncated ones",
		"readers keep the 1,000, also after `keep`", "HOLD_BEFORE_DELETE=1h")
	c.Worker(c.Spool)
	id := c.Finished(1000)
	untilHold(c, id)
	body := strings.Repeat(`{"a":1}`+"\n", 1500) + strings.Repeat(`{"a":`+"\n", 500)
	require.NoError(t, c.Cloud.SetRecords(id, webscrapertest.RawBody(body, 2000)))
	c.Notify(id)
	untilAsked(c, id, "the import has 1,500 good records, 500 rejected, and the job has stored 2,000 (record 1501: ")
	c.RequireOneDownload(id, 1000)
	c.Signal(id, workflows.KeepSignal)
	require.Equal(t, int64(1000), c.Result(id).Records)
	c.RequireOneDownload(id, 1000)
	c.RequireInCloud(id)
}

func TestNoRecordsAfterThousands(t *testing.T) {
	c := chaos.Begin(t, "a finished job has no records, the previous one had thousands, and no setting is involved",
		"nothing is published or deleted until an operator accepts the 0")
	c.Worker(c.Spool)
	first := ofShop(c, webscrapertest.Products(5000, 1))
	c.RequireImported(first, 5000)
	second := ofShop(c, webscrapertest.Products(0, 1))
	untilAsked(c, second, "the import has 0 good records, and the job has stored 0; 5,000 were last published for its sitemap, from job "+workflows.WorkflowID(first))
	c.Signal(second, workflows.AcceptSignal)
	c.RequireImported(second, 0)
	c.RequireOneDownload(first, 5000)
}

// offers returns records of a shop, with the price under that name.
func offers(n int, price string) webscrapertest.Records {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"web-scraper-order":"1700000000-%d","product":"lamp %[1]d",%q:"$1.00"}`, i+1, price)
	}
	return webscrapertest.JSONLines(lines...)
}

func ofShop(c *chaos.Case, records webscrapertest.Records) (id int64) {
	id = c.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: records})
	c.Notify(id)
	return id
}

// prices maps the offers, keyed by product, to active rows.
func prices(t *testing.T) (setting string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mappings.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
mappings:
  - sitemap: shop
    table: products
    columns: [{name: product, type: text}, {name: price, type: numeric, clean: [money]}]
    key: [product]
    mode: upsert
    deactivate_missing: {column: active, brake_percent: 20}
`), 0o600))
	return "MAPPINGS=" + file
}

func TestRenamedColumn(t *testing.T) {
	c := chaos.Begin(t, "a mapped column is renamed in the cloud, and the worker is killed during the import of the first job with the new name",
		"the resuming worker detects it before a row loses its price, and the import needs attention", prices(t))
	worker := c.Worker(c.Spool)
	first := ofShop(c, offers(chaos.Many, "price"))
	c.RequireImported(first, chaos.Many)
	c.SlowImport()
	second := ofShop(c, offers(chaos.Many, "Price"))
	c.UntilImported(second, 6000)
	c.Kill(worker)
	c.Observe("killed after %s records", humanize.Comma(c.RequireHalf(second, chaos.Many)))
	c.Worker(c.Spool)
	untilAsked(c, second, `in column "price", which had one in 20,000 of 20,000 rows of job `+workflows.WorkflowID(first)+`: no record has "price" (they have "Price")`)
	rows := func() int64 { return c.Count(`SELECT count(*) FROM products WHERE price = 1`) }
	require.Equal(t, int64(chaos.Many), rows())
	require.Equal(t, int64(1), c.Imports(second), "resumed, not restarted")
	c.Signal(second, workflows.AcceptSignal)
	c.RequireImported(second, chaos.Many)
	require.Zero(t, rows())
}

func TestAcceptOfThreeQuestions(t *testing.T) {
	c := chaos.Begin(t, "a job has too few records, no prices, and would deactivate most rows; each `accept` is sent twice, with its question",
		"three questions, each with its own answer", "MIN_RECORDS_PERCENT=90", prices(t))
	c.Worker(c.Spool)
	c.RequireImported(ofShop(c, offers(1000, "price")), 1000)
	second := ofShop(c, offers(500, "Price"))
	for _, question := range []string{
		"fewer than 90 % of the 1,000 last published", `gets no value in column "price"`, "would deactivate 500 of the 1,000 active rows",
	} {
		untilAsked(c, second, question)
		require.Equal(t, int64(1000), c.Count(`SELECT count(*) FROM products WHERE active AND price = 1`))
		asked := c.Progress(second).Attention
		for range 2 {
			require.NoError(t, c.Temporal.SignalWorkflow(t.Context(), workflows.WorkflowID(second), "", workflows.AcceptSignal, asked))
		}
	}
	c.RequireImported(second, 500)
	require.Equal(t, int64(500), c.Count(`SELECT count(*) FROM products WHERE active`))
}

func TestOverLongRecord(t *testing.T) {
	c := chaos.Begin(t, "a record is over `MAX_RECORD_BYTES`, and one may be rejected", "the rest of it is only in the cloud: the import needs attention before the job is deleted there",
		"MAX_RECORD_BYTES=1000", "MAX_REJECTED=1")
	c.Worker(c.Spool)
	long := `{"long":"` + strings.Repeat("x", 100_000) + `"}`
	id := c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"a":1}`, long)})
	c.Notify(id)
	untilAsked(c, id, "1 record was rejected, 1 of them kept only in part, the first 64 KiB")
	require.Contains(t, c.Progress(id).Attention, "accept lets the job be deleted in the cloud, with 1 of its 2 records only in scrapehaul.rejected_records, 1 only in part")
	c.Signal(id, workflows.AcceptSignal)
	require.Equal(t, workflows.Deleted, c.Result(id).Outcome)
}

func TestShortDownloadOfAStoppedJob(t *testing.T) {
	c := chaos.Begin(t, "the download of a stopped job, which is never deleted, lacks a record", "the import needs attention; `reimport` fixes it")
	c.Worker(c.Spool)
	c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Times: 1, Effect: webscrapertest.TruncateSilently(19 * chaos.RecordBytes)})
	id := c.Cloud.AddJob(webscrapertest.Job{Status: "stopped", Records: webscrapertest.Products(20, 1)})
	c.Notify(id)
	untilAsked(c, id, "19 records were imported, but the job has stored 20. Signals: accept closes the import as it is, and the job stays in the cloud")
	c.Signal(id, workflows.ReimportSignal)
	require.Equal(t, workflows.Kept, c.Result(id).Outcome)
	c.RequireOneDownload(id, 20)
	c.RequireInCloud(id)
}
