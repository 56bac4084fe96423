package chaos

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// ninety is 90 % of a download of many records, in bytes.
const ninety = many * recordBytes * 9 / 10

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
			c := begin(t, broken.happens, "downloaded again; nothing from the broken file is imported")
			fault := c.Cloud.Inject(webscrapertest.Fault{Path: downloadCall, Times: 2, Effect: broken.effect})
			c.worker(c.Spool)
			id := c.finished(many)
			c.requireImported(id, many)
			require.Equal(t, 2, fault.Hits())
			require.Equal(t, 3, c.Downloads(id))
		})
	}
}

func TestBrokenDownloadIsResumed(t *testing.T) {
	c := begin(t, "the download breaks off at 90 % of its Content-Length", "only the rest is downloaded, with Range and If-Range")
	c.Cloud.Inject(webscrapertest.Fault{Path: downloadCall, Times: 1, Effect: webscrapertest.Truncate(ninety)})
	c.worker(c.Spool)
	id := c.finished(many)
	c.requireImported(id, many)
	require.Equal(t, 2, c.Downloads(id))
	c.requireRest(id)
}

func TestStalledDownload(t *testing.T) {
	c := begin(t, "the download stalls in the middle", "aborted after 60 s without a byte, and restarted")
	fault := c.Cloud.Inject(webscrapertest.Fault{Path: downloadCall, Times: 1, Effect: webscrapertest.HangAt(200_000)})
	c.worker(c.Spool)
	id := c.finished(many)
	c.requireImported(id, many)
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
			many * 9 / 10, "18,000 records were imported, but the job has stored 20,000"},
		{"the download ends at 90 %, inside a record, without Content-Length, as if complete", webscrapertest.TruncateSilently(ninety + 100),
			many * 9 / 10, "1 record was rejected"},
		{"the download is an empty 200", webscrapertest.Empty(), 0, "0 records were imported, but the job has stored 20,000"},
	} {
		t.Run(short.happens, func(t *testing.T) {
			c := begin(t, short.happens, "the good records are published, nothing is deleted, the import needs attention; `reimport` fixes it")
			c.Cloud.Inject(webscrapertest.Fault{Path: downloadCall, Times: 1, Effect: short.effect})
			c.worker(c.Spool)
			id := c.finished(many)
			c.requireAttention(id, short.visible, short.sentence)
			c.Signal(id, workflows.ReimportSignal)
			c.requireImported(id, many)
		})
	}
}

func TestShortDownloadReplacesNothing(t *testing.T) {
	c := begin(t, "a published job is imported again, and the download is an empty 200", "the records published before stay visible",
		"HOLD_BEFORE_DELETE=1h")
	c.worker(c.Spool)
	id := c.finished(many)
	c.WaitForStep(id, workflows.StepHold)
	c.Cloud.Inject(webscrapertest.Fault{Path: downloadCall, Times: 1, Effect: webscrapertest.Empty()})
	c.Signal(id, workflows.ReimportSignal)
	c.requireAttention(id, many, "the import has 0 good records, and the job has stored 20,000; nothing was published, and queries still return the 20,000 published before")
	c.Signal(id, workflows.NotificationSignal)
	c.WaitForStep(id, workflows.StepHold)
	c.Signal(id, workflows.DeleteNowSignal)
	c.requireImported(id, many)
}

func TestContentChangesBetweenTwoDownloads(t *testing.T) {
	c := begin(t, "the download breaks off at 90 %, and the second one has different and more content",
		"the import needs attention; the job's next notification imports its current content")
	c.Cloud.Inject(webscrapertest.Fault{Path: downloadCall, Times: 1, Effect: webscrapertest.Truncate(ninety)})
	c.Cloud.Inject(webscrapertest.Fault{Path: downloadCall, Times: 1, Effect: changeRecords(webscrapertest.Products(many+1000, 2))})
	c.worker(c.Spool)
	id := c.finished(many)
	c.requireAttention(id, many+1000, "21,000 records were imported, but the job has stored 20,000")
	c.Notify(id)
	c.requireImported(id, many+1000)
}

func TestJobDeletedBeforeItsDownload(t *testing.T) {
	c := begin(t, "the job is deleted in the cloud between its description and its download (404)",
		"checked again; the import ends as `not-found`")
	c.Cloud.Inject(webscrapertest.Fault{Path: downloadCall, Effect: webscrapertest.FailWith(http.StatusNotFound)})
	c.Cloud.Inject(webscrapertest.Fault{Path: describeCall, After: 1, Effect: webscrapertest.FailWith(http.StatusNotFound)})
	c.worker(c.Spool)
	id := c.finished(many)
	result := c.Result(id)
	require.Equal(t, workflows.NotFound, result.Outcome)
	require.Zero(t, c.visible(id))
	c.requireEmptySpools()
	c.observe("%s: “%s”", result.Outcome, result.Reason)
}

func TestJobDeletedDuringItsDownload(t *testing.T) {
	c := begin(t, "another client deletes the job in the cloud during its download", "its records are imported; nothing is left to delete")
	c.worker(c.Spool)
	c.slowDownload(1)
	id := c.finished(many)
	c.untilDownloading(c.Spool)
	c.deleteInCloud(id)
	c.requireDownloading(id)
	result := c.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	c.requireRecords(id, many)
	c.requireEmptySpools()
	c.observe("%s records once, outcome %s", grouped(many), result.Outcome)
}

// deleteInCloud deletes the job as another client of the API.
func (c *chaos) deleteInCloud(id int64) {
	c.T.Helper()
	client, err := webscraper.NewClient(c.Env.APIToken, webscraper.WithBaseURI(c.Cloud.URL))
	require.NoError(c.T, err)
	require.NoError(c.T, client.DeleteScrapingJob(c.T.Context(), id))
}

func TestDownloadFromAnotherHost(t *testing.T) {
	c := begin(t, "the API redirects downloads to a signed URL on another host, where the first one breaks off",
		"followed and resumed, without sending the API token")
	stored, err := io.ReadAll(webscrapertest.Products(many, 1).Open())
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
	c.Cloud.Inject(webscrapertest.Fault{Path: downloadCall, Effect: func(*webscrapertest.Cloud, http.Handler) http.Handler {
		return http.RedirectHandler(store.URL+"/file?signature=5ecret", http.StatusFound)
	}})
	c.worker(c.Spool)
	id := c.finished(many)
	c.requireImported(id, many)
	require.Len(t, seen, 2)
	require.Equal(t, fmt.Sprintf("bytes=%d-", len(stored)/2), seen[1].Header.Get("Range"))
	for _, r := range seen {
		require.NotContains(t, fmt.Sprint(r.URL, r.Header), systemtest.APIToken)
	}
	require.NotContains(t, c.Log.String(), "5ecret")
	c.observe("the other host saw `%s`, then `Range: %s`", seen[0].RequestURI[:len("/file")], seen[1].Header.Get("Range"))
}
