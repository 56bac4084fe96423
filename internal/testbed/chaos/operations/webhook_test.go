package operations

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestThousandNotifications(t *testing.T) {
	const jobs, each, within = 100, 10, 5 * time.Second
	e := chaos.RegisterAlone(t, "1,000 notifications of 100 jobs in 5 s: ten of each, in any order, some of them late, of a job that was continued since",
		"all are accepted; each job is imported with its final content")
	c := e.On(t, temporaltest.NewNamespace(t), postgrestest.NewDatabase(t))
	c.Worker(c.Spool)
	var ids []int64
	want := map[int64]int64{} // records of each job
	for range jobs / 2 {
		finished := c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
		stopped := c.Cloud.AddJob(webscrapertest.Job{Status: "stopped", Records: webscrapertest.Products(10, 1)})
		want[finished], want[stopped] = 10, 20
		ids = append(ids, slices.Repeat([]int64{finished, stopped}, each)...)
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		slowest time.Duration
	)
	started := time.Now()
	for i, id := range ids {
		// Spread the load evenly over the time.
		time.Sleep(time.Until(started.Add(time.Duration(i) * within / time.Duration(len(ids)))))
		all.Go(func() {
			sent := time.Now()
			c.Notify(id)
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, time.Since(sent))
		})
		// A stopped job is continued after half of its notifications: the others are late.
		if want[id] == 20 && count(ids[:i+1], id) == each/2 {
			all.Go(func() {
				err := c.Cloud.Continue(id, webscrapertest.Products(20, 2))
				if err == nil {
					err = c.Cloud.Finish(t.Context(), id, "finished")
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	sending := time.Since(started)
	all.Wait()
	records, runs := int64(0), 0
	for id, n := range want {
		c.RequireGone(id, n)
		records += n
		runs += c.Completed(id)
	}
	c.RequireEmptySpools()
	c.Observe("sent in %.1f s, the slowest answer after %.1f s; %s records once after %d runs, each job then deleted in the cloud",
		sending.Seconds(), slowest.Seconds(), humanize.Comma(records), runs)
}

func count(ids []int64, id int64) (n int) {
	for _, each := range ids {
		if each == id {
			n++
		}
	}
	return n
}

func TestSlowloris(t *testing.T) {
	const clients = 200
	c := chaos.Begin(t, "200 clients send a notification at one byte a second: half of them the header, half of them the body (slowloris)",
		"they are disconnected, and another notification is accepted immediately")
	c.Worker(c.Spool)
	target, err := url.Parse(c.Webhook)
	require.NoError(t, err)
	header := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n", target.RequestURI(), target.Host)
	var (
		all      sync.WaitGroup
		mu       sync.Mutex
		statuses = map[int]int{}
		longest  time.Duration
	)
	for n := range clients {
		begin := header
		if n%2 == 0 {
			begin += "\r\nscrapingjob_id="
		}
		connection, err := net.Dial("tcp", target.Host)
		require.NoError(t, err)
		t.Cleanup(func() { _ = connection.Close() })
		_, err = io.WriteString(connection, begin)
		require.NoError(t, err)
		connected := time.Now()
		all.Go(func() {
			status := drip(connection)
			mu.Lock()
			defer mu.Unlock()
			statuses[status]++
			longest = max(longest, time.Since(connected))
		})
	}
	sent := time.Now()
	id := c.Finished(1000)
	answered := time.Since(sent)
	require.Less(t, answered, 8*time.Second)
	all.Wait()
	require.Equal(t, clients/2, statuses[http.StatusRequestTimeout], "%v", statuses)
	require.Zero(t, statuses[http.StatusAccepted])
	require.Less(t, longest, 30*time.Second)
	c.Observe("the notification was accepted after %d ms; all slow clients were disconnected within %.0f s, %d of them with 408",
		answered.Milliseconds(), longest.Seconds(), statuses[http.StatusRequestTimeout])
	c.RequireImported(id, 1000)
}

// drip writes a byte per second until the server closes the connection, and returns the
// status of its response, or 0.
func drip(connection net.Conn) (status int) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if response, err := http.ReadResponse(bufio.NewReader(connection), nil); err == nil {
			status = response.StatusCode
			_, _ = io.Copy(io.Discard, response.Body)
		}
	}()
	for {
		select {
		case <-ended:
			return status
		case <-time.After(time.Second):
			_, _ = connection.Write([]byte("x")) // the reader detects the end
		}
	}
}

func TestNotificationWithATakenWorkflowID(t *testing.T) {
	c := chaos.Begin(t, "a workflow of another type is running under the job's ID when the job's notification arrives", "503 and a log line each time; imported once the ID is free")
	id := c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
	taken := workflows.WorkflowID(id)
	_, err := c.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: taken, TaskQueue: "orders"}, "OrderWorkflow")
	require.NoError(t, err)
	c.Worker(c.Spool)
	c.WaitFor("a refusal", func() bool { // not for a run that has only just started
		delivery, err := c.Cloud.SendWebhook(t.Context(), id)
		require.NoError(t, err)
		return !delivery.Delivered && delivery.Attempts[0].Status == http.StatusServiceUnavailable
	})
	require.Contains(t, c.Log.String(), "OrderWorkflow")
	require.NoError(t, c.Temporal.TerminateWorkflow(t.Context(), taken, "", "chaos"))
	c.Notify(id)
	c.RequireImported(id, 100)
}

func TestNotificationsInOtherForms(t *testing.T) {
	c := chaos.Begin(t, "notifications arrive as multipart forms and with other spellings of the webhook's path; one is a GET, as after a redirect from http to https",
		"all are accepted except the GET, which is refused and logged; reconciliation imports its job")
	c.Worker(c.Spool)
	post := func(method, spelling string, multiple bool) (id int64, status int) {
		id = c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
		values := url.Values{"scrapingjob_id": {strconv.FormatInt(id, 10)}, "status": {"finished"}, "sitemap_id": {"1"}, "sitemap_name": {"a"}}
		body, contentType := bytes.NewBufferString(values.Encode()), "application/x-www-form-urlencoded"
		if multiple {
			body.Reset()
			parts := multipart.NewWriter(body)
			for name := range values {
				require.NoError(t, parts.WriteField(name, values.Get(name)))
			}
			require.NoError(t, parts.Close())
			contentType = parts.FormDataContentType()
		}
		request, err := http.NewRequestWithContext(t.Context(), method, strings.Replace(c.Webhook, webhook.Path, spelling, 1), body)
		require.NoError(t, err)
		request.Header.Set("Content-Type", contentType)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return id, response.StatusCode
	}
	for _, spelling := range []string{webhook.Path, webhook.Path + "/", "/" + webhook.Path, "/Webhooks/WebScraper"} {
		for _, multiple := range []bool{true, false} {
			id, status := post(http.MethodPost, spelling, multiple)
			require.Equal(t, http.StatusAccepted, status, spelling)
			c.RequireGone(id, 100)
		}
	}
	missed, status := post(http.MethodGet, webhook.Path, false)
	require.Equal(t, http.StatusMethodNotAllowed, status)
	c.WaitFor("a line in the log", func() bool { return strings.Contains(c.Log.String(), "got a GET, want a POST") })
	require.NotContains(t, c.Log.String(), c.Env.WebhookToken)
	_, err := c.Programs.RunStarter(t.Context(), c.Env, "reconcile")
	require.NoError(t, err)
	c.RequireImported(missed, 100)
	c.Observe("8 of 9 accepted, each job deleted in the cloud after its import; “got a GET, want a POST. A redirect, from http to https for instance, …”")
}
