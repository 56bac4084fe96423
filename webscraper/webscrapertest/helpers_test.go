package webscrapertest_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

type answer struct {
	status int
	header http.Header
	body   string
}

// send makes an API request with the default token. Headers are given as "Name: value".
func send(t *testing.T, server *webscrapertest.Cloud, method, path, body string, headers ...string) (answer, error) {
	t.Helper()
	target := server.URL + path
	if !strings.Contains(path, "api_token=") {
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		target += separator + "api_token=" + webscrapertest.DefaultToken
	}
	request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Accept-Encoding", "identity")
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	// One connection per request, so that no fault affects the next one.
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(content)}, err
}

func call(t *testing.T, server *webscrapertest.Cloud, method, path, body string, headers ...string) answer {
	t.Helper()
	got, err := send(t, server, method, path, body, headers...)
	require.NoError(t, err)
	return got
}

func get(t *testing.T, server *webscrapertest.Cloud, path string, headers ...string) answer {
	t.Helper()
	return call(t, server, http.MethodGet, path, "", headers...)
}

// clock is a time that tests advance.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
