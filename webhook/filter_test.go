package webhook_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/webhook"
)

func TestFilteredNotificationStartsNothing(t *testing.T) {
	for _, test := range []struct {
		name   string
		filter activities.Filter
		reason string // "" if the notification passes
	}{
		{"no filter", activities.Filter{}, ""},
		{"its prefix", activities.Filter{SitemapNamePrefix: "my-"}, ""},
		{"another prefix", activities.Filter{SitemapNamePrefix: "shop-"}, `the sitemap's name "my-sitemap" does not start with "shop-"`},
		{"its status", activities.Filter{Statuses: []string{"stopped", "finished"}}, ""},
		{"another status", activities.Filter{Statuses: []string{"stopped", "failed"}}, `the status "finished" is not one of ["stopped" "failed"]`},
		{"its prefix, another status", activities.Filter{SitemapNamePrefix: "my-", Statuses: []string{"failed"}}, `the status "finished" is not one of ["failed"]`},
		{"a tag, which a notification does not have", activities.Filter{Tag: "prices"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c temporal
			s := serve(t, &c, func(o *webhook.Options) { o.Settings.Filter = test.filter })
			status, answer := s.post(t, token, form, vendorsExample)
			require.Equal(t, http.StatusAccepted, status)
			if test.reason == "" {
				require.Equal(t, map[string]any{"workflow_id": "1234", "run_id": "the-run"}, answer)
				require.Len(t, c.signals, 1)
				require.NotContains(t, s.log.String(), "filtered")
				return
			}
			require.Equal(t, map[string]any{"outcome": "filtered", "reason": test.reason}, answer)
			require.Empty(t, c.signals)
			var line map[string]any
			require.NoError(t, json.Unmarshal(s.log.Bytes(), &line), "the log is one line: %s", s.log)
			delete(line, "time")
			require.Equal(t, map[string]any{
				"level": "INFO", "msg": "Notification filtered", "scrapingjob_id": 1234.0, "account": "default",
				"status": "finished", "sitemap_name": "my-sitemap", "reason": test.reason,
			}, line)
		})
	}
}

func TestInvalidNotificationIsRefusedBeforeFiltering(t *testing.T) {
	for _, test := range []struct {
		name, token, body string
		status            int
	}{
		{"wrong token", "wrong", vendorsExample, http.StatusUnauthorized},
		{"bad form", token, vendorsExample + "&status=failed", http.StatusBadRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c temporal
			s := serve(t, &c, func(o *webhook.Options) { o.Settings.Filter.SitemapNamePrefix = "shop-" })
			status, answer := s.post(t, test.token, form, test.body)
			require.Equal(t, test.status, status, answer)
			require.Empty(t, c.signals)
		})
	}
}
