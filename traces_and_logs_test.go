package scrapehaul_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestTracesShowTheImportAndNoSecrets(t *testing.T) {
	t.Parallel()
	received := new(programtest.Log)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(received, r.Body)
	}))
	t.Cleanup(collector.Close)
	s := systemtest.New(t, map[string]string{
		"HOLD_BEFORE_DELETE": "0", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_BSP_SCHEDULE_DELAY": "50",
	})
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	s.Notify(id)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	for _, span := range []string{
		"scrapehaul-starter", "SignalWithStartWorkflow:ImportScrapingJob",
		"scrapehaul-worker", "RunWorkflow:ImportScrapingJob", "RunActivity:ImportRecords", "RunActivity:DeleteScrapingJob",
	} {
		s.WaitFor(span, func() bool { return strings.Contains(received.String(), span) })
	}
	for _, secret := range []string{systemtest.APIToken, systemtest.WebhookToken, s.Env.DatabaseURL} {
		require.NotContains(t, received.String(), secret)
	}
}

func TestUnreachableTraceCollectorIsAWarning(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{
		"HOLD_BEFORE_DELETE": "0", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + programtest.ClosedPort(t),
		"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BSP_EXPORT_TIMEOUT": "500",
	})
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	s.Notify(id)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	s.WaitFor("a warning", func() bool { return strings.Contains(s.Log.String(), `"level":"WARN","msg":"OpenTelemetry error"`) })
}

func TestEveryLogLineAboutAnImportNamesIt(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	s.StartWorker(s.Spool)
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Times: 1, Effect: webscrapertest.FailWith(http.StatusInternalServerError)})
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*", Times: 1, Effect: webscrapertest.TooManyRequests(time.Second)})
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"a":`)})
	s.Notify(id)
	s.Attention(id)
	s.Signal(id, workflows.AbandonSignal)
	require.Equal(t, workflows.Abandoned, s.Result(id).Outcome)
	s.WaitFor("the end of the import in the log", func() bool { return strings.Contains(s.Log.String(), `"msg":"Import ended"`) })

	names := fmt.Sprintf(`"scrapingjob_id":%d`, id)
	run := `"run_id":"` + s.Runs(id)[0].GetExecution().GetRunId() + `"`
	for _, message := range []string{"Notification accepted", "Activity error.", "Import needs attention", "Import ended"} {
		found := false
		for line := range strings.Lines(s.Log.String()) {
			if strings.Contains(line, `"msg":"`+message+`"`) {
				found = true
				require.Equal(t, 1, strings.Count(line, names), line)
				require.Equal(t, 1, strings.Count(line, run), line)
			}
		}
		require.True(t, found, message)
	}
}
