package deploytest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// scrapeEverything takes a worker and a starter through successes and failures, including
// an outage of Temporal, and returns their metrics.
func scrapeEverything(t *testing.T) (texts []string) {
	t.Helper()
	server := temporaltest.NewServer(t)
	s := systemtest.NewOn(t, server.Namespace, postgrestest.NewDatabase(t), map[string]string{"HOLD_BEFORE_DELETE": "0"})
	s.StartWorker(s.Spool)

	s.Cloud.Inject(webscrapertest.Fault{
		Path: "scraping-job/*", Times: 1, Effect: webscrapertest.FailWith(http.StatusInternalServerError),
	})
	good := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	s.Notify(good)
	require.Equal(t, workflows.Deleted, s.Result(good).Outcome)
	bad := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"a":"1"}`, `{"a":`)})
	s.Notify(bad)
	s.Attention(bad)
	run, err := workflows.Reconcile(t.Context(), s.Temporal, workflows.DefaultTaskQueue, workflows.ReconcileScrapingJobsInput{})
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))
	_, err = s.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: workflows.DefaultTaskQueue}, "WorkflowOfAnotherVersion")
	require.NoError(t, err)
	all := func() string { return strings.Join(s.Scrape(), "") }
	// Before the outage: gauges from Temporal are missing during it.
	s.WaitFor("the import that needs attention and the unknown workflow", func() bool {
		texts = s.Scrape()
		text := strings.Join(texts, "")
		return strings.Contains(text, `scrapehaul_imports_needing_attention{account="default",kind="RejectedRecords"} 1`) &&
			strings.Contains(text, "temporal_workflow_task_execution_failed_total{")
	})

	server.Stop()
	answer, err := http.Post(s.Webhook, "application/x-www-form-urlencoded",
		strings.NewReader("scrapingjob_id=1&status=finished&sitemap_id=1&sitemap_name=my-sitemap"))
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
	s.WaitFor("failing calls and polls", func() bool {
		text := all()
		return strings.Contains(text, "temporal_request_failure_total{") && strings.Contains(text, "temporal_long_request_failure_total{")
	})
	texts = append(texts, s.Scrape()...)
	server.Start()
	return texts
}

// series returns the samples of all texts.
func series(t *testing.T, texts []string) (all []sample) {
	t.Helper()
	for _, text := range texts {
		path := filepath.Join(t.TempDir(), "metrics")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		for _, labels := range readAs[[]map[string]string](t, "metrics", path) {
			all = append(all, sample{labels})
		}
	}
	return all
}
