package systemtest_test

import (
	"os"
	"path/filepath"
	"strings"
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

// rowsOnly is the addition to shopMapping that keeps no records.
const rowsOnly = "    keep_records: false\n"

func newMapping(t *testing.T, settings map[string]string, further ...string) *systemtest.System {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mappings.yaml")
	require.NoError(t, os.WriteFile(file, []byte(shopMapping+strings.Join(further, "")), 0o600))
	settings["MAPPINGS"], settings["HOLD_BEFORE_DELETE"] = file, "0"
	return systemtest.New(t, settings)
}

// imported imports a job with that many products.
func imported(s *systemtest.System, products int) (id int64) {
	s.T.Helper()
	id = s.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(products, 1)})
	s.Notify(id)
	require.Equal(s.T, workflows.Deleted, s.Result(id).Outcome)
	return id
}

// The worker is killed during the import; another one continues.
func TestKilledImportIntoAMappedTableResumesAfterItsLastBatch(t *testing.T) {
	t.Parallel()
	const records = 10_000
	for name, further := range map[string]string{"with its records": "", "rows only": rowsOnly} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newMapping(t, map[string]string{"BATCH_RECORDS": "100", "HEARTBEAT_TIMEOUT": "5s"}, further)
			id := killAfterSomeBatches(s, webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(records, 1)})
			require.Zero(t, s.Count(`SELECT count(*) FROM products`), "nothing is visible yet")

			s.StartWorker(s.Spool)
			result := s.Result(id)
			require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
			require.Equal(t, int64(1), s.Count(`SELECT count(*) FROM scrapehaul.imports`), "resumed, not restarted")
			if further != "" {
				require.Equal(t, int64(records), s.Count(`SELECT count(*) FROM products WHERE active AND price > 0`))
				require.Zero(t, s.Count(`SELECT count(*) FROM scrapehaul.import_records`))
				return
			}
			s.RequireRecords(id, records)
			require.Equal(t, int64(records), s.Count(`SELECT count(*) FROM products JOIN scrapehaul.scraped_records
				ON scraped = web_scraper_order AND product = data ->> 'product' AND price = replace(substr(data ->> 'price', 2), ',', '')::numeric WHERE active`))
		})
	}
}

// Without records, the rows are verified before the job is deleted in the cloud.
func TestJobWithoutRecordsIsDeletedWhenItsRowsAreThere(t *testing.T) {
	t.Parallel()
	s := newMapping(t, map[string]string{"ARCHIVE_URL": "file://" + filepath.ToSlash(t.TempDir())}, rowsOnly)
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.JSONLines(
		`{"web-scraper-order":"2-1","product":"a","price":"$1.00"}`, `{"web-scraper-order":"2-2","product":"b","price":"cheap"}`)})
	s.Notify(id)
	require.Contains(t, s.Attention(id), "1 record was rejected (see scrapehaul.rejected_records)")
	require.Equal(t, int64(1), s.Count(`SELECT count(*) FROM scrapehaul.rejected_records WHERE convert_from(raw, 'UTF8') LIKE '%"cheap"%'`))
	s.DB.MustExec(`ALTER TABLE products RENAME TO away`)
	s.Signal(id, workflows.AcceptSignal)
	s.WaitFor("the verification", func() bool {
		return strings.Contains(s.Progress(id).Attention, "the database has 0 records, 1 rejected and 0 skipped ones, but the import had 1, 1 and 0")
	})
	require.False(t, s.Cloud.Deleted(id))

	s.DB.MustExec(`ALTER TABLE away RENAME TO products`)
	s.Signal(id, workflows.ReimportSignal)
	s.WaitFor("the rows", func() bool { return strings.Contains(s.Progress(id).Attention, "1 record was rejected") })
	s.Signal(id, workflows.AcceptSignal)
	result := s.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(t, [2]int64{1, 1}, [2]int64{result.Records, result.Rejected})
	require.Zero(t, s.Count(`SELECT count(*) FROM scrapehaul.import_records`))

	s.DB.MustExec(`TRUNCATE products`)
	reimport(s, id)
	s.Attention(id) // for the record without a row, as before
	s.Signal(id, workflows.AcceptSignal)
	require.Equal(t, workflows.Restored, s.Result(id).Outcome)
	require.Equal(t, int64(1), s.Count(`SELECT count(*) FROM products`))
	require.NotContains(t, s.Log.String(), "there is no archive (ARCHIVE_URL)")
}

func TestWorkerWarnsOnceAboutMissingRecordsAndArchive(t *testing.T) {
	t.Parallel()
	s := newMapping(t, map[string]string{}, rowsOnly)
	s.StartWorker(s.Spool)
	s.WaitFor("the log", func() bool {
		return strings.Count(s.Log.String(), "there is no archive (ARCHIVE_URL): jobs deleted in the cloud can never be remapped, compared or shown in views") == 1
	})
}

func TestDeactivatingManyRowsNeedsAttention(t *testing.T) {
	t.Parallel()
	s := newMapping(t, map[string]string{})
	s.StartWorker(s.Spool)
	first := imported(s, 100)

	second := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(50, 1)})
	s.Notify(second)
	require.Contains(t, s.Attention(second), "the job would deactivate 50 of the 100 active rows of its sitemap in table public.products, more than 40 % (brake_percent); nothing was published. ")
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
	const why = "were not deactivated: of its 2 records, 0 were rejected, 1 do not fit the table"
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
	require.Contains(t, s.Attention(id), "Nothing was published; fix the table or its mapping (MAPPINGS of the workers): "+
		"publishing import 1: table public.products: pq: prices are frozen")
	require.Zero(t, s.Count(`SELECT count(*) FROM scrapehaul.scraped_records`))
	require.False(t, s.Cloud.Deleted(id))

	s.DB.MustExec(`DROP TRIGGER refuse ON products`)
	s.Signal(id, workflows.ReimportSignal)
	result := s.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(t, int64(100), s.Count(`SELECT count(*) FROM products`))
}
