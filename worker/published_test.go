package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
)

const publishedSecret = "whsec_bm90aGluZyB0aGF0IGFueWJvZHkgd291bGQgZ3Vlc3M="

func TestInvalidFollowUpSettingIsNamedWithoutSecrets(t *testing.T) {
	for _, c := range []struct{ name, value, with, its, want string }{
		{"ON_PUBLISHED", "RefreshPrices", "", "", `ON_PUBLISHED is "RefreshPrices": want WorkflowType@task-queue`},
		{"ON_PUBLISHED", "@prices", "", "", `ON_PUBLISHED is "@prices": want WorkflowType@task-queue`},
		{"ON_PUBLISHED", "RefreshPrices@", "", "", `ON_PUBLISHED is "RefreshPrices@": want WorkflowType@task-queue`},
		{"ON_PUBLISHED", "RunSitemap@scrapingjob-import", "", "", `ON_PUBLISHED has the workflow type "RunSitemap", which belongs to scrapehaul: want one of yours`},
		{"ON_PUBLISHED", "RefreshPrices@/_sys/prices", "", "", `ON_PUBLISHED has the task queue "/_sys/prices": want 1 to 255 bytes of UTF-8 that do not begin with /_sys/`},
		{"ON_PUBLISHED_SITEMAP_PREFIX", "prices-", "", "", "ON_PUBLISHED is missing: "},
		{"PUBLISHED_WEBHOOK_SECRET", publishedSecret, "", "", "PUBLISHED_WEBHOOK_URL is missing: "},
		{"PUBLISHED_WEBHOOK_URL", "https://host/" + password, "", "", "PUBLISHED_WEBHOOK_SECRET is not a Standard Webhooks secret: "},
		{"PUBLISHED_WEBHOOK_URL", "ftp://host/" + password, "PUBLISHED_WEBHOOK_SECRET", publishedSecret, "PUBLISHED_WEBHOOK_URL is not a webhook's URL: "},
		{"PUBLISHED_WEBHOOK_URL", "https://user:" + password + "@host:port/", "PUBLISHED_WEBHOOK_SECRET", publishedSecret, "PUBLISHED_WEBHOOK_URL is not a webhook's URL: "},
		{"PUBLISHED_WEBHOOK_URL", "https:///" + password, "PUBLISHED_WEBHOOK_SECRET", publishedSecret, "PUBLISHED_WEBHOOK_URL is not a webhook's URL: "},
		{"PUBLISHED_WEBHOOK_SECRET", publishedSecret[len("whsec_"):], "PUBLISHED_WEBHOOK_URL", "https://host/", "PUBLISHED_WEBHOOK_SECRET is not a Standard Webhooks secret: "},
		{"PUBLISHED_WEBHOOK_SECRET", "whsec_" + password, "PUBLISHED_WEBHOOK_URL", "https://host/", "PUBLISHED_WEBHOOK_SECRET is not a Standard Webhooks secret: "},
		{"PUBLISHED_WEBHOOK_SECRET", "whsec_c2hvcnQ=", "PUBLISHED_WEBHOOK_URL", "https://host/", "PUBLISHED_WEBHOOK_SECRET is not a Standard Webhooks secret: want whsec_ and 24 to 64 bytes in base64"},
	} {
		t.Run(c.want, func(t *testing.T) {
			settings := map[string]string{
				"WEBSCRAPER_API_TOKEN": apiToken, "DATABASE_URL": "postgres://importer@db/scrapes?sslmode=disable", "SPOOL_DIR": t.TempDir(),
			}
			settings[c.name] = c.value
			if c.with != "" {
				settings[c.with] = c.its
			}
			programtest.SetEnvironment(t, settings)
			code, _, problems := runWorker("run")
			require.Equal(t, program.ExitSettings, code)
			programtest.RequireProblems(t, "worker", problems, c.want)
			for _, secret := range []string{password, publishedSecret[len("whsec_"):], "c2hvcnQ="} {
				require.NotContains(t, problems, secret)
			}
		})
	}
}

func TestFollowUpSettingsAreRead(t *testing.T) {
	var s program.Settings
	none := new(publishedFlags)
	require.Nil(t, none.followUp(&s))
	require.Nil(t, none.webhook(&s))
	all := &publishedFlags{
		OnPublished: "RefreshPrices@prices@downloads", SitemapPrefix: "prices-",
		WebhookURL: "http://user:password@127.0.0.1:8080/hook?token=1", WebhookSecret: publishedSecret,
	}
	require.Equal(t, &activities.FollowUp{WorkflowType: "RefreshPrices", TaskQueue: "prices@downloads", SitemapNamePrefix: "prices-"}, all.followUp(&s))
	require.Equal(t, &activities.Webhook{URL: all.WebhookURL, Secret: all.WebhookSecret}, all.webhook(&s))
	require.NoError(t, s.Err())
}
