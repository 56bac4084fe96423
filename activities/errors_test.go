package activities_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"
	"gocloud.dev/blob/fileblob"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// The whole table: what kind of problem an error is, what is done about it, and
// why. Whatever a retry may mend is retried for about an hour, and its last failure
// can be seen meanwhile; what none can mend is before a person within a minute.
func TestEveryErrorIsRetriedOrPutBeforeAPerson(t *testing.T) {
	t.Parallel()
	const retried, atOnce, doubted, final = "retried", "retried at once", "doubted", "final"
	type row struct {
		errs, kind, verdict, why string
	}
	check := func(table []row, errorOf func(name string) error) (seen map[string]bool) {
		seen = map[string]bool{}
		for _, row := range table {
			for name := range strings.FieldsSeq(row.errs) {
				kind, verdict := activities.Judge(errorOf(name))
				require.Equal(t, [2]string{row.kind, row.verdict}, [2]string{kind, verdict}, "%s: %s", name, row.why)
				require.False(t, seen[name], name)
				seen[name] = true
			}
		}
		return seen
	}
	const down, refuses, mapped = activities.ErrorDatabase, activities.ErrorDatabaseRefuses, activities.ErrorMappedTable
	sqlstate := func(code string) error {
		return fmt.Errorf("committing a batch: %w", &pq.Error{Code: pqerror.Code((code + "000")[:5])})
	}

	// A class stands for those of its codes that are not named.
	classes := check([]row{
		{"00 01 02 03 0B 0F 0L 0P 0Z 20 24 26 2D 34 3B F0", refuses, doubted, "no answer to what is asked: a pooler between, or an error of ours"},
		{"10 72 UE", refuses, doubted, "of no class that we know: an extension's, a pooler's, or a rule of somebody's"},
		{"08 08P01", down, retried, "the connection, or that of the pooler"},
		{"09 21 22 27 2B 2F 38 39 44 P0", refuses, final, "a rule, a trigger or a value: the same the next time"},
		{"0A", refuses, doubted, "a plan that a change of the schema has overtaken is made anew"},
		{"23 23505 40002", refuses, doubted, "a race with another attempt, or a constraint that somebody has added"},
		{"25", refuses, doubted, "a transaction in a state that the next has not"},
		{"25006", down, retried, "read-only: a failover, or a disk that is full"},
		{"25P03 25P04", down, retried, "a timeout of the role"},
		{"28 28P01", down, retried, "the password may be rotated while we retry"},
		{"3D 3F", refuses, final, "the database or the schema is not there"},
		{"40 40001 40P01 40003", down, atOnce, "serialization, deadlock: another attempt is all that is missing"},
		{"42 42501 42P01 42703", refuses, final, "a right, a table or a column is missing"},
		{"53 53100 53200 53300", down, retried, "disk full, memory, connections: all may be free again"},
		{"53400", refuses, final, "a configured limit, like temp_file_limit"},
		{"54 54001 54011", refuses, final, "a limit of PostgreSQL: an index row of a name of 4,000 bytes"},
		{"55 55P02", refuses, final, "no replica identity, or no connections allowed: only an ALTER helps"},
		{"55006 55P03", down, retried, "somebody holds it"},
		{"57 57014 57P01 57P02 57P03 57P05", down, retried, "shut down, starting, cancelled"},
		{"57P04", refuses, final, "the database was dropped"},
		{"58 58030", down, retried, "the server's system: an I/O error may pass"},
		{"58P01 58P03", refuses, final, "a file of the server is missing"},
		{"58P02", down, retried, "as its class"},
		{"HV", refuses, doubted, "a foreign table"},
		{"HV001 HV00N", down, retried, "a foreign server that is not reached"},
		{"XX", refuses, doubted, "internal: a concurrent change of the schema, or a pooler's own words"},
		{"XX001 XX002", refuses, final, "a table or an index is corrupt"},
	}, sqlstate)
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for _, first := range digits {
		for _, second := range digits {
			if class := string(first) + string(second); pqerror.Class(class).Name() != "" {
				require.True(t, classes[class], "class %s is not in the table", class)
			}
		}
	}
	check([]row{
		{"09 0A 21 22 23 27 38 39 3F 42 44 54 55 P0 UE", mapped, final, "the table's own rule"},
		{"HV XX", mapped, doubted, "a foreign table, or a concurrent change"},
		{"08 53 57 25006 55P03", down, retried, "not about the table"},
		{"40", down, atOnce, "as everywhere"},
	}, func(code string) error { return &postgres.MappedTableError{Err: sqlstate(code)} })

	statuses := check([]row{
		{"100 101 102 103 200 201 202 203 204 205 206 207 208 226", activities.ErrorCloud, retried, "not the API's: a proxy's page may pass"},
		{"300 301 302 303 304 305 307 308", activities.ErrorRequestRefused, final, "a redirect that is not followed: the base URI is wrong"},
		{"400 401 402 403 405 406 407 409 410 411 412 413 414 415 416 417 418 422 424 426 428 431 451", activities.ErrorRequestRefused, final, "refused, now and later"},
		{"404", activities.ErrorJobGone, final, "the import begins again with the description"},
		{"408 421 423 425 499", activities.ErrorCloud, retried, "about this connection or this moment only"},
		{"429", activities.ErrorRateLimited, retried, "when the API says"},
		{"500 502 503 504 506 507 508 510 511 520 599", activities.ErrorCloud, retried, "the server's trouble"},
		{"501 505", activities.ErrorRequestRefused, final, "something between us and the API does not speak its language"},
	}, func(status string) error {
		code, err := strconv.Atoi(status)
		require.NoError(t, err)
		return activities.FromCloud(&webscraper.Error{StatusCode: code})
	})
	for status := range 600 {
		require.True(t, http.StatusText(status) == "" || statuses[strconv.Itoa(status)], "status %d is not in the table", status)
	}
	check([]row{
		{"401 403 404 410", activities.ErrorRequestRefused, doubted, "neither the token nor the job is what another host speaks of: its URL has expired, say"},
		{"429", activities.ErrorRateLimited, retried, "when it says"},
		{"500 503", activities.ErrorCloud, retried, "the server's trouble"},
	}, func(status string) error {
		code, err := strconv.Atoi(status)
		require.NoError(t, err)
		return activities.FromCloud(&webscraper.Error{StatusCode: code, RedirectedTo: "https://files.test"})
	})

	errnos := map[string]syscall.Errno{
		"ENOSPC": syscall.ENOSPC, "EDQUOT": syscall.EDQUOT, "EROFS": syscall.EROFS, "EACCES": syscall.EACCES, "EPERM": syscall.EPERM,
		"ENOENT": syscall.ENOENT, "ENOTDIR": syscall.ENOTDIR, "EISDIR": syscall.EISDIR, "ELOOP": syscall.ELOOP,
		"ENAMETOOLONG": syscall.ENAMETOOLONG, "EFBIG": syscall.EFBIG, "EINVAL": syscall.EINVAL, "ENOSYS": syscall.ENOSYS,
		"EIO": syscall.EIO, "EMFILE": syscall.EMFILE, "ENFILE": syscall.ENFILE, "ESTALE": syscall.ESTALE, "EBUSY": syscall.EBUSY,
		"EINTR": syscall.EINTR, "EAGAIN": syscall.EAGAIN, "ENOMEM": syscall.ENOMEM, "ENODEV": syscall.ENODEV, "ENOTCONN": syscall.ENOTCONN,
	}
	files := []row{
		{"ENOSPC EDQUOT", activities.ErrorDiskFull, retried, "there may be room again"},
		{"EROFS EACCES EPERM ENOENT ENOTDIR EISDIR ELOOP ENAMETOOLONG EFBIG EINVAL ENOSYS", activities.ErrorSpool, doubted, "for good, but perhaps on this worker only"},
		{"EIO EMFILE ENFILE ESTALE EBUSY EINTR EAGAIN ENOMEM ENODEV ENOTCONN", activities.ErrorOther, retried, "the disk, the mount or the process may recover"},
	}
	for _, wrap := range []func(error) error{
		func(err error) error { return &fs.PathError{Op: "write", Path: "/spool/file", Err: err} },
		func(err error) error { return &os.LinkError{Op: "rename", Old: "/spool/a", New: "/spool/b", Err: err} },
		func(err error) error {
			return activities.FromCloud(fmt.Errorf("download: %w", &fs.PathError{Op: "write", Err: err}))
		},
	} {
		check(files, func(name string) error { return fmt.Errorf("naming the spool file: %w", wrap(errnos[name])) })
	}

	unreachable := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EACCES)}
	untrusted := &url.Error{Op: "Get", Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}
	nowhere, err := fileblob.OpenBucket(t.TempDir(), nil)
	require.NoError(t, err)
	noBucket := nowhere.Delete(t.Context(), "nothing") // NotFound, as a bucket that is not there
	others := map[string]error{
		"network":           activities.FromCloud(unreachable),
		"certificate":       activities.FromCloud(untrusted),
		"database-network":  unreachable,
		"database-cut":      io.ErrUnexpectedEOF,
		"database-untrust":  untrusted,
		"archive":           activities.FromArchive(unreachable),
		"archive-no-right":  activities.FromArchive(&fs.PathError{Op: "open", Err: syscall.EACCES}),
		"archive-no-bucket": activities.FromArchive(noBucket),
		"mapped-mend":       &postgres.MappedTableError{Err: errors.New("no replica identity"), Mend: []string{"ALTER TABLE …"}},
		"superseded":        sink.ErrSuperseded,
		"else":              errors.New("something else"),
	}
	check([]row{
		{"network", activities.ErrorCloud, retried, "the cloud, or what is between"},
		{"certificate", activities.ErrorRequestRefused, final, "who answers is not the API"},
		{"database-network database-cut", down, retried, "restart or failover"},
		{"database-untrust", refuses, final, "who answers is not the database"},
		{"archive", activities.ErrorArchive, retried, "the store, or what is between"},
		{"archive-no-right archive-no-bucket", activities.ErrorArchive, doubted, "the bucket is missing, or not ours to write"},
		{"mapped-mend", mapped, final, "the sentence has the statement that mends it"},
		{"superseded", activities.ErrorSuperseded, final, "the import begins again, if it is still wanted"},
		{"else", activities.ErrorOther, retried, "nobody knows"},
	}, func(name string) error { return others[name] })
}

func TestCertificateThatIsNotTrustedIsNoRefusalOfWhatIsWritten(t *testing.T) {
	t.Parallel()
	untrusted := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	for _, err := range []error{untrusted, activities.FromCloud(untrusted)} {
		require.Equal(t, "The workers do not trust the certificate of what answers: ", activities.Advice(err))
	}
}

// A worker's attempts at what is doubted end within a minute.
func TestWhatAFewAttemptsDoNotMendNeedsAPerson(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind     string
		breakIt  func(w *world)
		sentence string
	}{
		"a spool that is not there": {activities.ErrorSpool, func(w *world) { require.NoError(t, os.RemoveAll(w.spool)) }, "SPOOL_DIR of the workers"},
		"a constraint that was added": {activities.ErrorDatabaseRefuses, func(w *world) {
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
			begun := env.Now()
			env.ExecuteWorkflow(func(ctx workflow.Context) error {
				ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
					StartToCloseTimeout: waitAtMost, RetryPolicy: &temporal.RetryPolicy{MaximumInterval: time.Minute, MaximumAttempts: 40},
				})
				return workflow.ExecuteActivity(ctx, activity, input).Get(ctx, nil)
			})
			err := env.GetWorkflowError()
			requireFailure(t, err, c.kind, false)
			require.ErrorContains(t, err, c.sentence)
			require.Less(t, env.Now().Sub(begun), time.Minute)
		})
	}
}

func TestNameThatIsTooLongForTheIndexNeedsAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	name := make([]byte, 2000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(name)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{SitemapName: hex.EncodeToString(name), Records: webscrapertest.Products(5, 1)}), 1)
	_, err := w.tryImport(in)
	requireFailure(t, err, activities.ErrorDatabaseRefuses, false)
	require.ErrorContains(t, err, "PostgreSQL refuses what has to be written, and no retry helps: ")
	require.ErrorContains(t, err, "index row")
}

func TestAnswersOfTheCloudDecideWhetherTemporalTriesAgain(t *testing.T) {
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
		{name: "401", activity: small, effect: webscrapertest.FailWith(401), kind: activities.ErrorRequestRefused, message: "put WEBSCRAPER_API_TOKEN of the workers right: webscraper: list scraping jobs"},
		{name: "403", activity: small, effect: webscrapertest.FailWith(403), kind: activities.ErrorRequestRefused, message: "403 Forbidden"},
		{name: "404 on download", activity: download, effect: webscrapertest.FailWith(404), kind: activities.ErrorJobGone, message: "404 Not Found"},
		{name: "422", activity: small, effect: invalid, kind: activities.ErrorRequestRefused, message: "is odd"},
		{
			name: "429", activity: small, effect: webscrapertest.TooManyRequests(90 * time.Second),
			kind: activities.ErrorRateLimited, retried: true, delay: 91 * time.Second, message: "429",
		},
		{
			name: "429 on download", activity: download, effect: webscrapertest.TooManyRequests(7 * time.Second),
			kind: activities.ErrorRateLimited, retried: true, delay: 8 * time.Second, message: "429",
		},
		{name: "500", activity: small, effect: webscrapertest.FailWith(500), kind: activities.ErrorCloud, retried: true, message: "An error occured"},
		{name: "502 with HTML", activity: small, effect: webscrapertest.FailWithHTML(502), kind: activities.ErrorCloud, retried: true, message: "502 Bad Gateway"},
		{name: "503 with HTML on download", activity: download, effect: webscrapertest.FailWithHTML(503), kind: activities.ErrorCloud, retried: true, message: "503"},
		{name: "200 without a body", activity: small, effect: webscrapertest.Empty(), kind: activities.ErrorCloud, retried: true, message: "the body is empty"},
		{name: "hang", activity: small, effect: webscrapertest.Hang(), kind: activities.ErrorCloud, retried: true, message: "no complete answer within"},
		{name: "hang on download", activity: download, effect: webscrapertest.Hang(), kind: activities.ErrorCloud, retried: true, message: "sent nothing for"},
		{name: "hang amid a download", activity: download, effect: webscrapertest.HangAt(1000), kind: activities.ErrorCloud, retried: true, message: "sent nothing for"},
		{name: "reset", activity: small, effect: webscrapertest.Reset(), kind: activities.ErrorCloud, retried: true, message: "connection reset"},
		{name: "reset on download", activity: download, effect: webscrapertest.Reset(), kind: activities.ErrorCloud, retried: true, message: "connection reset"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.steps.Cloud = w.client(apiToken, webscraper.WithTimeout(300*time.Millisecond), webscraper.WithIdleTimeout(300*time.Millisecond))
			id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
			w.cloud.Inject(webscrapertest.Fault{Effect: c.effect})
			_, err := run[any](w, c.activity, map[string]any{"page": 1, "scrapingjob_id": id, "file": file})
			requireFailure(t, err, c.kind, c.retried)
			require.Equal(t, c.delay, failureOf(t, err).NextRetryDelay())
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
	w.steps.Cloud = w.client(wrong)
	id := w.cloud.AddJob(webscrapertest.Job{})
	for _, activity := range []string{"FindDueScrapingJobs", "DownloadScrapingJob"} {
		_, err := run[any](w, activity, map[string]any{"page": 1, "scrapingjob_id": id, "file": file})
		requireFailure(t, err, activities.ErrorRequestRefused, false)
		require.NotContains(t, err.Error(), wrong)
	}
}

func TestCloudThatIsNotThereIsRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var err error
	w.steps.Cloud, err = webscraper.NewClient(apiToken, webscraper.WithBaseURI("http://"+closedPort(t)))
	require.NoError(t, err)
	_, err = run[any](w, "FindDueScrapingJobs", activities.FindDueScrapingJobsInput{Page: 1})
	requireFailure(t, err, activities.ErrorCloud, true)
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), apiToken)
}

func TestDatabaseWithoutTheSchemaNeedsAPerson(t *testing.T) {
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

func TestMappedTableThatRefusesNeedsAPerson(t *testing.T) {
	t.Parallel()
	var long strings.Builder // cannot be compressed to what an index takes
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
			require.ErrorContains(t, err, "Nothing was published; put the table or its mapping")
			require.ErrorContains(t, err, "publishing import 1: table public.products: ")
			require.Zero(t, w.visible())
		})
	}
}

func TestDatabaseThatIsGoneIsRetried(t *testing.T) {
	t.Parallel()
	const password = "password-zx84"
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(5, 1)}), 1)
	for name, address := range map[string]string{
		"nobody listens":      closedPort(t),
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

func TestLongErrorIsCutToTextThatTemporalTakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, shift := range []string{"", "a"} { // one of them puts the cut inside a character
		_, err := run[any](w, "RemoveFile", activities.RemoveFileInput{File: shift + strings.Repeat("é", 5000) + "/"})
		message := failureOf(t, err).Message()
		require.Less(t, len(message), 2100)
		require.True(t, utf8.ValidString(message), "protobuf refuses anything else")
	}
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// closingServer is the address of a server that ends each connection at once,
// as one that shuts down does.
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

// What net/http returns of a cancelled body is the cause, which is no context.Canceled.
func TestCancelledStepIsCancelledWhateverItWasDoing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := temporal.NewCanceledError()
	cancel(cause)
	require.Equal(t, context.Canceled, activities.Classify(ctx, fmt.Errorf("the body broke off: %w", cause)))
}
