package failures

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// ninety is 90 % of a download of many records, in bytes.
const ninety = chaos.Many * chaos.RecordBytes * 9 / 10

func TestBrokenDownloadIsRepeated(t *testing.T) {
	for _, broken := range []struct {
		happens string
		effect  webscrapertest.Effect
	}{
		{"the connection is reset in the middle of the compressed download, twice", webscrapertest.ResetAt(200_000)},
		{"the download is answered with 500, twice", webscrapertest.FailWith(http.StatusInternalServerError)},
		{"the download is answered with 502 and an HTML page, twice", webscrapertest.FailWithHTML(http.StatusBadGateway)},
	} {
		t.Run(broken.happens, func(t *testing.T) {
			c := chaos.Begin(t, broken.happens, "downloaded again; nothing from the broken file is imported")
			fault := c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Times: 2, Effect: broken.effect})
			c.Worker(c.Spool)
			id := c.Finished(chaos.Many)
			c.RequireImported(id, chaos.Many)
			require.Equal(t, 2, fault.Hits())
			require.Equal(t, 3, c.Downloads(id))
		})
	}
}

func TestBrokenDownloadIsResumed(t *testing.T) {
	c := chaos.Begin(t, "the download breaks off at 90 % of its Content-Length", "only the rest is downloaded, with Range and If-Range")
	c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Times: 1, Effect: webscrapertest.Truncate(ninety)})
	c.Worker(c.Spool)
	id := c.Finished(chaos.Many)
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 2, c.Downloads(id))
	c.RequireRest(id)
}

func TestStalledDownload(t *testing.T) {
	c := chaos.Begin(t, "the download stalls in the middle", "aborted after 60 s without a byte, and restarted")
	fault := c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Times: 1, Effect: webscrapertest.HangAt(200_000)})
	c.Worker(c.Spool)
	id := c.Finished(chaos.Many)
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 1, fault.Hits())
	require.Equal(t, 2, c.Downloads(id))
}

func TestTruncatedDownloadThatLooksComplete(t *testing.T) {
	for _, short := range []struct {
		happens  string
		effect   webscrapertest.Effect
		visible  int64
		sentence string
	}{
		{"the download ends at 90 %, between two records, without Content-Length, as if complete", webscrapertest.TruncateSilently(ninety),
			chaos.Many * 9 / 10, "18,000 records were imported, but the job has stored 20,000"},
		{"the download ends at 90 %, inside a record, without Content-Length, as if complete", webscrapertest.TruncateSilently(ninety + 100),
			chaos.Many * 9 / 10, "1 record was rejected"},
		{"the download is an empty 200", webscrapertest.Empty(), 0, "0 records were imported, but the job has stored 20,000"},
	} {
		t.Run(short.happens, func(t *testing.T) {
			c := chaos.Begin(t, short.happens, "the good records are published, nothing is deleted, the import needs attention; `reimport` fixes it")
			c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Times: 1, Effect: short.effect})
			c.Worker(c.Spool)
			id := c.Finished(chaos.Many)
			c.RequireAttention(id, short.visible, short.sentence)
			c.Signal(id, workflows.ReimportSignal)
			c.RequireImported(id, chaos.Many)
		})
	}
}

func TestShortDownloadReplacesNothing(t *testing.T) {
	c := chaos.Begin(t, "a published job is imported again, and the download is an empty 200", "the records published before stay visible",
		"HOLD_BEFORE_DELETE=1h")
	c.Worker(c.Spool)
	id := c.Finished(chaos.Many)
	c.WaitForStep(id, workflows.StepHold)
	c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Times: 1, Effect: webscrapertest.Empty()})
	c.Signal(id, workflows.ReimportSignal)
	c.RequireAttention(id, chaos.Many, "the import has 0 good records, and the job has stored 20,000; nothing was published, and queries still return the 20,000 published before")
	c.Signal(id, workflows.NotificationSignal)
	c.WaitForStep(id, workflows.StepHold)
	c.Signal(id, workflows.DeleteNowSignal)
	c.RequireImported(id, chaos.Many)
}

func TestContentChangesBetweenTwoDownloads(t *testing.T) {
	c := chaos.Begin(t, "the download breaks off at 90 %, and the second one has different and more content",
		"the import needs attention; the job's next notification imports its current content")
	c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Times: 1, Effect: webscrapertest.Truncate(ninety)})
	c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Times: 1, Effect: changeRecords(webscrapertest.Products(chaos.Many+1000, 2))})
	c.Worker(c.Spool)
	id := c.Finished(chaos.Many)
	c.RequireAttention(id, chaos.Many+1000, "21,000 records were imported, but the job has stored 20,000")
	c.Notify(id)
	c.RequireImported(id, chaos.Many+1000)
}

func TestJobDeletedBeforeItsDownload(t *testing.T) {
	c := chaos.Begin(t, "the job is deleted in the cloud between its description and its download (404)",
		"checked again; the import ends as `not-found`")
	c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Effect: webscrapertest.FailWith(http.StatusNotFound)})
	c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DescribeCall, After: 1, Effect: webscrapertest.FailWith(http.StatusNotFound)})
	c.Worker(c.Spool)
	id := c.Finished(chaos.Many)
	result := c.Result(id)
	require.Equal(t, workflows.NotFound, result.Outcome)
	require.Zero(t, c.Visible(id))
	c.RequireEmptySpools()
	c.Observe("%s: “%s”", result.Outcome, result.Reason)
}

func TestJobDeletedDuringItsDownload(t *testing.T) {
	c := chaos.Begin(t, "another client deletes the job in the cloud during its download", "its records are imported; nothing is left to delete")
	c.Worker(c.Spool)
	c.SlowDownload(1)
	id := c.Finished(chaos.Many)
	c.UntilDownloading(c.Spool)
	deleteInCloud(c, id)
	c.RequireDownloading(id)
	result := c.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	c.RequireOneDownload(id, chaos.Many)
	c.RequireEmptySpools()
	c.Observe("%s records once, outcome %s", humanize.Comma(chaos.Many), result.Outcome)
}

// deleteInCloud deletes the job as another client of the API.
func deleteInCloud(c *chaos.Case, id int64) {
	c.T.Helper()
	client, err := webscraper.NewClient(c.Env.APIToken, webscraper.WithBaseURI(c.Cloud.URL))
	require.NoError(c.T, err)
	require.NoError(c.T, client.DeleteScrapingJob(c.T.Context(), id))
}

func TestDownloadFromAnotherHost(t *testing.T) {
	c := chaos.Begin(t, "the API redirects downloads to a signed URL on another host, where the first one breaks off",
		"followed and resumed, without sending the API token")
	stored, err := io.ReadAll(webscrapertest.Products(chaos.Many, 1).Open())
	require.NoError(t, err)
	var seen []*http.Request // requests are sequential
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r)
		w.Header().Set("ETag", `"stored"`)
		if len(seen) == 1 {
			w.Header().Set("Content-Length", strconv.Itoa(len(stored)))
			_, _ = w.Write(stored[:len(stored)/2])
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(stored))
	}))
	defer store.Close()
	c.Cloud.Inject(webscrapertest.Fault{Path: chaos.DownloadCall, Effect: func(*webscrapertest.Cloud, http.Handler) http.Handler {
		return http.RedirectHandler(store.URL+"/file?signature=5ecret", http.StatusFound)
	}})
	c.Worker(c.Spool)
	id := c.Finished(chaos.Many)
	c.RequireImported(id, chaos.Many)
	require.Len(t, seen, 2)
	require.Equal(t, fmt.Sprintf("bytes=%d-", len(stored)/2), seen[1].Header.Get("Range"))
	for _, r := range seen {
		require.NotContains(t, fmt.Sprint(r.URL, r.Header), systemtest.APIToken)
	}
	require.NotContains(t, c.Log.String(), "5ecret")
	c.Observe("the other host saw `%s`, then `Range: %s`", seen[0].RequestURI[:len("/file")], seen[1].Header.Get("Range"))
}

// changeRecords replaces the records of the cloud's first job before it is downloaded.
func changeRecords(records webscrapertest.Records) webscrapertest.Effect {
	return func(cloud *webscrapertest.Cloud, next http.Handler) http.Handler {
		_ = cloud.SetRecords(500, records)
		return next
	}
}
