package systemtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalcost"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// What docs/performance.md says that a job costs.
const (
	eventsOfAJob  = 24
	actionsOfAJob = 7
	peakMemoryMiB = 150 // of the worker
)

func TestJobCostsTheEventsAndActionsThatThePageSays(t *testing.T) {
	t.Parallel()
	s := New(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	proxy, err := temporalcost.NewProxy(s.Temporal)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Stop()) })
	s.Env.TemporalAddress = proxy.Address
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
	s.Notify(id)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	events, err := temporalcost.History(t.Context(), s.Temporal, workflows.WorkflowID(id))
	require.NoError(t, err)
	require.Len(t, events, eventsOfAJob)
	require.LessOrEqual(t, temporalcost.Actions(events)+proxy.Actions(), actionsOfAJob)
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
