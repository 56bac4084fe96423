package scrapehaul_test

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/scrapehaul/scrapehaul/internal/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/process/processtest"
	"github.com/scrapehaul/scrapehaul/internal/processes"
	"github.com/scrapehaul/scrapehaul/internal/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

var record = flag.String("record", "", "write the histories of the end-to-end tests into this `folder`; only from landed code")

// Secrets that must not appear where people look.
const (
	apiToken     = "api-token-zx81"
	webhookToken = "webhook-token-zx82"
)

// programs builds the worker and the starter once for all tests.
var programs = sync.OnceValues(func() (processes.Programs, error) {
	dir, err := os.MkdirTemp("", "scrapehaul-programs-")
	if err != nil {
		return processes.Programs{}, err
	}
	programDir = dir
	return processes.Build(context.Background(), dir)
})

var programDir string

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
	os.Exit(code)
}

// system is all of scrapehaul around one test: real Temporal and PostgreSQL,
// worker and starter as processes, and the stand-in cloud.
type system struct {
	t        *testing.T
	programs processes.Programs
	env      processes.Environment
	cloud    *webscrapertest.Server
	temporal client.Client
	db       *sqlx.DB
	spool    string
	log      *processtest.Log
	webhook  string
}

// newSystem starts everything but workers.
func newSystem(t *testing.T, settings map[string]string, options ...webscrapertest.Option) *system {
	t.Helper()
	built, err := programs()
	require.NoError(t, err)
	namespace := temporaltest.NewNamespace(t)
	s := &system{
		t:        t,
		programs: built,
		cloud:    webscrapertest.NewServer(t, append(options, webscrapertest.WithToken(apiToken))...),
		temporal: namespace.Client,
		spool:    t.TempDir(),
		log:      new(processtest.Log),
	}
	database := postgrestest.NewDatabase(t)
	s.db, err = sqlx.Open("postgres", database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.db.Close()) })
	s.env = processes.Environment{
		TemporalAddress:   namespace.HostPort,
		TemporalNamespace: namespace.Name,
		DatabaseURL:       database,
		APIBaseURI:        s.cloud.URL,
		APIToken:          apiToken,
		WebhookToken:      webhookToken,
		Settings:          settings,
		Log:               s.log,
	}
	starter, webhook, err := built.StartStarter(s.env)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, starter.Stop())
		s.finish()
		if t.Failed() {
			t.Logf("logs:\n%s", s.log)
		}
	})
	s.webhook = webhook
	s.cloud.SetWebhookURL(webhook)
	return s
}

func (s *system) startWorker(spool string) *childprocess.Process {
	s.t.Helper()
	worker, err := s.programs.StartWorker(s.env, spool)
	require.NoError(s.t, err)
	s.t.Cleanup(func() {
		select {
		case <-worker.Done(): // by the test
		default:
			require.NoError(s.t, worker.Stop())
		}
	})
	return worker
}

// notify submits a notification as the cloud does and requires that it is
// taken.
func (s *system) notify(id int64) {
	delivery, err := s.cloud.SendWebhook(context.Background(), id)
	if err != nil || !delivery.Delivered() {
		s.t.Errorf("notification of %d: %+v, %v", id, delivery, err)
	}
}

// result waits for the end of the job's workflow.
func (s *system) result(id int64) (result workflows.ImportScrapingJobResult) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(s.t, s.temporal.GetWorkflow(ctx, workflows.WorkflowID(id), "").Get(ctx, &result))
	return result
}

// waitFor polls until the condition holds.
func (s *system) waitFor(what string, condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, 2*time.Minute, 20*time.Millisecond, what)
}

func (s *system) progress(id int64) (progress workflows.Progress) {
	answer, err := s.temporal.QueryWorkflow(s.t.Context(), workflows.WorkflowID(id), "", workflows.ProgressQuery)
	if err == nil {
		_ = answer.Get(&progress) // the caller waits for more than nothing
	}
	return progress
}

// attention waits until the import needs a person, and returns what it says.
func (s *system) attention(id int64) (says string) {
	s.t.Helper()
	s.waitFor("attention", func() bool {
		says = s.progress(id).Attention
		return says != ""
	})
	return says
}

func (s *system) signal(id int64, name string) {
	s.t.Helper()
	require.NoError(s.t, s.temporal.SignalWorkflow(s.t.Context(), workflows.WorkflowID(id), "", name, nil))
}

func (s *system) count(query string, args ...any) (n int64) {
	s.t.Helper()
	require.NoError(s.t, s.db.Get(&n, query, args...))
	return n
}

// requireRecords requires the records 1 to n of the job, each exactly once.
func (s *system) requireRecords(id, n int64) {
	s.t.Helper()
	require.Equal(s.t, n, s.count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id))
	require.Equal(s.t, n, s.count(`SELECT count(DISTINCT web_scraper_order) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id))
	require.Equal(s.t, n, s.count(`SELECT coalesce(max(record_number), 0) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id))
}

func (s *system) requireEmptySpool(spool string) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(spool, "[^.]*"))
	require.NoError(s.t, err)
	require.Empty(s.t, files, "files are left in the spool")
}

// runs lists the runs of a job's workflow, or of all workflows for 0.
func (s *system) runs(id int64) (runs []*workflowpb.WorkflowExecutionInfo) {
	query := ""
	if id != 0 {
		query = fmt.Sprintf("WorkflowId = '%d'", id)
	}
	for token := []byte(nil); ; {
		page, err := s.temporal.ListWorkflow(context.Background(), &workflowservice.ListWorkflowExecutionsRequest{Query: query, NextPageToken: token})
		require.NoError(s.t, err)
		runs = append(runs, page.GetExecutions()...)
		if token = page.GetNextPageToken(); len(token) == 0 {
			return runs
		}
	}
}

// history returns a run's history.
func (s *system) history(run *workflowpb.WorkflowExecutionInfo) *historypb.History {
	events := s.temporal.GetWorkflowHistory(context.Background(), run.GetExecution().GetWorkflowId(), run.GetExecution().GetRunId(),
		false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	history := &historypb.History{}
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(s.t, err)
		history.Events = append(history.Events, event)
	}
	return history
}

// finish looks for secrets in everything that was written, and records the
// histories if asked to.
func (s *system) finish() {
	written := map[string]string{"the logs": s.log.String()}
	for _, run := range s.runs(0) {
		history := s.history(run)
		id := run.GetExecution().GetWorkflowId()
		// In this form payloads are as they are, not in base64.
		plain, err := proto.Marshal(history)
		require.NoError(s.t, err)
		require.Contains(s.t, string(plain), `"scrapingjob_id":`+id, "the search sees what payloads hold")
		written["the history of workflow "+id] = string(plain)
		if *record != "" && run.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			name := strings.ReplaceAll(s.t.Name(), "/", "-") + "-" + id + "-" + run.GetExecution().GetRunId()[:8] + ".json"
			require.NoError(s.t, os.WriteFile(filepath.Join(*record, name), []byte(protojson.Format(history)), 0o600))
		}
	}
	secrets := []string{apiToken, webhookToken}
	database, err := url.Parse(s.env.DatabaseURL)
	require.NoError(s.t, err)
	if password, has := database.User.Password(); has {
		secrets = append(secrets, password)
	}
	for place, text := range written {
		for _, secret := range secrets {
			require.False(s.t, strings.Contains(text, secret), "a secret is in %s", place)
		}
	}
}
