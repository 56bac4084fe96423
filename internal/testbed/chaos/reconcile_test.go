package chaos

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestAllNotificationsLost(t *testing.T) {
	e := register(t, "Temporal is down for all three attempts at a notification", "reconciliation finds the job")
	server := temporaltest.NewServer(t)
	c := e.on(t, server.Namespace, postgrestest.NewDatabase(t))
	c.worker(c.Spool)
	id := c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(1000, 1)})
	server.Stop()
	delivery, err := c.Cloud.SendWebhook(t.Context(), id)
	require.NoError(t, err)
	require.False(t, delivery.Delivered)
	require.Len(t, delivery.Attempts, 3)
	server.Start()
	c.reconcile("1 of 1 jobs are due")
	c.requireImported(id, 1000)
}

func TestStarterBeforeTemporal(t *testing.T) {
	e := register(t, "a starter is started while Temporal is down", "it puts up the schedule of the reconciliation as soon as Temporal is there")
	server := temporaltest.NewServer(t)
	c := e.on(t, server.Namespace, postgrestest.NewDatabase(t))
	server.Stop()
	c.StartStarter(c.Env.With("RECONCILE_EVERY", "1h"))
	c.WaitFor("an attempt", func() bool { return strings.Contains(c.Log.String(), "The reconciliation is not scheduled yet") })
	server.Start()
	schedule := c.Temporal.ScheduleClient().GetHandle(t.Context(), workflows.ReconcileScheduleID)
	c.WaitFor("the schedule", func() bool {
		_, err := schedule.Describe(t.Context())
		return err == nil
	})
	c.observe("the schedule is there")
}

func TestTerminatedRun(t *testing.T) {
	c := begin(t, "the workflow is terminated in the import, which can clean up nothing then",
		"reconciliation removes its file and its records, and imports the job")
	worker := c.worker(c.Spool)
	c.slowImport()
	id := c.finished(many)
	c.untilImported(id, 2000)
	c.kill(worker)
	require.NoError(t, c.Temporal.TerminateWorkflow(t.Context(), workflows.WorkflowID(id), "", "chaos"))
	c.observe("terminated after %s records", grouped(c.requireHalf(id, many)))
	c.worker(c.Spool)
	c.reconcile("removed what ended runs had left: ")
	c.requireImported(id, many)
}

func TestReconciliationGoesOnWhenTheTokenIsRight(t *testing.T) {
	c := begin(t, "the API token is refused (401) for a while, and nobody sends a signal",
		"once it is right, reconciliation goes on with the imports that wait for a person")
	refusal := c.Cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.FailWith(http.StatusUnauthorized)})
	c.worker(c.Spool)
	id := c.finished(1000)
	c.requireAttention(id, 0, "refuses the API token")
	refusal.Remove()
	c.reconcile("1 of 1 jobs are due")
	c.requireImported(id, 1000)
}

func TestGivenUp(t *testing.T) {
	c := begin(t, "a person abandons an import before anything of it is published",
		"reconciliation leaves the job alone until it has run again")
	refusal := c.Cloud.Inject(webscrapertest.Fault{Path: downloadCall, Effect: webscrapertest.FailWith(http.StatusForbidden)})
	c.worker(c.Spool)
	id := c.finished(1000)
	c.requireAttention(id, 0, "403")
	refusal.Remove()
	c.Signal(id, workflows.AbandonSignal)
	require.Equal(t, workflows.Abandoned, c.Result(id).Outcome)
	c.reconcile("0 of 1 jobs are due")
	require.NoError(t, c.Cloud.SetRecords(id, webscrapertest.Products(1100, 2)))
	c.reconcile("1 of 1 jobs are due")
	c.WaitFor("its end", func() bool { return c.Cloud.Deleted(id) })
	c.requireImported(id, 1100)
}

// reconcile runs the starter's command, which has to say so.
func (c *chaos) reconcile(says string) {
	c.T.Helper()
	output, err := c.Programs.RunStarter(c.T.Context(), c.Env, "reconcile")
	require.NoError(c.T, err)
	require.Contains(c.T, output, says)
	c.observe("“%s”", says)
}

// listedAttention counts the imports that Temporal's list, which is behind, has as
// needing attention.
func (c *chaos) listedAttention() (n int) {
	_, kinds, err := workflows.CountOpenImports(c.T.Context(), c.Temporal, workflows.DefaultTaskQueue)
	require.NoError(c.T, err)
	for _, each := range kinds {
		n += each
	}
	return n
}
