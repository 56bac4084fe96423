package contract

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// operation is a call that both clients make.
type operation struct {
	name   string
	theirs vendorCall
	ours   func(context.Context, *webscraper.Client) (any, error) // returns what the vendor's client does
	only   string                                                 // the part of their result that ours has
}

var operations = []operation{
	{
		name:   "get the account",
		theirs: onClient("getAccountInfo"),
		ours: func(ctx context.Context, client *webscraper.Client) (any, error) {
			account, err := client.Account(ctx)
			return accountObject(account), err
		},
	},
	{
		name: "create a scraping job",
		theirs: onClient("createScrapingJob", map[string]any{
			"sitemap_id": 123, "driver": "fulljs", "page_load_delay": 2200, "request_interval": 2100,
			"proxy": 1, "start_urls": []string{"https://webscraper.io/test-sites"}, "custom_id": "mine",
		}),
		ours: func(ctx context.Context, client *webscraper.Client) (any, error) {
			return client.CreateScrapingJob(ctx, webscraper.ScrapingJobConfig{
				SitemapID: 123, Driver: "fulljs", PageLoadDelay: 2200 * time.Millisecond, RequestInterval: 2100 * time.Millisecond,
				Proxy: "1", StartURLs: []string{"https://webscraper.io/test-sites"}, CustomID: "mine",
			})
		},
		only: "id",
	},
	{
		name: "create a scraping job with a wrong sitemap and driver",
		theirs: onClient("createScrapingJob", map[string]any{
			"sitemap_id": 7, "driver": "slow", "page_load_delay": 2000, "request_interval": 2000,
		}),
		ours: func(ctx context.Context, client *webscraper.Client) (any, error) {
			return client.CreateScrapingJob(ctx, webscraper.ScrapingJobConfig{
				SitemapID: 7, Driver: "slow", PageLoadDelay: 2 * time.Second, RequestInterval: 2 * time.Second,
			})
		},
	},
	{
		name:   "get the created scraping job",
		theirs: onClient("getScrapingJob", 2001),
		ours:   getJob(2001),
	},
	{
		name:   "get a finished scraping job",
		theirs: onClient("getScrapingJob", 2000),
		ours:   getJob(2000),
	},
	{
		name:   "get a scraping job that does not exist",
		theirs: onClient("getScrapingJob", 7),
		ours:   getJob(7),
	},
	{
		name:   "list all scraping jobs",
		theirs: onClient("getScrapingJobs").then("getAllRecords"),
		ours:   listJobs(0),
	},
	{
		name:   "list the scraping jobs of a sitemap",
		theirs: onClient("getScrapingJobs", map[string]any{"sitemap_id": 123}).then("fetchRecords"),
		ours:   listJobs(123),
	},
	{
		name:   "list the scraping jobs of a sitemap without any",
		theirs: onClient("getScrapingJobs", map[string]any{"sitemap_id": 7}).then("getAllRecords"),
		ours:   listJobs(7),
	},
	{
		name:   "list the problematic URLs",
		theirs: onClient("getProblematicUrls", 2000).then("getAllRecords"),
		ours: func(ctx context.Context, client *webscraper.Client) (any, error) {
			return collect(client.ProblematicURLs(ctx, 2000), func(problematic webscraper.ProblematicURL) any { return problematic })
		},
	},
	{
		name:   "get the data quality",
		theirs: onClient("getScrapingJobDataQuality", 2000),
		ours:   getDataQuality(2000),
	},
	{
		name:   "get the data quality of a job that has not finished",
		theirs: onClient("getScrapingJobDataQuality", 2001),
		ours:   getDataQuality(2001),
	},
	{
		name:   "delete a scraping job",
		theirs: onClient("deleteScrapingJob", 2001),
		ours:   deleteJob(2001),
	},
	{
		name:   "delete a scraping job again",
		theirs: onClient("deleteScrapingJob", 2001),
		ours:   deleteJob(2001),
	},
}

// newTwin returns a fake; all that it returns are identical, down to the clock.
func newTwin(t *testing.T) *webscrapertest.Cloud {
	t.Helper()
	server := webscrapertest.NewServer(t, webscrapertest.Options{Clock: func() time.Time { return time.Unix(1_700_000_000, 0) }})
	server.AddSitemap(webscrapertest.Sitemap{ID: 123, Name: "tablets"})
	server.AddJob(webscrapertest.Job{
		ID: 2000, SitemapID: 90, SitemapName: "café/menu", CustomID: "nightly",
		Records:   webscrapertest.Products(1000, 1),
		Pages:     webscrapertest.Pages{Scheduled: 60, Executed: 55, Failed: 1, Empty: 2, NoValue: 3},
		Scheduled: true, TestRun: true,
		ScrapingDuration: 95 * time.Second,
		ProblematicURLs: []webscrapertest.ProblematicURL{
			{URL: "https://webscraper.io/a?b=c&d", Type: "empty"},
			{URL: "https://webscraper.io/ü", Type: "failed"},
			{URL: "https://webscraper.io/e", Type: "no_value"},
		},
	})
	return server
}

func TestBothClientsReturnTheSame(t *testing.T) {
	t.Parallel()
	theirs, ours := newTwin(t), newTwin(t)
	calls := make([]vendorCall, len(operations))
	for i, operation := range operations {
		calls[i] = operation.theirs
	}
	outcomes := callVendor(t, theirs, calls...)
	client := newClient(t, ours)
	for i, operation := range operations {
		t.Run(operation.name, func(t *testing.T) {
			value, err := operation.ours(t.Context(), client)
			if err != nil {
				require.JSONEq(t, vendorError(t, outcomes[i]), encode(t, errorObject(t, err)))
				return
			}
			require.Empty(t, outcomes[i].Error, "their client failed, ours did not")
			want := outcomes[i].Value
			if operation.only != "" {
				var object map[string]json.RawMessage
				require.NoError(t, json.Unmarshal(want, &object))
				want = object[operation.only]
			}
			require.JSONEq(t, read(want), encode(t, value))
		})
	}
	require.Equal(t, withoutSizes(theirs.Requests()), withoutSizes(ours.Requests()), "both make the same requests")
}

// vendorError returns the response that their client failed with.
func vendorError(t *testing.T, outcome vendorOutcome) string {
	t.Helper()
	body, wrong := strings.CutPrefix(outcome.Error, "Error: Web Scraper API Exception: ")
	require.True(t, wrong, "theirs did not fail: %s", outcome.Value)
	return body
}

// withoutSizes clears the sizes of the responses: clients may read more or less of an
// error.
func withoutSizes(requests []webscrapertest.Request) []webscrapertest.Request {
	for i := range requests {
		requests[i].Bytes = 0
	}
	return requests
}

// No method of the vendor's client is left out, even after an update, except those for
// sitemaps, which only people change.
func TestEveryMethodOfTheVendorsClientIsCalled(t *testing.T) {
	t.Parallel()
	outcomes := callVendor(t, newTwin(t), vendorCall{Object: "methods"}.then("list"))
	var methods []string
	require.NoError(t, json.Unmarshal(outcomes[0].Value, &methods))
	called := map[string]bool{"downloadScrapingJobJSON": true, "downloadScrapingJobCSV": true} // see TestBothClientsReadTheSameRows
	for _, operation := range operations {
		called[operation.theirs.Steps[0].Method] = true
	}
	for _, method := range methods {
		require.True(t, called[method] || strings.Contains(method, "Sitemap"), method)
	}
}

func TestVendorsClientReadsThePagesOfTheFake(t *testing.T) {
	t.Parallel()
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	for range 120 {
		server.AddJob(webscrapertest.Job{})
	}
	outcomes := callVendor(t, server,
		onClient("getScrapingJobs").then("getPageData", 2),
		onClient("getScrapingJobs").then("getPageData", 3),
		onClient("getScrapingJobs").then("getPageData", 1).keep().then("getLastPage"))
	var second []struct{ ID int64 }
	require.NoError(t, json.Unmarshal(outcomes[0].Value, &second))
	require.Len(t, second, 20)
	require.EqualValues(t, 600, second[0].ID)
	require.JSONEq(t, "[]", string(outcomes[1].Value))
	require.JSONEq(t, "2", string(outcomes[2].Value))
}

// Theirs waits for Retry-After plus one second; ours returns that wait.
func TestBothClientsWaitForTheRateLimit(t *testing.T) {
	t.Parallel()
	limit := webscrapertest.Options{RateLimitCalls: 1, RateLimitWindow: time.Second}

	theirs := webscrapertest.NewServer(t, limit)
	for _, outcome := range callVendor(t, theirs, onClient("getAccountInfo"), onClient("getAccountInfo")) {
		require.Empty(t, outcome.Error)
	}
	require.Equal(t, []int{http.StatusOK, http.StatusTooManyRequests, http.StatusOK}, statuses(theirs))
	refused, again := theirs.Requests()[1], theirs.Requests()[2]

	limit.Clock = func() time.Time { return time.Unix(1_700_000_000, 0) }
	ours := webscrapertest.NewServer(t, limit)
	client := newClient(t, ours)
	_, err := client.Account(t.Context())
	require.NoError(t, err)
	_, err = client.Account(t.Context())
	wait, limited := webscraper.IsRateLimited(err)
	require.True(t, limited)
	require.Equal(t, 2*time.Second, wait)
	require.Greater(t, again.Time.Sub(refused.Time), wait-100*time.Millisecond)
}

func statuses(server *webscrapertest.Cloud) []int {
	var statuses []int
	for _, request := range server.Requests() {
		statuses = append(statuses, request.Status)
	}
	return statuses
}

func encode(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return string(text)
}

// collect returns the items of one of our iterators.
func collect[T any](items iter.Seq2[T, error], convert func(T) any) ([]any, error) {
	all := []any{}
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		all = append(all, convert(item))
	}
	return all, nil
}

// errorObject returns an error of our client as the API spells it.
func errorObject(t *testing.T, err error) any {
	t.Helper()
	var apiError *webscraper.Error
	require.True(t, errors.As(err, &apiError), "%v", err)
	if apiError.ValidationErrors != nil {
		return map[string]any{"success": false, "validationErrors": apiError.ValidationErrors}
	}
	return map[string]any{"success": false, "error": apiError.Message}
}
