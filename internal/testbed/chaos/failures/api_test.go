package failures

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestFailedCallsAreRepeated(t *testing.T) {
	for _, failing := range []struct {
		answer string
		effect webscrapertest.Effect
	}{
		{"500", webscrapertest.FailWith(http.StatusInternalServerError)},
		{"502 and an HTML page", webscrapertest.FailWithHTML(http.StatusBadGateway)},
		{"200 and an empty body", webscrapertest.Empty()},
		{"a reset of the connection", webscrapertest.Reset()},
	} {
		t.Run(failing.answer, func(t *testing.T) {
			c := chaos.Begin(t, "describing the job and deleting it are answered with "+failing.answer+", twice each", "retried until it works")
			describing := c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodGet, Path: chaos.DescribeCall, Times: 2, Effect: failing.effect})
			deleting := c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodDelete, Path: chaos.DescribeCall, Times: 2, Effect: failing.effect})
			c.Worker(c.Spool)
			id := c.Finished(1000)
			c.RequireImported(id, 1000)
			require.Equal(t, 2, describing.Hits())
			require.Equal(t, 2, deleting.Hits())
			require.Equal(t, 1, c.Downloads(id))
		})
	}
}

func TestLostResponseToADeletion(t *testing.T) {
	c := chaos.Begin(t, "the job is deleted in the cloud, but the response is lost", "found deleted, and recorded as deleted")
	c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodDelete, Times: 1, Effect: webscrapertest.ResetAt(0)})
	c.Worker(c.Spool)
	id := c.Finished(1000)
	c.RequireImported(id, 1000)
}

func TestHangingCall(t *testing.T) {
	c := chaos.Begin(t, "describing the job hangs", "aborted after 30 s, and retried")
	fault := c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DescribeCall, Times: 1, Effect: webscrapertest.Hang()})
	c.Worker(c.Spool)
	id := c.Finished(1000)
	c.RequireImported(id, 1000)
	require.Equal(t, 1, fault.Hits())
}

func TestStormOf429(t *testing.T) {
	const jobs, storm = 5, 25
	c := chaos.Begin(t, "429 (Retry-After: 1) for all calls, of five jobs at the same time", "each waits as long as the API says; none fails")
	c.Cloud.Inject(webscrapertest.Fault{Times: storm, Effect: webscrapertest.TooManyRequests(time.Second)})
	c.Worker(c.Spool)
	var ids []int64
	for range jobs {
		ids = append(ids, c.Finished(1000))
	}
	for _, id := range ids {
		c.RequireGone(id, 1000)
		var refused time.Time
		for _, request := range c.Cloud.Requests() {
			if request.ID == id {
				require.GreaterOrEqual(t, request.Time.Sub(refused), time.Second, "called again too early")
				if refused = (time.Time{}); request.Status == http.StatusTooManyRequests {
					refused = request.Time
				}
			}
		}
	}
	c.RequireEmptySpools()
	c.Observe("%d × 1,000 records once, then deleted in the cloud; %d calls were refused, none retried too early", jobs, storm)
}

func TestTokenWithdrawn(t *testing.T) {
	c := chaos.Begin(t, "the API token is withdrawn (401) before the import", "no useless retries: the import needs attention and says what to do; imported once the token is valid")
	fault := c.Cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.FailWith(http.StatusUnauthorized)})
	c.Worker(c.Spool)
	id := c.Finished(1000)
	c.RequireAttention(id, 0, "refuses the API token")
	require.Equal(t, 1, fault.Hits())
	fault.Remove()
	c.Signal(id, workflows.ReimportSignal)
	c.RequireImported(id, 1000)
}

func TestTokenWithdrawnBeforeTheDeletion(t *testing.T) {
	c := chaos.Begin(t, "the API token is withdrawn (401) between the import and the deletion",
		"the records are published; once the token is valid, reconciliation has the job deleted, without another download")
	fault := c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DescribeCall, After: 1, Effect: webscrapertest.FailWith(http.StatusUnauthorized)})
	c.Worker(c.Spool)
	id := c.Finished(1000)
	c.RequireAttention(id, 1000, "refuses the API token")
	fault.Remove()
	c.WaitFor("Temporal's list", func() bool { return c.ListedAttention() == 1 })
	c.Reconcile("1 imports that need attention are retrying")
	c.RequireImported(id, 1000)
	require.Equal(t, 1, c.Downloads(id))
}
