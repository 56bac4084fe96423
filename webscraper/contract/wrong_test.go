package contract

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// Bugs of the vendor's client that ours does not have. If a test fails on theirs, they
// have fixed the bug.

func TestTheirListsRepeatTheFirstPageOursContinue(t *testing.T) {
	t.Parallel()
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	for range 250 {
		server.AddJob(webscrapertest.Job{})
	}
	outcome := callVendor(t, server, onClient("getScrapingJobs").then("getAllRecords"))[0]
	theirs := make(map[int64]bool)
	for _, job := range decode[[]struct{ ID int64 }](t, outcome.Value) {
		theirs[job.ID] = true
	}
	require.Len(t, theirs, 100)

	ours := make(map[int64]bool)
	for page := 1; page <= 3; page++ {
		jobs, _, err := newClient(t, server).ScrapingJobsPage(t.Context(), webscraper.ListScrapingJobsOptions{}, page)
		require.NoError(t, err)
		for _, job := range jobs {
			ours[job.ID] = true
		}
	}
	require.Len(t, ours, 250)
}

// newBroken returns a fake with a job of 1,000 records whose next download has the
// effect.
func newBroken(t *testing.T, effect webscrapertest.Effect) (server *webscrapertest.Cloud, id int64, injection *webscrapertest.Injection) {
	t.Helper()
	server = webscrapertest.NewServer(t, webscrapertest.Options{})
	id = server.AddJob(webscrapertest.Job{Records: webscrapertest.Products(1000, 1)})
	return server, id, server.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Times: 1, Effect: effect})
}

func TestATruncatedDownloadEndsTheirProcessSilently(t *testing.T) {
	t.Parallel()
	server, id, _ := newBroken(t, webscrapertest.Truncate(100_000))
	process := runVendor(t.Context(), t, server, onClient("downloadScrapingJobJSON", id, filepath.Join(t.TempDir(), "theirs")))
	require.NoError(t, process.err, "it exits with 0")
	require.Empty(t, process.outcomes, "its promise never settles")

	server, id, _ = newBroken(t, webscrapertest.Truncate(100_000))
	interrupted, err := newClient(t, server).DownloadScrapingJob(t.Context(), id, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{Uncompressed: true})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.EqualValues(t, 100_000, interrupted.Bytes)
	rest, err := newClient(t, server).DownloadScrapingJob(t.Context(), id, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{
		Offset: interrupted.Bytes, Validator: interrupted.Validator,
	})
	require.NoError(t, err)
	require.EqualValues(t, 420_000, rest.Bytes)
}

func TestAPageOfHTMLCrashesTheirProcess(t *testing.T) {
	t.Parallel()
	for name, effect := range map[string]webscrapertest.Effect{
		"bad gateway":       webscrapertest.FailWithHTML(http.StatusBadGateway),
		"too many requests": webscrapertest.TooManyRequests(time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := webscrapertest.NewServer(t, webscrapertest.Options{})
			server.Inject(webscrapertest.Fault{Times: 1, Effect: effect})
			process := runVendor(t.Context(), t, server, onClient("getAccountInfo"))
			var exit *exec.ExitError
			require.ErrorAs(t, process.err, &exit)
			require.Contains(t, process.stderr, "SyntaxError")
			require.Empty(t, process.outcomes)

			server = webscrapertest.NewServer(t, webscrapertest.Options{})
			server.Inject(webscrapertest.Fault{Times: 1, Effect: effect})
			_, err := newClient(t, server).Account(t.Context())
			var apiError *webscraper.Error
			require.ErrorAs(t, err, &apiError)
			require.Equal(t, server.Requests()[0].Status, apiError.StatusCode)
		})
	}
}

func TestAnErrorDeletesTheirGoodFileNotOurs(t *testing.T) {
	t.Parallel()
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	file := filepath.Join(t.TempDir(), "records.json")
	require.NoError(t, os.WriteFile(file, []byte("of yesterday"), 0o600))
	ours, err := os.OpenFile(file, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = newClient(t, server).DownloadScrapingJob(t.Context(), 7, ours, webscraper.FormatJSON, webscraper.DownloadOptions{})
	require.True(t, webscraper.IsNotFound(err), "%v", err)
	require.NoError(t, ours.Close())
	require.Equal(t, "of yesterday", readFile(t, file))

	outcome := callVendor(t, server, onClient("downloadScrapingJobJSON", 7, file))[0]
	require.Contains(t, outcome.Error, "An error occured")
	require.NoFileExists(t, file)
}

func TestTheyWaitForeverWeDoNot(t *testing.T) {
	t.Parallel()
	// Their client sets a timeout of 0.6 s and ignores it: it still waits after three
	// times that, and is killed.
	server, id, injection := newBroken(t, webscrapertest.Hang())
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for injection.Hits() == 0 && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		<-time.After(3 * 600 * time.Millisecond)
	}()
	process := runVendor(ctx, t, server, onClient("downloadScrapingJobJSON", id, filepath.Join(t.TempDir(), "theirs")))
	require.ErrorIs(t, ctx.Err(), context.Canceled)
	require.Error(t, process.err)
	require.Empty(t, process.outcomes)

	for _, effect := range []webscrapertest.Effect{webscrapertest.Hang(), webscrapertest.HangAt(1000)} {
		server, id, injection := newBroken(t, effect)
		_, err := newClient(t, server, webscraper.WithIdleTimeout(100*time.Millisecond)).DownloadScrapingJob(t.Context(), id, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1, injection.Hits())
	}
}

func TestAnInvalidLineStopsTheirReaderNotOurs(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, content string
		rows          int
		wrong         []int64
	}{
		{"byte order mark", "\ufeff{\"a\":\"1\"}\n{\"a\":\"2\"}\n", 2, nil},
		{"blank line", "{\"a\":\"1\"}\n\n{\"a\":\"2\"}\n", 2, nil},
		{"cut last line", "{\"a\":\"1\"}\n{\"a\":\"2\"}\n{\"a\":", 2, []int64{3}},
		{"cut line in the middle", "{\"a\":\"1\"}\n{\"a\":\n{\"a\":\"2\"}\n", 2, []int64{2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := webscrapertest.NewServer(t, webscrapertest.Options{})
			id := server.AddJob(webscrapertest.Job{Records: webscrapertest.RawBody(tt.content, int64(tt.rows))})
			file := filepath.Join(t.TempDir(), "records.json")
			require.Equal(t, tt.content, download(t, newClient(t, server), id, webscraper.FormatJSON))
			require.NoError(t, os.WriteFile(file, []byte(tt.content), 0o600))
			rows, wrong := readRows(t, tt.content)
			require.Len(t, rows, tt.rows)
			require.Equal(t, tt.wrong, wrong)

			outcome := callVendor(t, server, onReader(file, "toArray"))[0]
			require.Contains(t, outcome.Error, "SyntaxError")
		})
	}
}

func TestTheirNumbersLoseDigitsOursDoNot(t *testing.T) {
	t.Parallel()
	const ean = "123456789012345678901234567890.10"
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"ean":` + ean + `}`)})
	file := filepath.Join(t.TempDir(), "records.json")
	outcomes := callVendor(t, server, onClient("downloadScrapingJobJSON", id, file), onReader(file, "toArray"))
	require.NotContains(t, string(outcomes[1].Value), ean)

	records, err := os.Open(file)
	require.NoError(t, err)
	defer records.Close()
	reader := webscraper.NewRowReader(records, webscraper.FormatJSON, 0)
	require.True(t, reader.Next())
	require.Equal(t, `{"ean":`+ean+`}`, string(reader.Row().Raw))
}
