package webscrapertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const tokenOfAcme = "token-of-acme"

func TestAccountsShareNothingButTheURLAndTheIDs(t *testing.T) {
	var notified int
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { notified++ }))
	defer receiver.Close()
	cloud := webscrapertest.NewServer(t, webscrapertest.Options{})
	acme := cloud.AddAccount(webscrapertest.Options{
		Tokens: []string{tokenOfAcme}, Account: webscrapertest.Account{PageCredits: 7}, RateLimitCalls: 6, WebhookURL: receiver.URL,
	})
	require.Equal(t, int64(500), cloud.AddJob(webscrapertest.Job{}))
	require.Equal(t, int64(501), acme.AddJob(webscrapertest.Job{}))
	acme.AddJob(webscrapertest.Job{ID: 500, SitemapName: "of-acme"})
	status := func(token, path string) int { return get(t, cloud, path+"?api_token="+token).status }
	require.Equal(t, http.StatusNotFound, status(webscrapertest.DefaultToken, "scraping-job/501"))
	require.Equal(t, http.StatusOK, status(webscrapertest.DefaultToken, "scraping-job/500"))
	for range 5 {
		require.Equal(t, http.StatusOK, status(tokenOfAcme, "scraping-job/501"))
	}
	require.Equal(t, http.StatusOK, status(tokenOfAcme, "account"))
	require.Equal(t, http.StatusTooManyRequests, status(tokenOfAcme, "scraping-job/500"))
	require.Equal(t, http.StatusOK, status(webscrapertest.DefaultToken, "scraping-job/500"))
	require.Len(t, cloud.Requests(), 3)
	require.Len(t, acme.Requests(), 7)

	_, err := cloud.SendWebhook(t.Context(), 500)
	require.ErrorContains(t, err, "no webhook URL is set")
	_, err = acme.SendWebhook(t.Context(), 500)
	require.NoError(t, err)
	require.Equal(t, 1, notified)

	require.Panics(t, func() { cloud.AddAccount(webscrapertest.Options{Tokens: []string{tokenOfAcme}}) })
	require.Panics(t, func() { cloud.AddAccount(webscrapertest.Options{}) })
}

func TestTokensAreRotated(t *testing.T) {
	cloud := webscrapertest.NewServer(t, webscrapertest.Options{})
	acme := cloud.AddAccount(webscrapertest.Options{Tokens: []string{tokenOfAcme}})
	id := acme.AddJob(webscrapertest.Job{})
	status := func(token string) int {
		return get(t, cloud, fmt.Sprintf("scraping-job/%d?api_token=%s", id, token)).status
	}
	require.Equal(t, http.StatusOK, status(tokenOfAcme))
	acme.SetTokens()
	require.Equal(t, http.StatusUnauthorized, status(tokenOfAcme))
	acme.SetTokens("another-token")
	require.Equal(t, http.StatusUnauthorized, status(tokenOfAcme))
	require.Equal(t, http.StatusOK, status("another-token"))
	require.Empty(t, cloud.Requests(), "a withdrawn token still belongs to acme")
}

// The webhook of a job with a timeline is the account's.
func TestTimelinesOfAllAccountsRun(t *testing.T) {
	ended := make(chan string, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ended <- r.FormValue("scrapingjob_id") }))
	defer receiver.Close()
	cloud := webscrapertest.NewServer(t, webscrapertest.Options{})
	acme := cloud.AddAccount(webscrapertest.Options{Tokens: []string{tokenOfAcme}, WebhookURL: receiver.URL})
	acme.AddJob(webscrapertest.Job{Timeline: webscrapertest.Timeline{Started: time.Millisecond}})
	require.Equal(t, "500", <-ended)
}
