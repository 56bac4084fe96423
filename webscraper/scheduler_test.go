package webscraper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestScheduler(t *testing.T) {
	cloud, client := newCloud(t)
	id := cloud.AddSitemap(webscrapertest.Sitemap{Name: "shop"})
	config := webscraper.Scheduler{
		CronMinute: "*/10", CronHour: "*", CronDay: "*", CronMonth: "*", CronWeekday: "*", CronTimezone: "Europe/Riga",
		RequestInterval: 2 * time.Second, PageLoadDelay: 3 * time.Second, Driver: "fast", Proxy: webscraper.DefaultProxy,
	}
	require.NoError(t, client.EnableSitemapScheduler(t.Context(), id, config))
	scheduler, err := client.SitemapScheduler(t.Context(), id)
	require.NoError(t, err)
	config.Enabled = true
	require.Equal(t, &config, scheduler)

	require.NoError(t, client.DisableSitemapScheduler(t.Context(), id))
	scheduler, err = client.SitemapScheduler(t.Context(), id)
	require.NoError(t, err)
	require.False(t, scheduler.Enabled)
}

func TestSchedulerSendsAndDecodesTheDocumentedShape(t *testing.T) {
	const documented = `"cron_minute":"*/10","cron_hour":"*","cron_day":"*","cron_month":"*","cron_weekday":"*",
		"request_interval":2000,"page_load_delay":2000,"cron_timezone":"Europe/Riga","driver":"fast","proxy":0}`
	recorded := &recorder{data: `{"scheduler_enabled":true,` + documented}
	client := newClient(t, recorded)
	scheduler, err := client.SitemapScheduler(t.Context(), 123)
	require.NoError(t, err)
	require.Equal(t, "GET /api/v1/sitemap/123/scheduler", recorded.request)
	require.True(t, scheduler.Enabled)
	require.Equal(t, webscraper.NoProxy, scheduler.Proxy)

	recorded.data = `"ok"`
	require.NoError(t, client.EnableSitemapScheduler(t.Context(), 123, *scheduler))
	require.Equal(t, "POST /api/v1/sitemap/123/enable-scheduler", recorded.request)
	require.JSONEq(t, `{`+documented, recorded.body)
}
