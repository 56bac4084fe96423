package failures

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/internal/testbed/networkproxy"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestPostgreSQLRestarted(t *testing.T) {
	e := chaos.Register(t, "PostgreSQL is restarted during the import, in immediate mode, as after a crash",
		"resumes after the last committed batch; no committed record is missing")
	server, databaseURL := postgrestest.NewServer(t)
	c := e.On(t, temporaltest.NewNamespace(t), databaseURL)
	c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 4000)
	require.NoError(t, server.Restart(t.Context()))
	c.Observe("restarted after %s records", humanize.Comma(c.RequireHalf(id, chaos.Many)))
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 1, c.Downloads(id))
	require.Equal(t, int64(1), c.Imports(id))
}

func TestConnectionsTerminated(t *testing.T) {
	// The heartbeat timeout must not rescue a hanging attempt.
	c := chaos.Begin(t, "PostgreSQL terminates all connections in the middle of a batch, three times", "resumes after the last committed batch",
		"HEARTBEAT_TIMEOUT=10m")
	c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	for _, records := range []int64{2000, 6000, 10_000} {
		c.UntilImported(id, records)
		c.WaitFor("a running batch", func() bool { return terminateConnections(c) > 0 })
		c.Observe("terminated after %s records", humanize.Comma(c.RequireHalf(id, chaos.Many)))
	}
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 1, c.Downloads(id))
	require.Equal(t, int64(1), c.Imports(id))
}

// terminateConnections ends all other connections to the database, and returns how many of
// them were in a transaction.
func terminateConnections(c *chaos.Case) int64 {
	return c.Count(`SELECT count(*) FILTER (WHERE pg_terminate_backend(pid) AND xact_start IS NOT NULL) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
}

// ownDatabase creates a database and runs the statements in it.
func ownDatabase(t *testing.T, statements ...string) (databaseURL string) {
	t.Helper()
	databaseURL = postgrestest.NewDatabase(t)
	db, err := sqlx.Open("postgres", databaseURL)
	require.NoError(t, err)
	defer db.Close()
	for _, statement := range statements {
		db.MustExec(statement)
	}
	return databaseURL
}

func TestDatabaseWithAnotherIsolationLevel(t *testing.T) {
	for _, isolation := range []string{"repeatable read", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			e := chaos.Register(t, "the database has `default_transaction_isolation` set to `"+isolation+"`, and an import uses four connections",
				"its transactions set the isolation level they need: one attempt, and everything is published")
			c := e.On(t, temporaltest.NewNamespace(t), ownDatabase(t,
				`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = "`+isolation+`"', current_database()); END $$`), "CONNECTIONS_PER_IMPORT=4")
			c.Worker(c.Spool)
			id := c.Finished(chaos.Many)
			c.RequireImported(id, chaos.Many)
			require.Equal(t, int64(1), attempts(c, id))
		})
	}
}

// attempts returns the number of attempts at the last import of a job.
func attempts(c *chaos.Case, id int64) int64 {
	c.T.Helper()
	return c.Count(`SELECT fence FROM scrapehaul.imports WHERE scrapingjob_id = $1 ORDER BY import_id DESC LIMIT 1`, id)
}

// mapped maps sitemap shop to table products, which it creates and changes with the
// statements.
func mapped(c *chaos.Case, statements string) {
	c.T.Helper()
	file := filepath.Join(c.T.TempDir(), "mappings.yaml")
	require.NoError(c.T, os.WriteFile(file, []byte(`
mappings:
  - sitemap: shop
    table: products
    columns: [{name: scraped, from: web-scraper-order, type: text}, {name: price, type: numeric, clean: [trim, money]}]
    mode: replace-job
`), 0o600))
	c.DB.MustExec(`CREATE TABLE public.products (scrapingjob_id bigint NOT NULL, scraped text, price numeric); ` + statements)
	c.Env = c.Env.With("MAPPINGS", file)
}

func TestSettingsOfTheDatabase(t *testing.T) {
	c := chaos.Begin(t, "the database has unusual values of DateStyle, TimeZone, IntervalStyle, search_path, client_encoding, bytea_output, extra_float_digits and standard_conforming_strings",
		"imported as usual")
	c.DB.MustExec(`DO $$ DECLARE setting text; BEGIN
		FOREACH setting IN ARRAY ARRAY['DateStyle = ''SQL, DMY''', 'TimeZone = ''Asia/Kathmandu''', 'IntervalStyle = sql_standard', 'search_path = pg_catalog',
			'client_encoding = LATIN1', 'bytea_output = escape', 'extra_float_digits = 0', 'standard_conforming_strings = off'] LOOP
			EXECUTE format('ALTER DATABASE %I SET %s', current_database(), setting);
		END LOOP;
	END $$`)
	c.Worker(c.Spool)
	body := `{"web-scraper-order":"1-1","name\\path":"日本 € \\ 'x'","price":1e2}` + "\n"
	id := c.Cloud.AddJob(webscrapertest.Job{SitemapName: "日本", Records: webscrapertest.RawBody(body, 1)})
	c.Notify(id)
	c.RequireImported(id, 1)
	require.Equal(t, int64(1), c.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE data = $1::jsonb`, body))
	require.Equal(t, int64(1), c.Count(`SELECT count(*) FROM sitemaps."日本"`))
}

func TestMappedTableRefusesRecordsOverASlowNetwork(t *testing.T) {
	c := chaos.Begin(t, "a mapped table refuses 3 of 20,000 records, and every response from PostgreSQL takes 5 ms",
		"they are found by bisection, within the heartbeat timeout: one attempt, all records, and all other rows", "BATCH_RECORDS=5000", "MAX_REJECTED=3")
	mapped(c, `ALTER TABLE public.products ADD CHECK (scraped !~ '-(1|7007|20000)$')`)
	proxy, through := networkproxy.New(t, c.Env.DatabaseURL)
	c.Env.DatabaseURL = through
	c.Worker(c.Spool)
	proxy.SetRoundTrip(5 * time.Millisecond)
	started, before := time.Now(), proxy.RoundTrips()
	id := c.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(chaos.Many, 1)})
	c.Notify(id)
	result := c.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(t, int64(chaos.Many-3), c.Count(`SELECT count(*) FROM public.products`))
	require.Equal(t, int64(3), c.Count(`SELECT count(*) FROM scrapehaul.unmapped_records WHERE reason LIKE 'PostgreSQL refuses it: %"products_scraped_check"'`))
	require.Equal(t, int64(1), attempts(c, id))
	c.Observe("imported by one attempt, with %s round trips, in %s s", humanize.Comma(proxy.RoundTrips()-before), fmt.Sprintf("%.0f", time.Since(started).Seconds()))
}

func TestMappedTableWithRowLevelSecurity(t *testing.T) {
	e := chaos.Register(t, "a mapped table has row-level security that hides all its rows from the worker's role",
		"the worker exits with the statement that fixes it; after that, a re-import replaces the rows")
	c := e.On(t, temporaltest.NewNamespace(t), postgrestest.NewDatabase(t), "HOLD_BEFORE_DELETE=1h")
	role := fmt.Sprintf("importer_%d", time.Now().UnixNano())
	mapped(c, `CREATE ROLE `+role+` LOGIN PASSWORD 'secret'; CREATE SCHEMA scrapehaul AUTHORIZATION `+role+`; GRANT ALL ON public.products TO `+role+`;
		ALTER TABLE public.products ENABLE ROW LEVEL SECURITY; CREATE POLICY adds ON public.products FOR INSERT WITH CHECK (true)`)
	t.Cleanup(func() { c.DB.MustExec(`DROP OWNED BY ` + role + ` CASCADE; DROP ROLE ` + role) })
	at, err := url.Parse(c.Env.DatabaseURL)
	require.NoError(t, err)
	at.User = url.UserPassword(role, "secret")
	c.Env.DatabaseURL = at.String()
	_, err = c.Programs.StartWorker(c.Env, c.Spool)
	require.Error(t, err)
	const statement = `CREATE POLICY scrapehaul ON "public"."products" TO "%s" USING (true) WITH CHECK (true);`
	fix := fmt.Sprintf(statement, role)
	require.Contains(t, c.Log.String(), "table public.products does not match its mapping, run: "+fix)

	c.DB.MustExec(fix)
	c.Worker(c.Spool)
	id := c.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(100, 1)})
	c.Notify(id)
	c.WaitForStep(id, workflows.StepHold)
	c.Signal(id, workflows.ReimportSignal)
	c.WaitFor("the second import", func() bool { return c.Downloads(id) == 2 && c.Progress(id).Step == workflows.StepHold })
	require.Equal(t, int64(100), c.Count(`SELECT count(*) FROM public.products`))
	c.Signal(id, workflows.DeleteNowSignal)
	require.Equal(t, workflows.Deleted, c.Result(id).Outcome)
	c.Observe("refused with: run %s", fmt.Sprintf(statement, "importer"))
}

func TestMappedTableIsPublishedWithoutReplicaIdentity(t *testing.T) {
	c := chaos.Begin(t, "a publication of all tables is created during an import into a mapped table without a primary key",
		"nothing is published; the operator gets the cause and the statement that fixes it")
	mapped(c, "")
	c.Worker(c.Spool)
	c.SlowImport()
	id := c.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(chaos.Many, 1)})
	c.Notify(id)
	c.UntilImported(id, 2000)
	c.DB.MustExec(`CREATE PUBLICATION changes FOR ALL TABLES`)
	const fix = `ALTER TABLE "public"."products" REPLICA IDENTITY FULL;`
	says := c.Attention(id)
	require.Contains(t, says, fix)
	require.Contains(t, says, `cannot delete from table "products" because it does not have a replica identity and publishes deletes`)
	require.Zero(t, c.Visible(id)+c.Count(`SELECT count(*) FROM public.products`))
	c.RequireInCloud(id)

	c.Observe("needs attention: %s", strings.Split(says, ". Signals: ")[0])
	c.DB.MustExec(fix)
	c.Signal(id, workflows.ReimportSignal)
	c.RequireImported(id, chaos.Many)
	require.Equal(t, int64(chaos.Many), c.Count(`SELECT count(*) FROM public.products`))
}
