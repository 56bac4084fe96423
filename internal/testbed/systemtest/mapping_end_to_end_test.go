package systemtest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// shopMapping fits webscrapertest.Products.
const shopMapping = `
mappings:
  - sitemap: shop
    table: products
    columns:
      - {name: scraped, from: web-scraper-order, type: text}
      - {name: product, type: text, required: true}
      - {name: price, type: numeric, clean: [trim, money]}
    key: [scraped]
    mode: upsert
    deactivate_missing: {column: active, brake_percent: 40}
`

func newMapping(t *testing.T, settings map[string]string) *systemtest.System {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mappings.yaml")
	require.NoError(t, os.WriteFile(file, []byte(shopMapping), 0o600))
	settings["MAPPINGS"], settings["HOLD_BEFORE_DELETE"] = file, "0"
	return systemtest.New(t, settings)
}

// imported has imported a job with so many products.
func imported(s *systemtest.System, products int) (id int64) {
	s.T.Helper()
	id = s.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(products, 1)})
	s.Notify(id)
	require.Equal(s.T, workflows.Deleted, s.Result(id).Outcome)
	return id
}

// The worker is killed in the import; another one goes on.
func TestKilledImportIntoAMappedTableGoesOnAfterItsLastBatch(t *testing.T) {
	t.Parallel()
	const records = 10_000
	s := newMapping(t, map[string]string{"BATCH_RECORDS": "100", "HEARTBEAT_TIMEOUT": "5s"})
	id := killAfterSomeBatches(s, webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(records, 1)})
	require.Zero(t, s.Count(`SELECT count(*) FROM products`), "nothing is visible before")

	s.StartWorker(s.Spool)
	result := s.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	s.RequireRecords(id, records)
	require.Equal(t, int64(1), s.Count(`SELECT count(*) FROM scrapehaul.imports`), "resumed, not begun anew")
	require.Equal(t, int64(records), s.Count(`SELECT count(*) FROM products JOIN scrapehaul.scraped_records
		ON scraped = web_scraper_order AND product = data ->> 'product' AND price = replace(substr(data ->> 'price', 2), ',', '')::numeric WHERE active`))
}

func TestPersonDecidesWhetherManyRowsAreDeactivated(t *testing.T) {
	t.Parallel()
	s := newMapping(t, map[string]string{})
	s.StartWorker(s.Spool)
	first := imported(s, 100)

	second := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(50, 1)})
	s.Notify(second)
	require.Contains(t, s.Attention(second), "the job would deactivate 50 of the 100 active rows of its sitemap in table public.products, more than 40 %")
	require.Equal(t, int64(100), s.Count(`SELECT count(*) FROM products WHERE active AND scrapingjob_id = $1`, first))
	require.False(t, s.Cloud.Deleted(second))

	s.Signal(second, workflows.AcceptSignal)
	result := s.Result(second)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(t, int64(50), s.Count(`SELECT count(*) FROM products WHERE active AND scrapingjob_id = $1`, second))
	require.Equal(t, int64(50), s.Count(`SELECT count(*) FROM products WHERE NOT active`))
	require.Zero(t, s.Count(`SELECT count(*) FROM pg_tables WHERE tablename LIKE 'mapped_rows%'`))
}

func TestOperatorLearnsWhyNoRowsWereDeactivated(t *testing.T) {
	t.Parallel()
	s := newMapping(t, map[string]string{})
	s.StartWorker(s.Spool)
	imported(s, 10)

	second := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.JSONLines(
		`{"web-scraper-order":"2-1","product":"a","price":"$1.00"}`, `{"web-scraper-order":"2-2","product":"b","price":"cheap"}`)})
	s.Notify(second)
	s.Attention(second) // for the record that does not fit
	const why = "were not deactivated: of its 2 records 0 were rejected, 1 do not fit the table"
	require.Contains(t, s.Progress(second).Problem, why)
	s.Signal(second, workflows.AcceptSignal)
	require.Contains(t, s.Result(second).Problem, why)
	require.Equal(t, int64(11), s.Count(`SELECT count(*) FROM products WHERE active`))
}

func TestTableThatRefusesRowsNeedsAttentionAndNothingIsPublished(t *testing.T) {
	t.Parallel()
	s := newMapping(t, map[string]string{})
	s.StartWorker(s.Spool)
	s.DB.MustExec(`
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'prices are frozen'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON products FOR EACH ROW EXECUTE FUNCTION refuse()`)
	id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(100, 1)})
	s.Notify(id)
	require.Contains(t, s.Attention(id), "Nothing was published; put the table or its mapping (MAPPINGS of the workers) right: "+
		"publishing import 1: table public.products: pq: prices are frozen")
	require.Zero(t, s.Count(`SELECT count(*) FROM scrapehaul.scraped_records`))
	require.False(t, s.Cloud.Deleted(id))

	s.DB.MustExec(`DROP TRIGGER refuse ON products`)
	s.Signal(id, workflows.ReimportSignal)
	result := s.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(t, int64(100), s.Count(`SELECT count(*) FROM products`))
}
