package webscrapertest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Ten seconds for a response, the first retry after five more, the second after ten.
func TestWebhookKeepsTheServicesTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var attempts []time.Duration
		cloud := New(Options{WebhookURL: "http://importer.test/"})
		cloud.webhookClient.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			attempts = append(attempts, time.Since(start))
			if len(attempts) == 1 {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return &http.Response{StatusCode: http.StatusBadGateway, Body: io.NopCloser(strings.NewReader(""))}, nil
		})
		id := cloud.AddJob(Job{})
		delivery, err := cloud.SendWebhook(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0, 15 * time.Second, 25 * time.Second}, attempts)
		require.EqualError(t, delivery.Attempts[0].Err, "no response within 10s")
		require.Equal(t, http.StatusBadGateway, delivery.Attempts[2].Status)
		require.False(t, delivery.Delivered)
	})
}
