package chaos

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestFailedCallsAreRepeated(t *testing.T) {
	for _, failing := range []struct {
		answer string
		effect webscrapertest.Effect
	}{
		{"500", webscrapertest.FailWith(http.StatusInternalServerError)},
		{"502 and a page of HTML", webscrapertest.FailWithHTML(http.StatusBadGateway)},
		{"200 and an empty body", webscrapertest.Empty()},
		{"a reset of the connection", webscrapertest.Reset()},
	} {
		t.Run(failing.answer, func(t *testing.T) {
			c := begin(t, "the description of the job and its deletion are answered with "+failing.answer+", twice each", "repeated until it works")
			describing := c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodGet, Path: describeCall, Times: 2, Effect: failing.effect})
			deleting := c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodDelete, Path: describeCall, Times: 2, Effect: failing.effect})
			c.worker(c.Spool)
			id := c.finished(1000)
			c.requireImported(id, 1000)
			require.Equal(t, 2, describing.Hits())
			require.Equal(t, 2, deleting.Hits())
			require.Equal(t, 1, c.Downloads(id))
		})
	}
}

func TestAnswerThatIsLost(t *testing.T) {
	c := begin(t, "the job is deleted in the cloud, but the answer to that is lost", "found deleted, and noted as that")
	c.Cloud.Inject(webscrapertest.Fault{Method: http.MethodDelete, Times: 1, Effect: webscrapertest.ResetAt(0)})
	c.worker(c.Spool)
	id := c.finished(1000)
	c.requireImported(id, 1000)
}

func TestCallThatHangs(t *testing.T) {
	c := begin(t, "the description of the job hangs", "given up after 30 s and repeated")
	fault := c.Cloud.Inject(webscrapertest.Fault{Path: describeCall, Times: 1, Effect: webscrapertest.Hang()})
	c.worker(c.Spool)
	id := c.finished(1000)
	c.requireImported(id, 1000)
	require.Equal(t, 1, fault.Hits())
}

func TestStormOf429(t *testing.T) {
	const jobs, storm = 5, 25
	c := begin(t, "429 (Retry-After: 1) for all calls, of five jobs at a time", "each waits as long as it is told, none gives up")
	c.Cloud.Inject(webscrapertest.Fault{Times: storm, Effect: webscrapertest.TooManyRequests(time.Second)})
	c.worker(c.Spool)
	var ids []int64
	for range jobs {
		ids = append(ids, c.finished(1000))
	}
	for _, id := range ids {
		c.requireGone(id, 1000)
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
	c.requireEmptySpools()
	c.observe("%d × 1,000 records once, deleted in the cloud after that; %d calls were refused, none repeated before its time", jobs, storm)
}

func TestTokenWithdrawn(t *testing.T) {
	c := begin(t, "the API token is withdrawn (401) before the import", "not repeated in vain: a person is told what to do; imported when it is mended")
	fault := c.Cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.FailWith(http.StatusUnauthorized)})
	c.worker(c.Spool)
	id := c.finished(1000)
	c.requireAttention(id, 0, "refuses the API token")
	require.Equal(t, 1, fault.Hits())
	fault.Remove()
	c.Signal(id, workflows.ReimportSignal)
	c.requireImported(id, 1000)
}

func TestTokenWithdrawnBeforeTheDeletion(t *testing.T) {
	c := begin(t, "the API token is withdrawn (401) between the import and the deletion",
		"the records are published; once it is right, reconciliation has the job deleted, without another download")
	fault := c.Cloud.Inject(webscrapertest.Fault{Path: describeCall, After: 1, Effect: webscrapertest.FailWith(http.StatusUnauthorized)})
	c.worker(c.Spool)
	id := c.finished(1000)
	c.requireAttention(id, 1000, "refuses the API token")
	fault.Remove()
	c.WaitFor("Temporal's list", func() bool { return c.listedAttention() == 1 })
	c.reconcile("1 imports that need attention try again")
	c.requireImported(id, 1000)
	require.Equal(t, 1, c.Downloads(id))
}
