package webscraper_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestRefusedCallIsSentAgainAfterTheDelayOfTheServer(t *testing.T) {
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
		"not said":              {soon("X-Other", func(time.Time) string { return "" }), time.Minute},
		"not understood":        {soon("Retry-After", func(time.Time) string { return "soon" }), time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				client := newPipeClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if calls++; calls == 1 {
						test.refuse(w, r)
						return
					}
					answerJSON(`{"success":true,"data":{"email":"user@example.com"}}`)(w, r)
				}))
				start := time.Now()
				account, err := client.Account(t.Context())
				require.NoError(t, err)
				require.Equal(t, "user@example.com", account.Email)
				require.Equal(t, test.want, time.Since(start))
			})
		})
	}
}

func TestRefusedCallIsGivenUpAfterFiveAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.TooManyRequests(time.Second)})
		_, err := client.Account(t.Context())
		_, limited := webscraper.IsRateLimited(err)
		require.True(t, limited)
		require.Len(t, cloud.Requests(), 5)
	})
}

func TestRefusedCallDoesNotWaitPastTheEndOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.TooManyRequests(30 * time.Second)})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		for range 2 {
			_, err := client.Account(ctx)
			_, limited := webscraper.IsRateLimited(err)
			require.True(t, limited)
		}
		require.Zero(t, time.Since(start))
	})
}

func TestWaitingForTheLimitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.TooManyRequests(30 * time.Second)})
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		time.AfterFunc(3*time.Second, cancel)
		_, err := client.Account(ctx)
		require.ErrorIs(t, err, context.Canceled)
		_, limited := webscraper.IsRateLimited(err)
		require.True(t, limited, "what it waited for is not lost")

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		_, err = client.Account(ctx)
		require.EqualError(t, err, "webscraper: get account: wait for the API limit: context canceled")
		require.Equal(t, 6*time.Second, time.Since(start))
	})
}

func TestRefusedCallIsSentAgainWithItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var bodies []string
		client := newPipeClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies = append(bodies, string(body))
			if len(bodies) == 1 {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			answerJSON(`{"success":true,"data":{"id":123}}`)(w, r)
		}))
		_, err := client.CreateSitemap(t.Context(), []byte(`{"_id":"shop"}`))
		require.NoError(t, err)
		require.Equal(t, []string{`{"_id":"shop"}`, `{"_id":"shop"}`}, bodies)
	})
}

func TestRefusedDownloadIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"a":"1"}`)})
		cloud.Inject(webscrapertest.Fault{Times: 2, Effect: webscrapertest.TooManyRequests(time.Second)})
		var b strings.Builder
		_, err := client.DownloadScrapingJob(t.Context(), id, &b, webscraper.FormatJSON, webscraper.DownloadOptions{})
		require.NoError(t, err)
		require.Equal(t, "{\"a\":\"1\"}\n", b.String())
	})
}

func TestMoreCallsThanTheBudgetAllSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		start := time.Now()
		for range 450 {
			_, err := client.Account(t.Context())
			require.NoError(t, err)
		}
		// The third 15 minutes have begun, and not much more was waited.
		require.Greater(t, time.Since(start), 30*time.Minute)
		require.Less(t, time.Since(start), 33*time.Minute)
		refused := 0
		for _, request := range cloud.Requests() {
			if request.Status == http.StatusTooManyRequests {
				refused++
			}
		}
		require.Equal(t, 2, refused, "one at the end of each 15 minutes")
	})
}

func TestManyCallsAtOnceAllSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		id := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(10, 1)})
		errs := make(chan error)
		const calls = 300 // at once, of 200 in 15 minutes
		for n := range calls {
			go func() {
				if n%2 == 0 {
					_, err := client.DownloadScrapingJob(t.Context(), id, io.Discard, webscraper.FormatJSON, webscraper.DownloadOptions{})
					errs <- err
					return
				}
				_, err := client.ScrapingJob(t.Context(), id)
				errs <- err
			}()
		}
		start := time.Now()
		for range calls {
			require.NoError(t, <-errs)
		}
		require.Less(t, time.Since(start), 16*time.Minute)
	})
}

func TestRefusalHoldsBackOtherCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		cloud.Inject(webscrapertest.Fault{Times: 1, Effect: webscrapertest.TooManyRequests(30 * time.Second)})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // too soon for a retry
		defer cancel()
		_, err := client.Account(ctx)
		require.Error(t, err)

		start := time.Now()
		_, err = client.Account(t.Context())
		require.NoError(t, err)
		require.Equal(t, 31*time.Second, time.Since(start))
	})
}

func TestRateLimitIsWhatTheLastAnswerTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		_, known := client.RateLimit()
		require.False(t, known)

		_, err := client.Account(t.Context())
		require.NoError(t, err)
		limit, known := client.RateLimit()
		require.True(t, known)
		require.Equal(t, webscraper.RateLimit{Limit: 200, Remaining: 199}, limit)

		cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.TooManyRequests(30 * time.Second)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // too soon for a retry
		defer cancel()
		_, err = client.Account(ctx)
		require.Error(t, err)
		limit, _ = client.RateLimit()
		require.Equal(t, webscraper.RateLimit{Limit: 200, Remaining: 0, Reset: time.Now().Add(30 * time.Second).UTC()}, limit)
	})
}

func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// tickets is a budget of so many calls.
type tickets struct {
	left int
	wait time.Duration // for the next one, when there is none
	told [][3]any
}

func (b *tickets) Take(context.Context) (func(context.Context, int, int, time.Duration) error, time.Duration, error) {
	if b.left == 0 {
		return nil, b.wait, nil
	}
	b.left--
	return func(_ context.Context, limit, remaining int, refused time.Duration) error {
		b.told = append(b.told, [3]any{limit, remaining, refused})
		return nil
	}, 0, nil
}

func TestBudgetDecidesAboutEachCall(t *testing.T) {
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
		require.EqualError(t, err, "webscraper: get account: 429 Too Many Requests: not sent, as the account has no call left for 7m0s")
		require.Zero(t, time.Since(start), "it does not wait")
		require.Len(t, cloud.Requests(), 2)
		require.Equal(t, [][3]any{{200, 199, time.Duration(0)}, {200, 198, time.Duration(0)}}, budget.told)
	})
}

func TestBudgetIsToldOfARefusalAndNothingIsSentAgain(t *testing.T) {
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
		require.Equal(t, [][3]any{{200, 0, 31 * time.Second}}, budget.told)
		require.Len(t, cloud.Requests(), 1)
	})
}

func TestResetIsToldByTheClockOfTheServer(t *testing.T) {
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
