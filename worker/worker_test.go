package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Secrets that must not appear in any output.
const (
	apiToken = "api-token-zx81"
	password = "password-zx84"
)

// runWorker runs the program to its end.
func runWorker(args ...string) (code int, out, problems string) {
	return programtest.Run("worker", new(commands), args...)
}

func TestEveryInvalidSettingIsNamedBeforeAnythingStarts(t *testing.T) {
	programtest.SetEnvironment(t, map[string]string{
		"DATABASE_URL":             "mysql://importer:" + password + "@db/scrapes",
		"TASK_QUEUE":               "",
		"SPOOL_MIN_FREE":           "1GB",
		"MAX_CONCURRENT_IMPORTS":   "0",
		"RECORDS_RETENTION":        "30d",
		"KEEP_IMPORTS":             "-1",
		"DATABASE_MAX_CONNECTIONS": "1",
		"WORKER_STOP_TIMEOUT":      "soon",
		"HEALTH_ADDRESS":           "8081",
		"TEMPORAL_PROFILE":         "production",
	})
	code, out, problems := runWorker()
	require.Equal(t, program.ExitSettings, code)
	require.Empty(t, out)
	require.NotContains(t, problems, password)
	programtest.RequireProblems(t, "worker", problems,
		"WEBSCRAPER_API_TOKEN is missing: ",
		"DATABASE_URL is not the URL of a PostgreSQL database: ",
		"SPOOL_DIR is missing: ",
		"TASK_QUEUE is missing: ",
		`HEALTH_ADDRESS is "8081": `,
		`SPOOL_MIN_FREE is "1GB": `,
		`MAX_CONCURRENT_IMPORTS is "0": `,
		`RECORDS_RETENTION is "30d": want a duration of at least 1h0m0s`,
		`KEEP_IMPORTS is "-1": want a number from 0 to 1000000`,
		`DATABASE_MAX_CONNECTIONS is "1": `,
		`WORKER_STOP_TIMEOUT is "soon": `,
		"the TEMPORAL_* variables or the profile file they name: ",
	)
}

func TestOneInvalidSettingPreventsTheStart(t *testing.T) {
	for _, c := range []struct {
		name, value, want string
	}{
		{"WEBSCRAPER_API_TOKEN", "", "WEBSCRAPER_API_TOKEN is missing"},
		{"WEBSCRAPER_API_BASE_URI", "ftp://api.example", "WEBSCRAPER_API_BASE_URI: "},
		{"WEBSCRAPER_API_BASE_URI", "https://api.example/?api_token=" + apiToken, "WEBSCRAPER_API_BASE_URI: "},
		{"DATABASE_URL", "postgres://importer:" + password + "@db/scrapes", "DATABASE_URL does not say whether to use TLS"},
		{"DATABASE_URL", "postgres://importer:" + password + "@db:port/scrapes?sslmode=disable", "DATABASE_URL is not the URL of a PostgreSQL database"},
		{"SPOOL_MIN_FREE", "-1", `SPOOL_MIN_FREE is "-1"`},
		{"SPOOL_MIN_FREE", "9000000000000000000", `SPOOL_MIN_FREE is "9000000000000000000": want a number from 1 to `},
		{"SPOOL_DIR", "/no/such/folder", `SPOOL_DIR is "/no/such/folder", which is not a folder here: `},
		{"TEMPORAL_TLS", "perhaps", `TEMPORAL_TLS is "perhaps": want true or false`},
		{"TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "nope", `TEMPORAL_TLS_DISABLE_HOST_VERIFICATION is "nope": want true or false`},
		{"MAX_CONCURRENT_IMPORTS", "many", `MAX_CONCURRENT_IMPORTS is "many"`},
		{"WORKER_STOP_TIMEOUT", "-1s", `WORKER_STOP_TIMEOUT is "-1s"`},
	} {
		t.Run(c.want, func(t *testing.T) {
			spool := t.TempDir()
			s := map[string]string{
				"WEBSCRAPER_API_TOKEN": apiToken,
				"DATABASE_URL":         "postgres://importer:" + password + "@db/scrapes?sslmode=disable",
				"SPOOL_DIR":            spool,
			}
			s[c.name] = c.value
			programtest.SetEnvironment(t, s)
			code, _, problems := runWorker("run")
			require.Equal(t, program.ExitSettings, code)
			programtest.RequireProblems(t, "worker", problems, c.want)
			require.NotContains(t, problems, password)
			require.NotContains(t, problems, apiToken)
			for _, dir := range []string{spool, "/no/such/folder"} {
				created, _ := os.ReadDir(dir)
				require.Empty(t, created)
			}
		})
	}
}

func TestUnreachableDatabaseIsNamedWithoutItsPassword(t *testing.T) {
	address := programtest.ClosedPort(t)
	programtest.SetEnvironment(t, map[string]string{
		"WEBSCRAPER_API_TOKEN": apiToken,
		"DATABASE_URL":         "postgres://importer:" + password + "@" + address + "/scrapes?sslmode=disable",
		"SPOOL_DIR":            t.TempDir(),
	})
	for _, command := range []string{"run", "migrate"} {
		code, out, problems := runWorker(command)
		require.Equal(t, program.ExitFailed, code)
		require.Empty(t, out)
		require.Contains(t, problems, "DATABASE_URL")
		require.Contains(t, problems, address)
		require.Contains(t, problems, "connection refused")
		require.NotContains(t, problems, password)
	}
}

func TestPoolerWithoutSessionsEndsTheWorker(t *testing.T) {
	programtest.SetEnvironment(t, map[string]string{
		"WEBSCRAPER_API_TOKEN": apiToken,
		"DATABASE_URL":         postgrestest.NewPgBouncer(t, postgrestest.NewDatabase(t), "transaction"),
		"SPOOL_DIR":            t.TempDir(),
	})
	code, _, problems := runWorker()
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "worker: the database of DATABASE_URL: a connection pooler switches PostgreSQL connections after every transaction: set PgBouncer's pool_mode to session")
}

func TestUnreachableTemporalIsNamed(t *testing.T) {
	address := programtest.ClosedPort(t)
	programtest.SetEnvironment(t, map[string]string{
		"WEBSCRAPER_API_TOKEN": apiToken,
		"DATABASE_URL":         postgrestest.NewDatabase(t),
		"SPOOL_DIR":            t.TempDir(),
		"TEMPORAL_ADDRESS":     address,
	})
	code, _, problems := runWorker()
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "worker: connecting to Temporal at "+address)
}

func TestMissingNamespaceIsNamed(t *testing.T) {
	s := realSettings(t)
	s["TEMPORAL_NAMESPACE"] = "missing-namespace"
	programtest.SetEnvironment(t, s)
	code, _, problems := runWorker()
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "missing-namespace")
}

func TestMigratePrintsTheVersion(t *testing.T) {
	database := postgrestest.NewDatabase(t)
	programtest.SetEnvironment(t, map[string]string{"DATABASE_URL": database})
	for range 2 { // the second time there is nothing to do
		code, out, problems := runWorker("migrate")
		require.Equal(t, program.ExitOK, code, problems)
		require.Regexp(t, `^schema scrapehaul is at version [1-9]\d*\n$`, out)
	}
	connect(t, database).MustExec(`SELECT FROM scrapehaul.scraped_records`)

	programtest.SetEnvironment(t, nil)
	code, _, problems := runWorker("migrate")
	require.Equal(t, program.ExitSettings, code)
	require.Contains(t, problems, "DATABASE_URL is missing")
}

func TestHealthcheckOfADeadWorkerFails(t *testing.T) {
	address := programtest.ClosedPort(t)
	programtest.SetEnvironment(t, map[string]string{"HEALTH_ADDRESS": address})
	code, _, problems := runWorker("healthcheck")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, address)
}

func TestWorkerImportsServesItsHealthAndStops(t *testing.T) {
	cloud := webscrapertest.NewServer(t, webscrapertest.Options{Tokens: []string{apiToken}})
	id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	s := realSettings(t)
	s["WEBSCRAPER_API_BASE_URI"] = cloud.URL
	s["HEALTH_ADDRESS"] = programtest.ClosedPort(t)
	programtest.SetEnvironment(t, s)
	w := startWorker(t)

	temporal, err := client.DialContext(t.Context(), client.Options{
		HostPort: s["TEMPORAL_ADDRESS"], Namespace: s["TEMPORAL_NAMESPACE"],
	})
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	run, err := workflows.Notify(t.Context(), temporal, workflows.DefaultTaskQueue,
		workflows.Notification{ScrapingJobID: id}, workflows.Settings{HoldBeforeDelete: "0"})
	require.NoError(t, err)
	var result workflows.ImportScrapingJobResult
	require.NoError(t, run.Get(t.Context(), &result))
	require.Equal(t, workflows.Deleted, result.Outcome)

	w.WaitForLog("Serving health checks")
	require.Equal(t, answer{http.StatusOK, "ok\n"}, get(t, s["HEALTH_ADDRESS"], "/healthz"))
	require.Equal(t, answer{http.StatusOK, "ok\n"}, get(t, s["HEALTH_ADDRESS"], "/readyz"))
	code, _, problems := runWorker("healthcheck")
	require.Equal(t, program.ExitOK, code, problems)

	admit := refuseConnections(t, s["DATABASE_URL"])
	require.Equal(t, answer{http.StatusServiceUnavailable, "PostgreSQL cannot be reached\n"}, get(t, s["HEALTH_ADDRESS"], "/readyz"))
	require.Equal(t, answer{http.StatusOK, "ok\n"}, get(t, s["HEALTH_ADDRESS"], "/healthz"), "the process is alive")
	code, _, problems = runWorker("healthcheck")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "/readyz answers 503")
	admit()
	require.Equal(t, answer{http.StatusOK, "ok\n"}, get(t, s["HEALTH_ADDRESS"], "/readyz"))

	require.Equal(t, program.ExitOK, w.Stop())
	require.Contains(t, w.Log.String(), `"msg":"Worker stopped"`)
	require.NotContains(t, w.Log.String(), apiToken)
}

func TestWorkerFollowsTokenChanges(t *testing.T) {
	cloud := webscrapertest.New(webscrapertest.Options{Tokens: []string{apiToken}})
	var valid atomic.Pointer[[]string] // for the API
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if slices.Contains(*valid.Load(), query.Get("api_token")) {
			query.Set("api_token", apiToken)
			r.URL.RawQuery = query.Encode()
		}
		cloud.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	file := filepath.Join(t.TempDir(), "tokens")
	change := func(acme string) {
		t.Helper()
		valid.Store(&[]string{acme, "globex-token-zx93"})
		require.NoError(t, os.WriteFile(file+".new", []byte("acme="+acme+"\nglobex=globex-token-zx93\n"), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	change("acme-token-zx91")
	s := realSettings(t)
	delete(s, "WEBSCRAPER_API_TOKEN")
	s["WEBSCRAPER_API_TOKENS_FILE"] = file
	s["WEBSCRAPER_API_BASE_URI"] = api.URL + webscrapertest.BasePath
	s["HEALTH_ADDRESS"] = programtest.ClosedPort(t)
	programtest.SetEnvironment(t, s)
	w := startWorker(t)
	temporal, err := client.DialContext(t.Context(), client.Options{HostPort: s["TEMPORAL_ADDRESS"], Namespace: s["TEMPORAL_NAMESPACE"]})
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	db := connect(t, s["DATABASE_URL"])
	imports := func(account string) {
		t.Helper()
		id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
		run, err := workflows.Notify(t.Context(), temporal, workflows.DefaultTaskQueue,
			workflows.Notification{ScrapingJobID: id, Account: account}, workflows.Settings{HoldBeforeDelete: "0"})
		require.NoError(t, err)
		var result workflows.ImportScrapingJobResult
		require.NoError(t, run.Get(t.Context(), &result))
		require.Equal(t, workflows.Deleted, result.Outcome)
		var of string
		require.NoError(t, db.Get(&of, `SELECT account FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = $1`, id))
		require.Equal(t, account, of)
	}
	imports("acme")
	change("acme-token-zx92")
	imports("globex")
	imports("acme")

	w.WaitForLog("Serving health checks")
	metrics := get(t, s["HEALTH_ADDRESS"], "/metrics").body
	for _, account := range []string{"acme", "globex"} {
		require.Contains(t, metrics, `scrapehaul_api_calls_limit{account="`+account+`"} 200`)
	}
	// Only the gauges of open imports always include the default account.
	require.NotRegexp(t, `(?m)^scrapehaul_(?:api|bytes|records|rejected|unmapped|refused|step)_\w+\{account="default"`, metrics)
	require.Equal(t, program.ExitOK, w.Stop())
	require.NotContains(t, w.Log.String(), "token-zx9")
}

func TestWorkerThatCannotServeItsHealthExits(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	s := realSettings(t)
	s["HEALTH_ADDRESS"] = listener.Addr().String()
	programtest.SetEnvironment(t, s)
	code, _, problems := runWorker()
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "worker: listening at HEALTH_ADDRESS: listen tcp "+s["HEALTH_ADDRESS"])
}

// realSettings returns the settings of a worker on real servers.
func realSettings(t *testing.T) map[string]string {
	t.Helper()
	namespace := temporaltest.NewNamespace(t)
	return map[string]string{
		"WEBSCRAPER_API_TOKEN": apiToken,
		"DATABASE_URL":         postgrestest.NewDatabase(t),
		"SPOOL_DIR":            t.TempDir(),
		"TEMPORAL_ADDRESS":     namespace.HostPort,
		"TEMPORAL_NAMESPACE":   namespace.Name,
	}
}

// startWorker starts the program and waits until it runs.
func startWorker(t *testing.T) *programtest.Running {
	t.Helper()
	w := programtest.Start(t, "worker", new(commands), "run")
	w.WaitForLog("Worker started")
	return w
}

type answer struct {
	status int
	body   string
}

func get(t *testing.T, address, path string) answer {
	t.Helper()
	response, err := http.Get("http://" + address + path)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, string(body)}
}

// refuseConnections makes the server refuse connections to this database until admit is
// called.
func refuseConnections(t *testing.T, databaseURL string) (admit func()) {
	t.Helper()
	address, err := url.Parse(databaseURL)
	require.NoError(t, err)
	database := strings.TrimPrefix(address.Path, "/")
	address.Path = "/postgres"
	server := connect(t, address.String())
	server.MustExec(`ALTER DATABASE ` + database + ` ALLOW_CONNECTIONS false`)
	server.MustExec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, database)
	return func() { server.MustExec(`ALTER DATABASE ` + database + ` ALLOW_CONNECTIONS true`) }
}

func connect(t *testing.T, databaseURL string) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Open("postgres", databaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
