package systemtest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalcost"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

const peakMemoryMiB = 150 // of the worker, as documented in docs/performance.md

// docs/performance.md documents these costs: 24 events and 7 actions without follow-ups.
func TestJobsCostTheDocumentedEventsAndActions(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(receiver.Close)
	for _, c := range []struct {
		name            string
		settings        map[string]string
		scraped         bool // by RunSitemap
		account         string
		events, actions int
	}{
		{"a job", nil, false, "", 24, 7},
		{"a job of a named account", nil, false, "acme", 24, 7},
		{"a job with a follow-up", map[string]string{"ON_PUBLISHED": "FollowUp@nobody"}, false, "", 35, 10},
		{"a job with a webhook", map[string]string{
			"PUBLISHED_WEBHOOK_URL": receiver.URL, "PUBLISHED_WEBHOOK_SECRET": "whsec_bm90aGluZyB0aGF0IGFueWJvZHkgd291bGQgZ3Vlc3M=",
		}, false, "", 42, 11},
		{"a run of a sitemap", nil, true, "", 75, 18},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			settings := map[string]string{"HOLD_BEFORE_DELETE": "0"}
			maps.Copy(settings, c.settings)
			var passed atomic.Int64 // time added to the cloud's clock; it scrapes for an hour
			s := New(t, settings, func(o *webscrapertest.Options) {
				o.Timeline = webscrapertest.Timeline{Started: time.Hour}
				o.Clock = func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
			})
			of := s
			if c.account != "" {
				of = s.AddAccounts(func(string, *webscrapertest.Options) {}, c.account).Of[c.account]
			}
			proxy, err := temporalcost.NewProxy(s.Temporal)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, proxy.Stop()) })
			s.Env.TemporalAddress = proxy.Address
			s.StartWorker(s.Spool)
			if c.scraped {
				in := contract.RunSitemapInput{SitemapID: s.Cloud.AddSitemap(webscrapertest.Sitemap{Name: "prices"})}
				run, _, err := workflows.StartRunSitemap(t.Context(), s.Temporal, workflows.DefaultTaskQueue, workflows.RunSitemapInput{RunSitemapInput: in})
				require.NoError(t, err)
				s.WaitForAnswer("the first check", func() bool { return s.has(enumspb.EVENT_TYPE_TIMER_STARTED, workflows.ImportScrapingJobName) })
				passed.Store(int64(time.Hour))
				var result contract.RunSitemapResult
				require.NoError(t, run.Get(t.Context(), &result))
				require.Equal(t, workflows.Deleted, s.Result(result.ScrapingJobID).Outcome)
			} else {
				id := of.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
				of.Notify(id)
				require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
			}
			events, actions := 0, 0
			for _, run := range s.Runs(0) {
				if run.GetType().GetName() == "FollowUp" { // only its start counts
					actions++
					continue
				}
				id := run.GetExecution().GetWorkflowId()
				require.NoError(t, s.Temporal.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil))
				history, err := temporalcost.History(t.Context(), s.Temporal, id)
				require.NoError(t, err)
				require.Equal(t, c.account, history[0].GetWorkflowExecutionStartedEventAttributes().GetPriority().GetFairnessKey())
				events += len(history)
				actions += temporalcost.Actions(history)
			}
			if c.scraped { // workflow tasks vary, as the import and the run signal each other
				require.InDelta(t, c.events, events, 6)
			} else {
				require.Equal(t, c.events, events)
			}
			require.LessOrEqual(t, actions+proxy.Actions(), c.actions)
		})
	}
}

// has reports whether a workflow of the type has such an event.
func (s *System) has(event enumspb.EventType, workflowType string) bool {
	return slices.ContainsFunc(s.Runs(0), func(run *workflowpb.WorkflowExecutionInfo) bool {
		return run.GetType().GetName() == workflowType &&
			slices.ContainsFunc(s.History(run).GetEvents(), func(e *historypb.HistoryEvent) bool { return e.GetEventType() == event })
	})
}

func TestWorkersMemoryDoesNotDependOnTheSizeOfTheFile(t *testing.T) {
	t.Parallel()
	s := New(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	worker := s.StartWorker(s.Spool)
	const records = 300_000 // 156 MB
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(records, 1)})
	s.Notify(id)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	s.RequireRecords(id, records)
	require.LessOrEqual(t, childprocess.PeakRSS(worker.PID()), float64(peakMemoryMiB))
}
