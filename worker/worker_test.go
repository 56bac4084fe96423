package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/process"
	"github.com/scrapehaul/scrapehaul/internal/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Secrets that must not appear where people look.
const (
	apiToken = "api-token-zx81"
	password = "password-zx84"
)

// Waits end long before: they are for the slowest machine.
const (
	waitAtMost = time.Minute
	pollEvery  = 10 * time.Millisecond
)

// settings are the environment of a worker.
type settings map[string]string

// set makes them the environment of this process, in place of whatever is
// meant for a real worker, until the end of the test.
func (s settings) set(t *testing.T) {
	t.Helper()
	ours := regexp.MustCompile(`^(TEMPORAL_.*|WEBSCRAPER_.*|DATABASE_.*|TASK_QUEUE|SPOOL_.*|MAX_CONCURRENT_IMPORTS|WORKER_STOP_TIMEOUT|HEALTH_ADDRESS)$`)
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); ours.MatchString(name) {
			t.Setenv(name, "") // restored afterwards
			require.NoError(t, os.Unsetenv(name))
		}
	}
	t.Setenv("TEMPORAL_CONFIG_FILE", os.DevNull)
	for name, value := range s {
		t.Setenv(name, value)
	}
}

// runWorker runs the program to its end.
func runWorker(args ...string) (code int, out, problems string) {
	var stdout, stderr bytes.Buffer
	code = process.Main("worker", "", new(commands), args, process.Streams{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestEveryWrongSettingIsNamedBeforeAnythingStarts(t *testing.T) {
	settings{
		"DATABASE_URL":             "mysql://importer:" + password + "@db/scrapes",
		"TASK_QUEUE":               "",
		"SPOOL_MIN_FREE":           "1GB",
		"MAX_CONCURRENT_IMPORTS":   "0",
		"DATABASE_MAX_CONNECTIONS": "1",
		"WORKER_STOP_TIMEOUT":      "soon",
		"HEALTH_ADDRESS":           "8081",
		"TEMPORAL_PROFILE":         "production",
	}.set(t)
	code, out, problems := runWorker()
	require.Equal(t, process.ExitSettings, code)
	require.Empty(t, out)
	require.NotContains(t, problems, password)
	requireProblems(t, problems,
		"WEBSCRAPER_API_TOKEN is missing: ",
		"DATABASE_URL is not the URL of a PostgreSQL database: ",
		"SPOOL_DIR is missing: ",
		"TASK_QUEUE is missing: ",
		`HEALTH_ADDRESS is "8081": `,
		`SPOOL_MIN_FREE is "1GB": `,
		`MAX_CONCURRENT_IMPORTS is "0": `,
		`DATABASE_MAX_CONNECTIONS is "1": `,
		`WORKER_STOP_TIMEOUT is "soon": `,
		"the TEMPORAL_* variables or the profile file they name: ",
	)
}

// requireProblems requires one message with these problems and no others, each
// by its beginning.
func requireProblems(t *testing.T, message string, beginnings ...string) {
	t.Helper()
	head, problems, found := strings.Cut(message, "\n  - ")
	require.True(t, found, message)
	require.Equal(t, "worker: these settings have to be put right first:", head)
	for _, problem := range strings.Split(problems, "\n  - ") {
		known := slices.IndexFunc(beginnings, func(beginning string) bool { return strings.HasPrefix(problem, beginning) })
		require.GreaterOrEqual(t, known, 0, "not expected: %s", problem)
		beginnings = slices.Delete(beginnings, known, known+1)
	}
	require.Empty(t, beginnings, "not named")
}

func TestOneWrongSettingIsEnoughNotToStart(t *testing.T) {
	for _, c := range []struct {
		name, value, want string
	}{
		{"WEBSCRAPER_API_TOKEN", "", "WEBSCRAPER_API_TOKEN is missing"},
		{"WEBSCRAPER_API_BASE_URI", "ftp://api.example", "WEBSCRAPER_API_TOKEN or WEBSCRAPER_API_BASE_URI: "},
		{"WEBSCRAPER_API_BASE_URI", "https://api.example/?api_token=" + apiToken, "WEBSCRAPER_API_TOKEN or WEBSCRAPER_API_BASE_URI: "},
		{"DATABASE_URL", "postgres://importer:" + password + "@db/scrapes", "DATABASE_URL does not say whether to use TLS"},
		{"DATABASE_URL", "postgres://importer:" + password + "@db:port/scrapes?sslmode=disable", "DATABASE_URL is not the URL of a PostgreSQL database"},
		{"SPOOL_MIN_FREE", "-1", `SPOOL_MIN_FREE is "-1"`},
		{"MAX_CONCURRENT_IMPORTS", "many", `MAX_CONCURRENT_IMPORTS is "many"`},
		{"WORKER_STOP_TIMEOUT", "-1s", `WORKER_STOP_TIMEOUT is "-1s"`},
	} {
		t.Run(c.want, func(t *testing.T) {
			spool := filepath.Join(t.TempDir(), "spool")
			s := settings{
				"WEBSCRAPER_API_TOKEN": apiToken,
				"DATABASE_URL":         "postgres://importer:" + password + "@db/scrapes?sslmode=disable",
				"SPOOL_DIR":            spool,
			}
			s[c.name] = c.value
			s.set(t)
			code, _, problems := runWorker("run")
			require.Equal(t, process.ExitSettings, code)
			requireProblems(t, problems, c.want)
			require.NotContains(t, problems, password)
			require.NotContains(t, problems, apiToken)
			require.NoDirExists(t, spool)
		})
	}
}

func TestDatabaseThatCannotBeReachedIsNamedWithoutItsPassword(t *testing.T) {
	address := closedPort(t)
	settings{
		"WEBSCRAPER_API_TOKEN": apiToken,
		"DATABASE_URL":         "postgres://importer:" + password + "@" + address + "/scrapes?sslmode=disable",
		"SPOOL_DIR":            t.TempDir(),
	}.set(t)
	for _, command := range []string{"run", "migrate"} {
		code, out, problems := runWorker(command)
		require.Equal(t, process.ExitFailed, code)
		require.Empty(t, out)
		require.Contains(t, problems, "DATABASE_URL")
		require.Contains(t, problems, address)
		require.Contains(t, problems, "connection refused")
		require.NotContains(t, problems, password)
	}
}

func TestTemporalThatCannotBeReachedIsNamed(t *testing.T) {
	address := closedPort(t)
	settings{
		"WEBSCRAPER_API_TOKEN": apiToken,
		"DATABASE_URL":         postgrestest.NewDatabase(t),
		"SPOOL_DIR":            t.TempDir(),
		"TEMPORAL_ADDRESS":     address,
	}.set(t)
	code, _, problems := runWorker()
	require.Equal(t, process.ExitFailed, code)
	require.Contains(t, problems, "worker: connecting to Temporal at "+address)
}

func TestNamespaceThatDoesNotExistIsNamed(t *testing.T) {
	s := realSettings(t)
	s["TEMPORAL_NAMESPACE"] = "nowhere"
	s.set(t)
	code, _, problems := runWorker()
	require.Equal(t, process.ExitFailed, code)
	require.Contains(t, problems, "nowhere")
}

func TestMigrateSaysToWhichVersion(t *testing.T) {
	database := postgrestest.NewDatabase(t)
	settings{"DATABASE_URL": database}.set(t)
	for range 2 { // the second time there is nothing to do
		code, out, problems := runWorker("migrate")
		require.Equal(t, process.ExitOK, code, problems)
		require.Regexp(t, `^schema scrapehaul is at version [1-9]\d*\n$`, out)
	}
	connect(t, database).MustExec(`SELECT FROM scrapehaul.scraped_records`)

	settings{}.set(t)
	code, _, problems := runWorker("migrate")
	require.Equal(t, process.ExitSettings, code)
	require.Contains(t, problems, "DATABASE_URL is missing")
}

func TestHealthcheckOfADeadWorkerFails(t *testing.T) {
	address := closedPort(t)
	settings{"HEALTH_ADDRESS": address}.set(t)
	code, _, problems := runWorker("healthcheck")
	require.Equal(t, process.ExitFailed, code)
	require.Contains(t, problems, address)
}

func TestWorkerImportsTellsItsHealthAndStops(t *testing.T) {
	cloud := webscrapertest.NewServer(t, webscrapertest.WithToken(apiToken))
	id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	s := realSettings(t)
	s["WEBSCRAPER_API_BASE_URI"] = cloud.URL
	s["HEALTH_ADDRESS"] = closedPort(t)
	s.set(t)
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

	require.Eventually(t, func() bool { return strings.Contains(w.log.String(), "Health served") }, waitAtMost, pollEvery)
	require.Equal(t, answer{http.StatusOK, "ok\n"}, get(t, s["HEALTH_ADDRESS"], "/healthz"))
	require.Equal(t, answer{http.StatusOK, "ok\n"}, get(t, s["HEALTH_ADDRESS"], "/readyz"))
	code, _, problems := runWorker("healthcheck")
	require.Equal(t, process.ExitOK, code, problems)

	admit := refuseConnections(t, s["DATABASE_URL"])
	require.Equal(t, answer{http.StatusServiceUnavailable, "PostgreSQL cannot be reached\n"}, get(t, s["HEALTH_ADDRESS"], "/readyz"))
	require.Equal(t, answer{http.StatusOK, "ok\n"}, get(t, s["HEALTH_ADDRESS"], "/healthz"), "it lives all the same")
	code, _, problems = runWorker("healthcheck")
	require.Equal(t, process.ExitFailed, code)
	require.Contains(t, problems, "/readyz answers 503")
	admit()
	require.Equal(t, answer{http.StatusOK, "ok\n"}, get(t, s["HEALTH_ADDRESS"], "/readyz"))

	require.Equal(t, process.ExitOK, w.stop())
	require.Contains(t, w.log.String(), `"msg":"Worker stopped"`)
	require.NotContains(t, w.log.String(), apiToken)
}

func TestWorkerThatCannotServeItsHealthEnds(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, listener.Close()) })
	s := realSettings(t)
	s["HEALTH_ADDRESS"] = listener.Addr().String()
	s.set(t)
	code, _, problems := runWorker()
	require.Equal(t, process.ExitFailed, code)
	require.Contains(t, problems, "worker: listening: listen tcp "+s["HEALTH_ADDRESS"])
}

// realSettings are those of a worker on the real servers.
func realSettings(t *testing.T) settings {
	t.Helper()
	namespace := temporaltest.NewNamespace(t)
	return settings{
		"WEBSCRAPER_API_TOKEN": apiToken,
		"DATABASE_URL":         postgrestest.NewDatabase(t),
		"SPOOL_DIR":            t.TempDir(),
		"TEMPORAL_ADDRESS":     namespace.HostPort,
		"TEMPORAL_NAMESPACE":   namespace.Name,
	}
}

// runningWorker is the program in a goroutine of the test.
type runningWorker struct {
	t     *testing.T
	log   *lockedBuffer
	ended chan struct{}
	code  int // read after ended
}

// startWorker starts the program and returns when it works.
func startWorker(t *testing.T) *runningWorker {
	t.Helper()
	w := &runningWorker{t: t, log: new(lockedBuffer), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		w.code = process.Main("worker", "", new(commands), []string{"run"}, process.Streams{Out: io.Discard, Err: w.log})
	}()
	t.Cleanup(func() { w.stop() })
	require.Eventually(t, func() bool {
		select {
		case <-w.ended:
			return true
		default:
			return strings.Contains(w.log.String(), `"msg":"Worker started"`)
		}
	}, waitAtMost, pollEvery)
	require.Contains(t, w.log.String(), `"msg":"Worker started"`)
	return w
}

// stop sends SIGTERM to this process, unless the program has ended, and
// returns its exit code.
func (w *runningWorker) stop() int {
	w.t.Helper()
	select {
	case <-w.ended:
	default:
		require.NoError(w.t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	}
	<-w.ended
	return w.code
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

// refuseConnections makes the server refuse this database until admit is
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

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
