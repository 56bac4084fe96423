package webscrapertest_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// The race detector is the judge.
func TestCloudIsSafeForConcurrentUse(t *testing.T) {
	receiver := newReceiver(t, http.StatusOK)
	server := webscrapertest.NewServer(t, webscrapertest.Options{WebhookURL: receiver.URL, RateLimitCalls: -1})
	injection := server.Inject(webscrapertest.Fault{
		Path: "scraping-job/*/json", Times: 3, Effect: webscrapertest.Truncate(5_200),
	})
	var working sync.WaitGroup
	for range 10 {
		working.Go(func() {
			id := server.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
			_, err := send(t, server, http.MethodGet, jobPath(id, "/json"), "")
			if err == nil {
				_, err = send(t, server, http.MethodGet, "scraping-jobs", "")
			}
			if err == nil {
				err = server.Continue(id, webscrapertest.Products(20, 2))
			}
			if err == nil {
				err = server.Finish(t.Context(), id, "finished")
			}
			if err == nil {
				_, err = send(t, server, http.MethodDelete, jobPath(id, ""), "")
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	working.Wait()
	require.Len(t, receiver.forms, 10)
	require.Len(t, server.Requests(), 30)
	require.Equal(t, 3, injection.Hits())
}
