package webscrapertest_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// receiver accepts webhooks and responds to each with the next of its statuses, repeating
// the last one.
type receiver struct {
	*httptest.Server
	forms chan url.Values
}

func newReceiver(t *testing.T, statuses ...int) receiver {
	t.Helper()
	r := receiver{forms: make(chan url.Values, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil || request.Method != http.MethodPost || request.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		form, _ := url.ParseQuery(string(body))
		status := statuses[min(len(r.forms), len(statuses)-1)]
		r.forms <- form
		if status >= 300 && status < 400 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "thanks")
	}))
	t.Cleanup(r.Close)
	return r
}

// fast returns the options of a cloud that retries immediately.
func fast(webhookURL string) webscrapertest.Options {
	return webscrapertest.Options{WebhookURL: webhookURL, WebhookFirstRetry: time.Millisecond, WebhookSecondRetry: time.Millisecond}
}

func TestWebhookIsAFormOfTheJob(t *testing.T) {
	receiver := newReceiver(t, http.StatusAccepted)
	cloud := webscrapertest.New(webscrapertest.Options{WebhookURL: receiver.URL + "/?token=secret"})
	id := cloud.AddJob(webscrapertest.Job{
		ID: 1234, SitemapID: 12, SitemapName: "my sitemap", CustomID: "custom-12", Status: "started",
	})
	require.NoError(t, cloud.Finish(t.Context(), id, "finished"))
	require.Equal(t, url.Values{
		"scrapingjob_id": {"1234"}, "status": {"finished"}, "sitemap_id": {"12"}, "sitemap_name": {"my sitemap"}, "custom_id": {"custom-12"},
	}, <-receiver.forms)

	plain := cloud.AddJob(webscrapertest.Job{Status: "stopped"})
	delivery, err := cloud.SendWebhook(t.Context(), plain)
	require.NoError(t, err)
	require.True(t, delivery.Delivered)
	require.Equal(t, webscrapertest.Delivery{Delivered: true, Attempts: []webscrapertest.Attempt{{Status: 202, Body: "thanks"}}}, delivery)
	require.NotContains(t, <-receiver.forms, "custom_id")
}

func TestWebhookIsRetriedTwiceAndDropped(t *testing.T) {
	for _, tt := range []struct {
		name      string
		statuses  []int
		attempts  int
		delivered bool
	}{
		{"accepted immediately", []int{299}, 1, true},
		{"accepted at the first retry", []int{500, 200}, 2, true},
		{"accepted at the second retry", []int{500, 404, 200}, 3, true},
		{"dropped", []int{503}, 3, false},
		{"redirects are not followed", []int{302}, 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			receiver := newReceiver(t, tt.statuses...)
			cloud := webscrapertest.New(fast(receiver.URL))
			id := cloud.AddJob(webscrapertest.Job{})
			delivery, err := cloud.SendWebhook(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, tt.delivered, delivery.Delivered)
			require.Len(t, delivery.Attempts, tt.attempts)
			require.Len(t, receiver.forms, tt.attempts)
			for i, attempt := range delivery.Attempts {
				require.NoError(t, attempt.Err)
				require.Equal(t, tt.statuses[min(i, len(tt.statuses)-1)], attempt.Status)
			}
		})
	}
}

func TestWebhookTimesOut(t *testing.T) {
	released := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-released }))
	defer slow.Close()
	defer close(released)
	options := fast(slow.URL)
	options.WebhookTimeout = 20 * time.Millisecond
	cloud := webscrapertest.New(options)
	id := cloud.AddJob(webscrapertest.Job{})
	err := cloud.Finish(t.Context(), id, "finished")
	require.EqualError(t, err, "finish job 500: the webhook was dropped after 3 attempts: no response within 20ms")
}

func TestWebhookSecretStaysOutOfErrorsAndLogs(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	var logged bytes.Buffer
	options := fast(closed.URL + "/?token=secret")
	options.Logger = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cloud := webscrapertest.New(options)
	id := cloud.AddJob(webscrapertest.Job{})
	err := cloud.Finish(t.Context(), id, "finished")
	require.ErrorContains(t, err, "the webhook was dropped after 3 attempts")
	require.NotContains(t, err.Error(), "secret")

	cloud.SetWebhookURL("http://[::1?token=secret")
	err = cloud.Finish(t.Context(), id, "finished")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")

	cloud.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/api/v1/account?api_token="+webscrapertest.DefaultToken, nil))
	require.Contains(t, logged.String(), "path=account")
	require.Equal(t, 6, strings.Count(logged.String(), "msg=webhook"))
	require.NotContains(t, logged.String(), "secret")
	require.NotContains(t, logged.String(), webscrapertest.DefaultToken)
}

func TestWebhookStopsWithItsContext(t *testing.T) {
	receiver := newReceiver(t, http.StatusInternalServerError)
	cloud := webscrapertest.New(webscrapertest.Options{WebhookURL: receiver.URL, WebhookFirstRetry: time.Hour, WebhookSecondRetry: time.Hour})
	id := cloud.AddJob(webscrapertest.Job{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-receiver.forms
		cancel()
	}()
	delivery, err := cloud.SendWebhook(ctx, id)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, delivery.Attempts, 1)
}

func TestWebhookNeedsAJobAndAURL(t *testing.T) {
	cloud := webscrapertest.New(webscrapertest.Options{})
	_, err := cloud.SendWebhook(t.Context(), 7)
	require.EqualError(t, err, "send the webhook of job 7: job not found")
	id := cloud.AddJob(webscrapertest.Job{})
	_, err = cloud.SendWebhook(t.Context(), id)
	require.EqualError(t, err, "send the webhook of job 500: no webhook URL is set; use Options.WebhookURL or SetWebhookURL")
	require.NoError(t, cloud.Finish(t.Context(), id, "finished"), "a cloud without webhook is silent")
	require.ErrorContains(t, cloud.Finish(t.Context(), id, "started"), `status is "started", want one of`)
}
