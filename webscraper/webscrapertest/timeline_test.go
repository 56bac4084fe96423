package webscrapertest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

type wireJob struct {
	Status    string
	Stored    int `json:"stored_record_count"`
	Scheduled int `json:"jobs_scheduled"`
	Executed  int `json:"jobs_executed"`
	Empty     int `json:"jobs_empty"`
	Duration  int `json:"scraping_duration"`
}

func getJob(t *testing.T, server *webscrapertest.Cloud, id int64) wireJob {
	t.Helper()
	var got struct{ Data wireJob }
	require.NoError(t, json.Unmarshal([]byte(get(t, server, jobPath(id, "")).body), &got))
	return got.Data
}

func TestJobGoesThroughItsTimeline(t *testing.T) {
	clock := newClock()
	server := webscrapertest.NewServer(t, webscrapertest.Options{Clock: clock.Now})
	id := server.AddJob(webscrapertest.Job{
		Timeline: webscrapertest.Timeline{WaitingToBeScheduled: time.Second, Scheduling: time.Second, Scheduled: time.Second, Started: 10 * time.Second},
		Records:  webscrapertest.Products(100, 1),
		Pages:    webscrapertest.Pages{Scheduled: 20, Executed: 20, Empty: 10},
	})
	for _, want := range []wireJob{
		{Status: "waiting-to-be-scheduled"},
		{Status: "scheduling"},
		{Status: "scheduled", Scheduled: 20},
		{Status: "started", Scheduled: 20},
		{Status: "started", Scheduled: 20, Stored: 10, Executed: 2, Empty: 1, Duration: 1},
		{Status: "started", Scheduled: 20, Stored: 20, Executed: 4, Empty: 2, Duration: 2},
	} {
		require.Equal(t, want, getJob(t, server, id))
		require.Equal(t, want.Stored, strings.Count(get(t, server, jobPath(id, "/json")).body, "\n"))
		clock.Advance(time.Second)
	}
	clock.Advance(7 * time.Second)
	require.Equal(t, wireJob{Status: "finished", Stored: 100, Scheduled: 20, Executed: 20, Empty: 10, Duration: 10}, getJob(t, server, id))

	require.NoError(t, server.Continue(id, webscrapertest.Products(150, 2)))
	for _, want := range []wireJob{
		{Status: "scheduling", Stored: 100, Scheduled: 20, Executed: 20, Empty: 10, Duration: 10},
		{Status: "scheduled", Stored: 100, Scheduled: 20, Executed: 20, Empty: 10, Duration: 10},
	} {
		require.Equal(t, want, getJob(t, server, id))
		clock.Advance(time.Second)
	}
	clock.Advance(10 * time.Second)
	require.Equal(t, wireJob{Status: "finished", Stored: 150, Scheduled: 150, Executed: 150, Duration: 10}, getJob(t, server, id))
}

func TestJobSendsItsWebhookAtTheEndOfItsTimeline(t *testing.T) {
	receiver := newReceiver(t, http.StatusOK)
	clock := newClock()
	server := webscrapertest.NewServer(t, webscrapertest.Options{Clock: clock.Now, WebhookURL: receiver.URL})
	id := server.AddJob(webscrapertest.Job{Timeline: webscrapertest.Timeline{Started: time.Minute}, Pages: webscrapertest.Pages{Executed: 1, Failed: 1}})
	require.Equal(t, "started", getJob(t, server, id).Status)
	clock.Advance(time.Minute)
	require.Equal(t, "failed", (<-receiver.forms).Get("status"))

	require.NoError(t, server.Continue(id, webscrapertest.Records{}))
	require.ErrorContains(t, server.Continue(id, webscrapertest.Records{}), "want a job that has ended")
	clock.Advance(time.Minute)
	require.Equal(t, "finished", (<-receiver.forms).Get("status"))
	require.Empty(t, receiver.forms)
}

func TestManuallyFinishedJobLeavesItsTimeline(t *testing.T) {
	receiver := newReceiver(t, http.StatusOK)
	server := webscrapertest.NewServer(t, webscrapertest.Options{WebhookURL: receiver.URL})
	id := server.AddJob(webscrapertest.Job{Timeline: webscrapertest.Timeline{Started: time.Hour}, Records: webscrapertest.Products(5, 1)})
	require.NoError(t, server.Finish(t.Context(), id, "stopped"))
	require.Equal(t, "stopped", (<-receiver.forms).Get("status"))
	got := getJob(t, server, id)
	require.Equal(t, "stopped", got.Status)
	require.Equal(t, 5, got.Stored)
}

func TestContinuedJobKeepsItsRecordsUntilItEnds(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines("{}"), StoredRecordCount: new(int64(4))})
	require.NoError(t, server.Continue(id, webscrapertest.JSONLines("{}", "{}")))
	require.Equal(t, "{}\n", get(t, server, jobPath(id, "/json")).body)
	require.Equal(t, wireJob{Status: "scheduling", Stored: 4, Scheduled: 4, Executed: 4}, getJob(t, server, id))
	require.NoError(t, server.SetStatus(id, "started"))
	require.Equal(t, "{}\n", get(t, server, jobPath(id, "/json")).body)
	require.NoError(t, server.SetStatus(id, "finished"))
	require.Equal(t, "{}\n{}\n", get(t, server, jobPath(id, "/json")).body)
	require.Equal(t, wireJob{Status: "finished", Stored: 2, Scheduled: 2, Executed: 2}, getJob(t, server, id))
	job, ok := server.Job(id)
	require.True(t, ok)
	require.Equal(t, "finished", job.Status)
}

func TestWebhookOfAJobContinuedImmediatelyReportsItsEnd(t *testing.T) {
	receiver := newReceiver(t, http.StatusOK)
	clock := newClock()
	server := webscrapertest.NewServer(t, webscrapertest.Options{Clock: clock.Now, WebhookURL: receiver.URL})
	id := server.AddJob(webscrapertest.Job{Timeline: webscrapertest.Timeline{Started: time.Minute}})
	clock.Advance(time.Minute)
	require.NoError(t, server.Continue(id, webscrapertest.Records{}))
	require.Equal(t, "finished", (<-receiver.forms).Get("status"))
}
