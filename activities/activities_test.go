package activities_test

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/testbed/schematest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const (
	apiToken = "api-token-zx81"
	queue    = "scrapingjob-import@this-spool"
	file     = "scrapingjob-1-run-1.json"
)

// Waits usually end long before; the limit is for slow machines.
const (
	waitAtMost = time.Minute
	pollEvery  = 5 * time.Millisecond
)

// world is a worker with its activities, a cloud, a database and a spool.
type world struct {
	t      *testing.T
	cloud  *webscrapertest.Cloud
	db     *sqlx.DB
	spool  string
	ledger *postgres.Ledger
	// steps can be changed between two activities.
	steps *activities.Activities
}

func newWorld(t *testing.T, changes ...func(*webscrapertest.Options)) *world {
	t.Helper()
	options := webscrapertest.Options{Tokens: []string{apiToken}}
	for _, change := range changes {
		change(&options)
	}
	w := &world{
		t:     t,
		cloud: webscrapertest.NewServer(t, options),
		db:    connect(t, schematest.NewDatabase(t)),
		spool: t.TempDir(),
	}
	w.ledger = postgres.NewLedger(w.db, sink.DefaultAccount, 1_000_000)
	w.steps = &activities.Activities{
		Sink:              postgres.NewStore(w.db, nil),
		Store:             postgres.NewStore(w.db, nil),
		ImportConnections: 3,
		Spool:             openSpool(t, w.spool, 0),
		WorkerTaskQueue:   queue,
	}
	w.use(w.client(apiToken), w.ledger)
	return w
}

// use sets the client and the ledger of the default account.
func (w *world) use(cloud *webscraper.Client, ledger *postgres.Ledger) {
	w.steps.Accounts = map[string]*activities.Account{sink.DefaultAccount: activities.NewAccount(sink.DefaultAccount, cloud, ledger)}
}

func noGzip(o *webscrapertest.Options)   { o.NoGzip = true }
func noRanges(o *webscrapertest.Options) { o.NoRanges = true }

func connect(t *testing.T, databaseURL string) *sqlx.DB {
	t.Helper()
	db, err := postgres.Open(databaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func openSpool(t *testing.T, dir string, minFree int64) *activities.Spool {
	t.Helper()
	spool, err := activities.OpenSpool(dir, minFree)
	require.NoError(t, err)
	return spool
}

func (w *world) client(token string, options ...webscraper.Option) *webscraper.Client {
	w.t.Helper()
	client, err := webscraper.NewClient(token, append(options, webscraper.WithBaseURI(w.cloud.URL))...)
	require.NoError(w.t, err)
	return client
}

// environment returns an environment that runs activities as a worker does.
func (w *world) environment() *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestActivityEnvironment()
	w.steps.Register(env)
	return env
}

// run runs an activity by its registered name.
func run[Result any](w *world, activity string, in any) (result Result, err error) {
	w.t.Helper()
	return runIn[Result](w, w.environment(), activity, in)
}

func runIn[Result any](w *world, env *testsuite.TestActivityEnvironment, activity string, in any) (result Result, err error) {
	w.t.Helper()
	value, err := env.ExecuteActivity(activity, in)
	if err == nil && value.HasValue() {
		require.NoError(w.t, value.Get(&result))
	}
	return result, err
}

func (w *world) describe(id int64) activities.Description {
	w.t.Helper()
	result, err := activities.Describe(w.t.Context(), w.steps, id, activities.Filter{})
	require.NoError(w.t, err)
	return result
}

func (w *world) tryDownload(id int64) (activities.DownloadScrapingJobResult, error) {
	w.t.Helper()
	return run[activities.DownloadScrapingJobResult](w, "DownloadScrapingJob", activities.DownloadScrapingJobInput{ScrapingJobID: id, File: file})
}

// downloaded describes and downloads the job and returns the input of its import.
func (w *world) downloaded(id int64, pass int) activities.ImportRecordsInput {
	w.t.Helper()
	job := w.describe(id).Job
	download, err := w.tryDownload(id)
	require.NoError(w.t, err)
	return activities.ImportRecordsInput{
		Job: job, File: file, Bytes: download.Bytes, SHA256: download.SHA256,
		RunID: "run", Pass: pass, RequestedAt: time.Date(2026, 1, 1, 0, 0, pass, 0, time.UTC),
		BatchRecords: 10, MaxRecordBytes: 1 << 20,
	}
}

func (w *world) tryImport(in activities.ImportRecordsInput) (activities.ImportRecordsResult, error) {
	w.t.Helper()
	return run[activities.ImportRecordsResult](w, "ImportRecords", in)
}

// imported downloads and imports the job.
func (w *world) imported(id int64, pass int) (activities.ImportRecordsInput, activities.ImportRecordsResult) {
	w.t.Helper()
	in := w.downloaded(id, pass)
	result, err := w.tryImport(in)
	require.NoError(w.t, err)
	return in, result
}

func (w *world) count(query string, args ...any) (n int64) {
	w.t.Helper()
	require.NoError(w.t, w.db.Get(&n, query, args...))
	return n
}

// visible counts the records that readers see.
func (w *world) visible() int64 {
	w.t.Helper()
	return w.count(`SELECT count(*) FROM scrapehaul.scraped_records`)
}

// requests counts the API calls that the cloud received.
func (w *world) requests(method, path string) (n int) {
	for _, request := range w.cloud.Requests() {
		if request.Method == method && strings.HasSuffix(request.Path, path) {
			n++
		}
	}
	return n
}

func (w *world) downloads() int { return w.requests(http.MethodGet, "/json") }

func (w *world) lastRequest() webscrapertest.Request {
	requests := w.cloud.Requests()
	return requests[len(requests)-1]
}

// lastAnswered returns the last request with its status, which the cloud records right
// after the client has the complete response.
func (w *world) lastAnswered() webscrapertest.Request {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.lastRequest().Status != 0 }, waitAtMost, pollEvery)
	return w.lastRequest()
}

// files lists the spool without hidden files.
func (w *world) files() []string {
	w.t.Helper()
	entries, err := os.ReadDir(w.spool)
	require.NoError(w.t, err)
	var names []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	return names
}

func (w *world) write(name, content string) {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile(filepath.Join(w.spool, name), []byte(content), 0o600))
}

// requireFailure requires the type of the error that Temporal gets, and whether it is
// retried.
func requireFailure(t *testing.T, err error, kind string, retried bool) {
	t.Helper()
	failure := failureOf(t, err)
	require.Equal(t, kind, failure.Type(), failure.Message())
	require.Equal(t, retried, !failure.NonRetryable(), failure.Message())
}

// failureOf returns the error that Temporal gets.
func failureOf(t *testing.T, err error) *temporal.ApplicationError {
	t.Helper()
	var failure *temporal.ApplicationError
	require.ErrorAs(t, err, &failure)
	return failure
}
