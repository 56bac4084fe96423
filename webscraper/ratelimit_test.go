package webscraper_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestErrorOfARefusedCallHasTheServersDelay(t *testing.T) {
	soon := func(header string, value func(now time.Time) string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-RateLimit-Limit", "200")
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set(header, value(time.Now()))
			http.Error(w, "Too Many Attempts.", http.StatusTooManyRequests)
		}
	}
	tests := map[string]struct {
		refuse http.HandlerFunc
		want   time.Duration
	}{
		"Retry-After":           {soon("Retry-After", func(time.Time) string { return "30" }), 31 * time.Second},
		"Retry-After 0":         {soon("Retry-After", func(time.Time) string { return "0" }), time.Second},
		"Retry-After as a date": {soon("Retry-After", func(now time.Time) string { return now.Add(30 * time.Second).UTC().Format(http.TimeFormat) }), 31 * time.Second},
		"Retry-After too large": {soon("Retry-After", func(time.Time) string { return "9999999999999" }), 24*time.Hour + time.Second},
		"X-RateLimit-Reset":     {soon("X-RateLimit-Reset", func(now time.Time) string { return unix(now.Add(30 * time.Second)) }), 31 * time.Second},
		"reset in the past":     {soon("X-RateLimit-Reset", func(now time.Time) string { return unix(now.Add(-30 * time.Second)) }), time.Second},
		"reset too far away":    {soon("X-RateLimit-Reset", func(now time.Time) string { return unix(now.Add(9 * time.Hour)) }), 15*time.Minute + time.Second},
		"no delay":              {soon("X-Other", func(time.Time) string { return "" }), time.Minute},
		"nonsense":              {soon("Retry-After", func(time.Time) string { return "soon" }), time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newPipeClient(t, test.refuse)
				_, err := client.Account(t.Context())
				wait, limited := webscraper.IsRateLimited(err)
				require.True(t, limited)
				require.Equal(t, test.want, wait)
			})
		})
	}
}

func TestRefusedCallIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.TooManyRequests(time.Second)})
		start := time.Now()
		_, err := client.Account(t.Context())
		_, limited := webscraper.IsRateLimited(err)
		require.True(t, limited)
		_, err = client.DownloadScrapingJob(t.Context(), 500, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
		_, limited = webscraper.IsRateLimited(err)
		require.True(t, limited)
		require.Zero(t, time.Since(start))
		require.Len(t, cloud.Requests(), 2)
	})
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// tickets is a budget of left calls.
type tickets struct {
	left     int
	wait     time.Duration // when none is left
	reported [][3]any
}

func (b *tickets) Take(context.Context) (func(context.Context, int, int, time.Duration) error, time.Duration, error) {
	if b.left == 0 {
		return nil, b.wait, nil
	}
	b.left--
	return func(_ context.Context, limit, remaining int, refused time.Duration) error {
		b.reported = append(b.reported, [3]any{limit, remaining, refused})
		return nil
	}, 0, nil
}

func TestBudgetAdmitsEachCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"a":"1"}`)})
		budget := &tickets{left: 2, wait: 7 * time.Minute}
		client = client.WithBudget(budget)
		start := time.Now()
		_, err := client.ScrapingJob(t.Context(), id)
		require.NoError(t, err)
		_, err = client.DownloadScrapingJob(t.Context(), id, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
		require.NoError(t, err)
		_, err = client.Account(t.Context())
		wait, limited := webscraper.IsRateLimited(err)
		require.True(t, limited)
		require.Equal(t, 7*time.Minute, wait)
		require.EqualError(t, err, "webscraper: get account: 429 Too Many Requests: not sent: the account has no call left for 7m0s")
		require.Zero(t, time.Since(start), "it does not wait")
		require.Len(t, cloud.Requests(), 2)
		require.Equal(t, [][3]any{{200, 199, time.Duration(0)}, {200, 198, time.Duration(0)}}, budget.reported)
	})
}

func TestRefusalIsReportedToTheBudgetAndNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.TooManyRequests(30 * time.Second)})
		budget := &tickets{left: 5}
		start := time.Now()
		_, err := client.WithBudget(budget).Account(t.Context())
		wait, limited := webscraper.IsRateLimited(err)
		require.True(t, limited)
		require.Equal(t, 31*time.Second, wait)
		require.Zero(t, time.Since(start))
		require.Equal(t, [][3]any{{200, 0, 31 * time.Second}}, budget.reported)
		require.Len(t, cloud.Requests(), 1)
	})
}

func TestResetIsByTheServersClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		theirs := time.Now().Add(time.Hour)
		client := newPipeClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", theirs.UTC().Format(http.TimeFormat))
			w.Header().Set("X-RateLimit-Limit", "200")
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.Header().Set("X-RateLimit-Reset", unix(theirs.Add(40*time.Second)))
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		_, err := client.WithBudget(&tickets{left: 1}).Account(t.Context())
		wait, _ := webscraper.IsRateLimited(err)
		require.Equal(t, 41*time.Second, wait)
	})
}
