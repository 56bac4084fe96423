package activities_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestUntrustedCertificateHasItsOwnAdvice(t *testing.T) {
	t.Parallel()
	untrusted := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	for _, err := range []error{untrusted, activities.FromCloud(untrusted)} {
		require.Equal(t, "The workers do not trust the server's certificate: ", activities.Advice(err))
	}
}

// What is retried briefly becomes final within a minute.
func TestWhatAFewAttemptsDoNotFixNeedsAnOperator(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind     string
		breakIt  func(w *world)
		sentence string
	}{
		"a missing spool": {activities.ErrorSpool, func(w *world) { require.NoError(t, os.RemoveAll(w.spool)) }, "SPOOL_DIR of the workers"},
		"an added constraint": {activities.ErrorDatabaseRefuses, func(w *world) {
			w.db.MustExec(`ALTER TABLE scrapehaul.scraping_jobs ADD CHECK (sitemap_name = 'mine')`)
		}, "no retry helps"},
		"a hook that panics": {activities.ErrorRecordHook, func(w *world) {
			w.steps.RecordHook = func(context.Context, sink.ScrapingJob, int64, []byte) ([]byte, error) {
				var config *struct{ rate int }
				return []byte(strconv.Itoa(config.rate)), nil
			}
		}, "nil pointer dereference"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5, 1)}), 1)
			c.breakIt(w)
			activity, input := "ImportRecords", any(in)
			if c.kind == activities.ErrorSpool {
				activity, input = "DownloadScrapingJob", activities.DownloadScrapingJobInput{ScrapingJobID: in.Job.ScrapingJobID, File: file}
			}
			var suite testsuite.WorkflowTestSuite
			suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
			env := suite.NewTestWorkflowEnvironment()
			w.steps.Register(env)
			started := env.Now()
			env.ExecuteWorkflow(func(ctx workflow.Context) error {
				ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
					StartToCloseTimeout: waitAtMost, RetryPolicy: &temporal.RetryPolicy{MaximumInterval: time.Minute, MaximumAttempts: 40},
				})
				return workflow.ExecuteActivity(ctx, activity, input).Get(ctx, nil)
			})
			err := env.GetWorkflowError()
			requireFailure(t, err, c.kind, false)
			require.ErrorContains(t, err, c.sentence)
			require.Less(t, env.Now().Sub(started), time.Minute)
		})
	}
}

func TestNameTooLongForTheIndexNeedsAnOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	name := make([]byte, 2000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(name)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{SitemapName: hex.EncodeToString(name), Records: webscrapertest.Products(5, 1)}), 1)
	_, err := w.tryImport(in)
	requireFailure(t, err, activities.ErrorDatabaseRefuses, false)
	require.ErrorContains(t, err, "PostgreSQL refuses the write, and no retry helps: ")
	require.ErrorContains(t, err, "index row")
}

func TestAnswersOfTheCloudDecideWhetherTemporalRetries(t *testing.T) {
	t.Parallel()
	const small, download = "FindDueScrapingJobs", "DownloadScrapingJob"
	invalid := func(_ *webscrapertest.Cloud, _ http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"success":false,"validationErrors":{"api_token":["` + r.URL.Query().Get("api_token") + ` is odd"]}}`))
		})
	}
	for _, c := range []struct {
		name     string
		activity string
		effect   webscrapertest.Effect
		kind     string
		retried  bool
		delay    time.Duration
		message  string
	}{
		{name: "401", activity: small, effect: webscrapertest.FailWith(401), kind: activities.ErrorTokenRefused, message: "fix WEBSCRAPER_API_TOKEN of the workers: webscraper: list scraping jobs"},
		{name: "403", activity: small, effect: webscrapertest.FailWith(403), kind: activities.ErrorRequestRefused, message: "403 Forbidden"},
		{name: "404 on download", activity: download, effect: webscrapertest.FailWith(404), kind: activities.ErrorJobGone, message: "404 Not Found"},
		{name: "422", activity: small, effect: invalid, kind: activities.ErrorRequestRefused, message: "is odd"},
		{
			name: "429 on download", activity: download, effect: webscrapertest.TooManyRequests(7 * time.Second),
			kind: activities.ErrorRateLimited, retried: true, delay: 8 * time.Second, message: "429",
		},
		{name: "500", activity: small, effect: webscrapertest.FailWith(500), kind: activities.ErrorCloud, retried: true, message: "An error occured"},
		{name: "502 with HTML", activity: small, effect: webscrapertest.FailWithHTML(502), kind: activities.ErrorCloud, retried: true, message: "502 Bad Gateway"},
		{name: "503 with HTML on download", activity: download, effect: webscrapertest.FailWithHTML(503), kind: activities.ErrorCloud, retried: true, message: "503"},
		{name: "200 without a body", activity: small, effect: webscrapertest.Empty(), kind: activities.ErrorCloud, retried: true, message: "the body is empty"},
		{name: "hang", activity: small, effect: webscrapertest.Hang(), kind: activities.ErrorCloud, retried: true, message: "no complete response within"},
		{name: "hang on download", activity: download, effect: webscrapertest.Hang(), kind: activities.ErrorCloud, retried: true, message: "sent nothing for"},
		{name: "hang during a download", activity: download, effect: webscrapertest.HangAt(1000), kind: activities.ErrorCloud, retried: true, message: "sent nothing for"},
		{name: "reset", activity: small, effect: webscrapertest.Reset(), kind: activities.ErrorCloud, retried: true, message: "connection reset"},
		{name: "reset on download", activity: download, effect: webscrapertest.Reset(), kind: activities.ErrorCloud, retried: true, message: "connection reset"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.use(w.client(apiToken, webscraper.WithTimeout(300*time.Millisecond), webscraper.WithIdleTimeout(300*time.Millisecond)), w.ledger)
			id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
			w.cloud.Inject(webscrapertest.Fault{Effect: c.effect})
			_, err := run[any](w, c.activity, map[string]any{"page": 1, "scrapingjob_id": id, "file": file})
			requireFailure(t, err, c.kind, c.retried)
			require.InDelta(t, c.delay, failureOf(t, err).NextRetryDelay(), float64(time.Second))
			require.ErrorContains(t, err, c.message)
			require.NotContains(t, err.Error(), apiToken)
			require.Empty(t, w.files())
		})
	}
}

func TestWrongTokenIsRefusedAndNotRepeated(t *testing.T) {
	t.Parallel()
	const wrong = "withdrawn-token-zx83"
	w := newWorld(t)
	w.use(w.client(wrong), w.ledger)
	id := w.cloud.AddJob(webscrapertest.Job{})
	for _, activity := range []string{"FindDueScrapingJobs", "DownloadScrapingJob"} {
		_, err := run[any](w, activity, map[string]any{"page": 1, "scrapingjob_id": id, "file": file})
		requireFailure(t, err, activities.ErrorTokenRefused, false)
		require.NotContains(t, err.Error(), wrong)
	}
}

func TestCloudThatIsUnreachableIsRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cloud, err := webscraper.NewClient(apiToken, webscraper.WithBaseURI("http://"+closedPort(t)))
	require.NoError(t, err)
	w.use(cloud, w.ledger)
	_, err = run[any](w, "FindDueScrapingJobs", activities.FindDueScrapingJobsInput{Page: 1})
	requireFailure(t, err, activities.ErrorCloud, true)
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), apiToken)
}

func TestDatabaseWithoutTheSchemaNeedsAnOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5, 1)})
	in := w.downloaded(id, 1)
	w.db.MustExec(`DROP SCHEMA scrapehaul CASCADE`)
	for activity, input := range databaseSteps(in) {
		_, err := run[any](w, activity, input)
		requireFailure(t, err, activities.ErrorDatabaseRefuses, false)
		require.ErrorContains(t, err, "does not exist", activity)
	}
}

func TestRefusingMappedTableNeedsAnOperator(t *testing.T) {
	t.Parallel()
	var long strings.Builder // too long for an index, even compressed
	for n := range 300 {     // 19 KB
		fmt.Fprintf(&long, "%x", sha256.Sum256([]byte{byte(n), byte(n >> 8)}))
	}
	const table = `CREATE TABLE public.products (scrapingjob_id bigint, url text); `
	for name, refuses := range map[string]string{
		"another row": `INSERT INTO public.products VALUES (1, 'a'); CREATE UNIQUE INDEX ON public.products ((true))`,
		"a constraint at the commit": `CREATE TABLE public.known (url text PRIMARY KEY);
			ALTER TABLE public.products ADD FOREIGN KEY (url) REFERENCES public.known DEFERRABLE INITIALLY DEFERRED`,
		"the limit of an index": `CREATE INDEX ON public.products (url)`,
		"a trigger": `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
			CREATE TRIGGER no BEFORE INSERT ON public.products FOR EACH ROW EXECUTE FUNCTION no()`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.db.MustExec(table + refuses)
			mappings, err := mapping.Parse("mappings.yaml", []byte(
				"mappings: [{sitemap: shop, table: products, columns: [{name: url, type: text}], mode: replace-job}]"))
			require.NoError(t, err)
			w.steps.Sink = postgres.NewStore(w.db, mappings)
			in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.JSONLines(`{"url":"` + long.String() + `"}`)}), 1)
			_, err = w.tryImport(in)
			requireFailure(t, err, activities.ErrorMappedTable, false)
			require.ErrorContains(t, err, "Nothing was published; fix the table or its mapping")
			require.ErrorContains(t, err, "publishing import 1: table public.products: ")
			require.Zero(t, w.visible())
		})
	}
}

func TestDatabaseThatIsUnreachableIsRetried(t *testing.T) {
	t.Parallel()
	const password = "password-zx84"
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5, 1)}), 1)
	for name, address := range map[string]string{
		"no listener":         closedPort(t),
		"the connection ends": closingServer(t),
	} {
		t.Run(name, func(t *testing.T) {
			w.steps.Sink = postgres.NewStore(connect(t, "postgres://importer:"+password+"@"+address+"/scrapehaul?sslmode=disable"), nil)
			for activity, input := range databaseSteps(in) {
				_, err := run[any](w, activity, input)
				requireFailure(t, err, activities.ErrorDatabase, true)
				require.NotContains(t, err.Error(), password)
			}
		})
	}
}

func databaseSteps(in activities.ImportRecordsInput) map[string]any {
	return map[string]any{
		"DownloadScrapingJob": activities.DownloadScrapingJobInput{ScrapingJobID: in.Job.ScrapingJobID, File: file, IfDue: &activities.IfDue{}},
		"ImportRecords":       in,
		"DeleteScrapingJob":   activities.DeleteScrapingJobInput{Job: in.Job, ImportID: 1},
	}
}

func TestLongErrorIsCutToValidText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, shift := range []string{"", "a"} { // one of them puts the cut inside a character
		_, err := run[any](w, "RemoveFile", activities.RemoveFileInput{File: shift + strings.Repeat("é", 5000) + "/"})
		message := failureOf(t, err).Message()
		require.Less(t, len(message), 2100)
		require.True(t, utf8.ValidString(message), "protobuf refuses anything else")
	}
}

// closedPort returns an address without a listener.
func closedPort(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// closingServer returns the address of a server that closes each connection immediately,
// like one that is shutting down.
func closingServer(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_ = connection.Close()
		}
	}()
	return listener.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return listener
}

// The error of reading a canceled body is the cause, which is not context.Canceled.
func TestCanceledStepReturnsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := temporal.NewCanceledError()
	cancel(cause)
	require.Equal(t, context.Canceled, activities.Classify(ctx, fmt.Errorf("the body broke off: %w", cause)))
}

// The context has ended because the worker did not wait for the step any longer.
func TestStepOfAStoppedWorkerSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(worker.ErrWorkerShutdown)
	for _, err := range []error{ctx.Err(), context.Cause(ctx)} {
		requireFailure(t, activities.Classify(ctx, fmt.Errorf("counting records: %w", err)), activities.ErrorWorkerStopping, true)
	}
}
