// Package systemtest runs a complete scrapehaul system for a test: the worker and the
// starter as separate processes, as in production, a real Temporal server, a real
// PostgreSQL, and a fake Web Scraper Cloud. Its own tests follow imports from the
// notification to the end.
package systemtest

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // the driver "postgres"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/testbed/builtprograms"
	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

var record = flag.String("record", "", "write the histories of the end-to-end tests into this `folder`; only from merged code")

// Secrets that must not leak.
const (
	APIToken     = "api-token-zx81"
	WebhookToken = "webhook-token-zx82"
)

// patience is long enough for much slower machines.
const patience = 3 * time.Minute

// programs builds the worker and the starter once for all tests.
var programs = sync.OnceValues(func() (builtprograms.Programs, error) {
	dir, err := os.MkdirTemp("", "scrapehaul-programs-")
	if err != nil {
		return builtprograms.Programs{}, err
	}
	programDir = dir
	return builtprograms.Build(context.Background(), dir, buildTags...)
})

var (
	programDir string
	buildTags  []string
)

// Main is the TestMain of a package that uses [New].
func Main(m *testing.M) {
	flag.Parse()
	os.Exit(Run(m))
}

// Run is [Main] for a TestMain that does more, or needs programs built with tags.
func Run(m *testing.M, tags ...string) (code int) {
	buildTags = tags
	SetParallel(4)
	code = m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
	return code
}

// SetParallel sets the number of parallel tests, unless it is set already or the command line
// sets it: system tests mostly wait, whatever the number of cores.
func SetParallel(tests int) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(tests)) // a number
	}
}

// System is a complete scrapehaul system for one test.
type System struct {
	T        *testing.T
	Programs builtprograms.Programs
	Env      builtprograms.Environment
	Cloud    *webscrapertest.Cloud
	Temporal client.Client
	DB       *sqlx.DB
	Spool    string // a folder for the first worker
	Log      *programtest.Log
	Webhook  string   // the URL, with its token
	Secrets  []string // additional ones that must not leak

	pending pendingActivities
	scraped []string // of processes that have ended
}

// New starts everything except workers, on servers shared by all tests of the process.
func New(t *testing.T, settings map[string]string, changes ...func(*webscrapertest.Options)) *System {
	t.Helper()
	return NewOn(t, temporaltest.NewNamespace(t), postgrestest.NewDatabase(t), settings, changes...)
}

// NoGzip makes the cloud send downloads uncompressed.
func NoGzip(o *webscrapertest.Options) { o.NoGzip = true }

// NewOn is [New] on the test's own servers.
func NewOn(
	t *testing.T, namespace temporaltest.Namespace, databaseURL string, settings map[string]string, changes ...func(*webscrapertest.Options),
) *System {
	t.Helper()
	built, err := programs()
	require.NoError(t, err)
	cloud := webscrapertest.Options{Tokens: []string{APIToken}}
	for _, change := range changes {
		change(&cloud)
	}
	s := &System{
		T:        t,
		Programs: built,
		Cloud:    webscrapertest.NewServer(t, cloud),
		Temporal: namespace.Client,
		Spool:    t.TempDir(),
		Log:      new(programtest.Log),
	}
	s.DB, err = sqlx.Open("postgres", databaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.DB.Close()) })
	s.Env = builtprograms.Environment{
		TemporalAddress:   namespace.HostPort,
		TemporalNamespace: namespace.Name,
		DatabaseURL:       databaseURL,
		APIBaseURI:        s.Cloud.URL,
		APIToken:          APIToken,
		WebhookToken:      WebhookToken,
		Settings:          withDefaults(settings),
		Log:               s.Log,
	}
	stopWatching := s.watchPendingActivities()
	t.Cleanup(func() {
		stopWatching()
		s.finish()
		if t.Failed() {
			t.Logf("logs:\n%s", s.Log)
		}
	})
	s.Webhook = s.StartStarter(s.Env)
	s.Cloud.SetWebhookURL(s.Webhook)
	return s
}

// StartStarter starts a starter, which stops with the test, and returns the URL of its
// webhook.
func (s *System) StartStarter(env builtprograms.Environment) (webhook string) {
	s.T.Helper()
	starter, webhook, err := s.Programs.StartStarter(env)
	require.NoError(s.T, err)
	s.T.Cleanup(func() {
		s.keepMetrics()
		require.NoError(s.T, starter.Stop())
	})
	return webhook
}

// withDefaults adds settings that keep tests from waiting for the API's rate limit and from
// being reconciled every 15 minutes, and that serve metrics.
func withDefaults(settings map[string]string) map[string]string {
	all := map[string]string{
		"API_CALLS_PER_15_MINUTES": "1000000", "RECONCILE_EVERY": "0",
		"HEALTH_ADDRESS": "127.0.0.1:0", "METRICS_ADDRESS": "127.0.0.1:0",
	}
	maps.Copy(all, settings)
	return all
}

// StartWorker starts a worker on the spool folder; it stops with the test.
func (s *System) StartWorker(spool string) *childprocess.Process {
	s.T.Helper()
	worker, err := s.Programs.StartWorker(s.Env, spool)
	require.NoError(s.T, err)
	s.T.Cleanup(func() {
		select {
		case <-worker.Done(): // by the test
		default:
			s.keepMetrics()
			require.NoError(s.T, worker.Stop())
		}
	})
	return worker
}

// Notify sends a notification as the cloud does, and requires that it is accepted.
func (s *System) Notify(id int64) {
	delivery, err := s.Cloud.SendWebhook(context.Background(), id)
	if err != nil || !delivery.Delivered {
		s.T.Errorf("notification of %d: %+v, %v", id, delivery, err)
	}
}

// Result waits for the end of the job's workflow.
func (s *System) Result(id int64) (result workflows.ImportScrapingJobResult) {
	s.T.Helper()
	ctx, cancel := context.WithTimeout(s.T.Context(), patience)
	defer cancel()
	err := s.Temporal.GetWorkflow(ctx, workflows.WorkflowID(id), "").Get(ctx, &result)
	if ctx.Err() != nil { // log the state that explains why
		described, _ := s.Temporal.DescribeWorkflowExecution(s.T.Context(), workflows.WorkflowID(id), "")
		s.T.Logf("the import of job %d has not ended: %s\nhistory: %s", id, described, s.History(s.Runs(id)[0]))
	}
	require.NoError(s.T, err)
	return result
}

// RunSitemap runs a new sitemap, and returns the ID of the created job.
func (s *System) RunSitemap(sitemapName string, startURLs ...string) (id int64) {
	s.T.Helper()
	in := contract.RunSitemapInput{SitemapID: s.Cloud.AddSitemap(webscrapertest.Sitemap{Name: sitemapName}), StartURLs: startURLs}
	run, _, err := workflows.StartRunSitemap(s.T.Context(), s.Temporal, workflows.DefaultTaskQueue, workflows.RunSitemapInput{RunSitemapInput: in})
	require.NoError(s.T, err)
	s.WaitForAnswer("a job", func() bool {
		var progress contract.RunSitemapProgress
		answer, err := s.Temporal.QueryWorkflow(s.T.Context(), run.GetID(), run.GetRunID(), workflows.ProgressQuery)
		if err == nil {
			require.NoError(s.T, answer.Get(&progress))
		}
		id = progress.ScrapingJobID
		return id != 0
	})
	return id
}

// WaitFor polls until the condition holds.
func (s *System) WaitFor(what string, condition func() bool) {
	s.T.Helper()
	require.Eventually(s.T, condition, patience, 20*time.Millisecond, what)
}

// WaitForAnswer is WaitFor for calls to Temporal: it polls less often, because each call is
// work for the server, and a query also for a worker.
func (s *System) WaitForAnswer(what string, condition func() bool) {
	s.T.Helper()
	require.Eventually(s.T, condition, patience, 100*time.Millisecond, what)
}

// WaitForSchedule polls until a starter has created the reconciliation schedule.
func (s *System) WaitForSchedule() {
	s.T.Helper()
	s.WaitForAnswer("the schedule", func() bool {
		there, err := workflows.ReadInstallation(s.T.Context(), s.Temporal, s.Env.TemporalNamespace)
		return err == nil && there != nil
	})
}

// WaitForStep polls until the import is at the step.
func (s *System) WaitForStep(id int64, step workflows.Step) {
	s.T.Helper()
	s.WaitForAnswer(string(step), func() bool { return s.Progress(id).Step == step })
}

// Progress queries the job's workflow; it is empty without an answer.
func (s *System) Progress(id int64) (progress workflows.Progress) {
	answer, err := s.Temporal.QueryWorkflow(s.T.Context(), workflows.WorkflowID(id), "", workflows.ProgressQuery)
	if err == nil {
		_ = answer.Get(&progress) // callers poll until it is not empty
	}
	return progress
}

// Attention waits until the import needs attention, and returns its question.
func (s *System) Attention(id int64) (says string) {
	s.T.Helper()
	s.WaitForAnswer("attention", func() bool {
		says = s.Progress(id).Attention
		return says != ""
	})
	return says
}

// Signal sends a signal without input to the job's workflow.
func (s *System) Signal(id int64, name string) {
	s.T.Helper()
	require.NoError(s.T, s.Temporal.SignalWorkflow(s.T.Context(), workflows.WorkflowID(id), "", name, nil))
}

// Count runs a query that returns a count.
func (s *System) Count(query string, args ...any) (n int64) {
	s.T.Helper()
	require.NoError(s.T, s.DB.Get(&n, query, args...))
	return n
}

// RequireRecords requires the records 1 to n of the job, each exactly once.
func (s *System) RequireRecords(id, n int64) {
	s.T.Helper()
	require.Equal(s.T, n, s.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id))
	require.Equal(s.T, n, s.Count(`SELECT count(DISTINCT web_scraper_order) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id))
	require.Equal(s.T, n, s.Count(`SELECT coalesce(max(record_number), 0) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id))
}

// RequireEmptySpool requires that no download is left in the spool.
func (s *System) RequireEmptySpool(spool string) {
	s.T.Helper()
	files, err := filepath.Glob(filepath.Join(spool, "[^.]*"))
	require.NoError(s.T, err)
	require.Empty(s.T, files, "files are left in the spool")
}

// Runs lists the runs of a job's workflow, or of all workflows if id is 0.
func (s *System) Runs(id int64) (runs []*workflowpb.WorkflowExecutionInfo) {
	query := ""
	if id != 0 {
		query = fmt.Sprintf("WorkflowId = '%d'", id)
	}
	for token := []byte(nil); ; {
		page, err := s.Temporal.ListWorkflow(context.Background(), &workflowservice.ListWorkflowExecutionsRequest{Query: query, NextPageToken: token})
		require.NoError(s.T, err)
		runs = append(runs, page.GetExecutions()...)
		if token = page.GetNextPageToken(); len(token) == 0 {
			return runs
		}
	}
}

// Downloads counts the downloads of a job.
func (s *System) Downloads(id int64) (n int) {
	for _, request := range s.Cloud.Requests() {
		if strings.HasSuffix(request.Path, fmt.Sprintf("scraping-job/%d/json", id)) {
			n++
		}
	}
	return n
}

// History returns a run's history.
func (s *System) History(run *workflowpb.WorkflowExecutionInfo) *historypb.History {
	events := s.Temporal.GetWorkflowHistory(context.Background(), run.GetExecution().GetWorkflowId(), run.GetExecution().GetRunId(),
		false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	history := &historypb.History{}
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(s.T, err)
		history.Events = append(history.Events, event)
	}
	return history
}
