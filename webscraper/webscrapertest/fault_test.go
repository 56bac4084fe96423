package webscrapertest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const size = 100 * 520

// faulty returns a server with a job of 100 records whose next JSON download has the
// effect.
func faulty(t *testing.T, effect webscrapertest.Effect) (*webscrapertest.Cloud, string, *webscrapertest.Injection) {
	t.Helper()
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.Products(100, 1)})
	injection := server.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Times: 1, Effect: effect})
	return server, jobPath(id, "/json"), injection
}

func TestFaultAffectsTheNextMatchingRequests(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{})
	injection := server.Inject(webscrapertest.Fault{
		Method: http.MethodGet, Path: "scraping-job/*", After: 1, Times: 2, Effect: webscrapertest.FailWith(http.StatusInternalServerError),
	})
	statuses := []int{
		get(t, server, "account").status,
		call(t, server, http.MethodDelete, "scraping-job/9", "").status,
		get(t, server, jobPath(id, "/json")).status,
	}
	for range 4 {
		statuses = append(statuses, get(t, server, jobPath(id, "")).status)
	}
	require.Equal(t, []int{200, 404, 200, 200, 500, 500, 200}, statuses)
	require.Equal(t, 2, injection.Hits())
}

func TestFaultWithoutTimesLastsUntilItIsRemoved(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	broken := server.Inject(webscrapertest.Fault{Effect: webscrapertest.FailWithHTML(http.StatusBadGateway)})
	other := server.Inject(webscrapertest.Fault{Times: 1, Effect: webscrapertest.FailWith(http.StatusUnauthorized)})
	for range 3 {
		got := get(t, server, "account")
		require.Equal(t, http.StatusBadGateway, got.status)
		require.Equal(t, "text/html", got.header.Get("Content-Type"))
		require.Contains(t, got.body, "<h1>502 Bad Gateway</h1>")
	}
	broken.Remove()
	require.Equal(t, http.StatusUnauthorized, get(t, server, "account").status)
	require.Equal(t, http.StatusOK, get(t, server, "account").status)
	require.Equal(t, []int{3, 1}, []int{broken.Hits(), other.Hits()})
}

func TestFailWithHasTheServicesBody(t *testing.T) {
	server, path, _ := faulty(t, webscrapertest.FailWith(http.StatusNotFound))
	got := get(t, server, path)
	require.Equal(t, http.StatusNotFound, got.status)
	require.Equal(t, occured, got.body)
}

func TestTooManyRequestsSaysWhenToRetry(t *testing.T) {
	server, path, _ := faulty(t, webscrapertest.TooManyRequests(1500*time.Millisecond))
	got := get(t, server, path)
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Equal(t, "2", got.header.Get("Retry-After"))
	require.Equal(t, "200", got.header.Get("X-RateLimit-Limit"))
	require.Equal(t, "0", got.header.Get("X-RateLimit-Remaining"))
	require.NotEmpty(t, got.header.Get("X-RateLimit-Reset"))
	require.Equal(t, "Too Many Attempts.\n", got.body)
}

func TestEmptyIs200WithoutBody(t *testing.T) {
	server, path, _ := faulty(t, webscrapertest.Empty())
	got := get(t, server, path)
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "0", got.header.Get("Content-Length"))
	require.Empty(t, got.body)
}

func TestTruncateBreaksAnUncompressedBodyOfKnownLength(t *testing.T) {
	server, path, _ := faulty(t, webscrapertest.Truncate(1000))
	got, err := send(t, server, http.MethodGet, path, "", "Accept-Encoding: gzip")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, "52000", got.header.Get("Content-Length"))
	require.Len(t, got.body, 1000)
	require.Len(t, get(t, server, path).body, size)
}

func TestTruncateSilentlyEndsTheBodyAsIfItWereComplete(t *testing.T) {
	for _, n := range []int64{0, 10, 1000, 40_000} {
		server, path, _ := faulty(t, webscrapertest.TruncateSilently(n))
		got := get(t, server, path, "Accept-Encoding: gzip")
		require.Equal(t, http.StatusOK, got.status)
		require.Empty(t, got.header.Get("Content-Length"))
		require.Empty(t, got.header.Get("Content-Encoding"))
		require.Len(t, got.body, int(n))
	}
}

func TestShortBodyIsNotTruncated(t *testing.T) {
	for _, effect := range []webscrapertest.Effect{
		webscrapertest.Truncate(size), webscrapertest.TruncateSilently(size), webscrapertest.ResetAt(size), webscrapertest.HangAt(size),
	} {
		server, path, injection := faulty(t, effect)
		require.Len(t, get(t, server, path).body, size)
		require.Equal(t, 1, injection.Hits())
	}
}

func TestResetResetsTheConnection(t *testing.T) {
	server, path, _ := faulty(t, webscrapertest.Reset())
	_, err := send(t, server, http.MethodGet, path, "")
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Len(t, get(t, server, path).body, size)
}

func TestResetAtBreaksTheBody(t *testing.T) {
	server, path, _ := faulty(t, webscrapertest.ResetAt(40_000))
	got, err := send(t, server, http.MethodGet, path, "")
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.LessOrEqual(t, len(got.body), 40_000)
	require.Len(t, get(t, server, path).body, size)
}

func TestHangEndsWithTheClient(t *testing.T) {
	for _, effect := range []webscrapertest.Effect{webscrapertest.Hang(), webscrapertest.HangAt(0), webscrapertest.HangAt(1000)} {
		server, path, injection := faulty(t, effect)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error)
		go func() {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path+"?api_token="+webscrapertest.DefaultToken, nil)
			if err != nil {
				failed <- err
				return
			}
			response, err := http.DefaultClient.Do(request)
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
			failed <- err
		}()
		require.Eventually(t, func() bool { return injection.Hits() == 1 }, 10*time.Second, time.Millisecond)
		cancel()
		require.ErrorIs(t, <-failed, context.Canceled)
	}
}

func TestServerClosesWhileARequestHangs(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		server, path, injection := faulty(t, webscrapertest.Hang())
		go func() {
			response, err := http.Get(server.URL + path + "?api_token=" + webscrapertest.DefaultToken)
			if err == nil {
				response.Body.Close()
			}
		}()
		require.Eventually(t, func() bool { return injection.Hits() == 1 }, 10*time.Second, time.Millisecond)
	})
}

func TestDripSendsPieces(t *testing.T) {
	server, path, _ := faulty(t, webscrapertest.Drip(10_000, time.Millisecond))
	require.Len(t, get(t, server, path).body, size)
}

func TestDripEndsWithTheClient(t *testing.T) {
	server, path, injection := faulty(t, webscrapertest.Drip(1, time.Hour))
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path+"?api_token="+webscrapertest.DefaultToken, nil)
	require.NoError(t, err)
	failed := make(chan error)
	go func() {
		_, err := http.DefaultClient.Do(request)
		failed <- err
	}()
	require.Eventually(t, func() bool { return injection.Hits() == 1 }, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
}

func TestCustomEffectMayChangeTheJob(t *testing.T) {
	server, path, _ := faulty(t, func(cloud *webscrapertest.Cloud, next http.Handler) http.Handler {
		require.NoError(t, cloud.SetRecords(500, webscrapertest.JSONLines(`{"a":"new"}`)))
		return next
	})
	require.Equal(t, "{\"a\":\"new\"}\n", get(t, server, path).body)
	require.Contains(t, get(t, server, strings.TrimSuffix(path, "/json")).body, `"stored_record_count":1`)
}

func TestInvalidFaultsPanic(t *testing.T) {
	cloud := webscrapertest.New(webscrapertest.Options{})
	require.Panics(t, func() { cloud.Inject(webscrapertest.Fault{}) })
	require.Panics(t, func() { cloud.Inject(webscrapertest.Fault{Path: "[", Effect: webscrapertest.Hang()}) })
}
