package systemtest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// The webhook fails first; then the worker dies before it records that the webhook accepted
// the publication.
func TestPublicationsAreDeliveredInOrderThoughTheWebhookFailsAndTheWorkerDies(t *testing.T) {
	t.Parallel()
	const secret = "whsec_bm90aGluZyB0aGF0IGFueWJvZHkgd291bGQgZ3Vlc3M="
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	type delivery struct {
		id   string
		data sink.Publication
	}
	var (
		mu         sync.Mutex
		deliveries []delivery
		worker     *childprocess.Process
	)
	received := func() (all []delivery) {
		mu.Lock()
		defer mu.Unlock()
		return append(all, deliveries...)
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var event struct{ Data sink.Publication }
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		if err == nil {
			err = json.Unmarshal(body, &event)
		}
		if err != nil {
			t.Errorf("a delivery: %v", err)
		}
		mu.Lock()
		deliveries = append(deliveries, delivery{r.Header.Get("webhook-id"), event.Data})
		n := len(deliveries)
		mu.Unlock()
		switch n {
		case 1:
			http.Error(w, "not now: "+r.RequestURI+" "+r.Header.Get("Authorization"), http.StatusInternalServerError)
		case 2:
			if err := syscall.Kill(-worker.PID(), syscall.SIGKILL); err != nil {
				t.Errorf("killing the worker: %v", err)
			}
		}
	}))
	t.Cleanup(receiver.Close)
	s := systemtest.New(t, map[string]string{
		"HOLD_BEFORE_DELETE": "0", "PUBLISHED_WEBHOOK_SECRET": secret,
		"PUBLISHED_WEBHOOK_URL": strings.Replace(receiver.URL, "//", "//user-zx91:pass-zx92@", 1) + "/path-zx93?token=query-zx94",
	})
	s.Secrets = []string{"zx91", "zx92", "zx93", "zx94", "dXNlci16eDkx", strings.TrimPrefix(secret, "whsec_")}
	worker = s.StartWorker(s.Spool)
	var ids []int64
	for range 2 {
		id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "prices", Records: webscrapertest.Products(20, 1)})
		s.Notify(id)
		require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
		ids = append(ids, id)
	}
	s.WaitFor("the worker's end", func() bool { return len(received()) == 2 })
	<-worker.Done()
	require.Contains(t, s.Log.String(), "the webhook at "+strings.TrimPrefix(receiver.URL, "http://")+" returned 500 Internal Server Error")
	s.StartWorker(s.Spool)
	s.WaitFor("all deliveries", func() bool { return len(received()) == 4 })
	require.NoError(t, s.Temporal.GetWorkflow(t.Context(), "scrapehaul-webhook-prices", "").Get(t.Context(), nil))
	all := received()
	for i, job := range []int64{ids[0], ids[0], ids[0], ids[1]} {
		require.Equal(t, job, all[i].data.ScrapingJobID)
	}
	require.Equal(t, all[0], all[1])
	require.Equal(t, all[0], all[2])
	require.Equal(t, sink.FirstImport, all[3].data.Kind)
	require.Equal(t, int64(20), all[3].data.Records)
	require.Zero(t, s.Count(`SELECT count(*) FROM scrapehaul.undelivered_publications`))
}
