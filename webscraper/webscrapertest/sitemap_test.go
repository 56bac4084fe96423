package webscrapertest_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const sitemapJSON = `{
	"_id": "webscraper-io-landing",
	"startUrl": ["http:\/\/webscraper.io\/"],
	"selectors": [{"id": "title", "type": "SelectorText", "selector": "h1", "regex": "\\\/\\d"}]
}`

func TestSitemapIsEchoedCompactly(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	require.Equal(t, `{"success":true,"data":{"id":123}}`, call(t, server, http.MethodPost, "sitemap", sitemapJSON).body)
	var got struct {
		Data struct{ Name, Sitemap string }
	}
	require.NoError(t, json.Unmarshal([]byte(get(t, server, "sitemap/123").body), &got))
	require.Equal(t, "webscraper-io-landing", got.Data.Name)
	require.Equal(t, `{"_id":"webscraper-io-landing","startUrl":["http://webscraper.io/"],`+
		`"selectors":[{"id":"title","type":"SelectorText","selector":"h1","regex":"\\/\\d"}]}`, got.Data.Sitemap)
	require.Contains(t, get(t, server, "sitemaps").body, `"data":[{"id":123,"name":"webscraper-io-landing"}]`)
}

func TestSitemapIsUpdatedAndDeleted(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	server.AddSitemap(webscrapertest.Sitemap{ID: 7, Name: "old"})
	require.Equal(t, `{"success":true,"data":"ok"}`, call(t, server, http.MethodPut, "sitemap/7", sitemapJSON).body)
	require.Contains(t, get(t, server, "sitemap/7").body, `"name":"webscraper-io-landing"`)
	require.Equal(t, `{"success":true,"data":"ok"}`, call(t, server, http.MethodDelete, "sitemap/7", "").body)
	require.Equal(t, http.StatusNotFound, get(t, server, "sitemap/7").status)
	require.Equal(t, http.StatusNotFound, call(t, server, http.MethodPut, "sitemap/7", sitemapJSON).status)
}

func TestSitemapIsValidated(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	server.AddSitemap(webscrapertest.Sitemap{ID: 7})
	const suspicious = `"sitemap_object":["Sitemap has a suspicious attribute somewhere."]`
	const noStart = `"sitemap_object.startUrl":["The sitemap object.start url field is required."]`
	for body, want := range map[string]string{
		`sitemap`:                             suspicious + "," + noStart,
		`{"_id":"a"}`:                         noStart,
		`{"_id":"a","startUrl":[]}`:           noStart,
		`{"startUrl":["http://example.com"]}`: suspicious,
	} {
		for _, request := range [][2]string{{http.MethodPost, "sitemap"}, {http.MethodPut, "sitemap/7"}} {
			got := call(t, server, request[0], request[1], body)
			require.Equal(t, http.StatusUnprocessableEntity, got.status)
			require.Equal(t, `{"success":false,"validationErrors":{`+want+`}}`, got.body)
		}
	}
}

func TestSchedulerIsEnabledAndDisabled(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	server.AddSitemap(webscrapertest.Sitemap{ID: 7})
	require.Contains(t, get(t, server, "sitemap/7/scheduler").body, `"scheduler_enabled":false`)
	const config = `"cron_minute":"*\/10","cron_hour":"*","cron_day":"*","cron_month":"*","cron_weekday":"*",` +
		`"request_interval":2100,"page_load_delay":2200,"cron_timezone":"Europe\/Riga","driver":"fast","proxy":1}`
	require.Equal(t, `{"success":true,"data":"ok"}`, call(t, server, http.MethodPost, "sitemap/7/enable-scheduler", "{"+config).body)
	require.JSONEq(t, `{"success":true,"data":{"scheduler_enabled":true,`+config+`}`, get(t, server, "sitemap/7/scheduler").body)
	require.Equal(t, `{"success":true,"data":"ok"}`, call(t, server, http.MethodPost, "sitemap/7/disable-scheduler", "").body)
	require.JSONEq(t, `{"success":true,"data":{"scheduler_enabled":false,`+config+`}`, get(t, server, "sitemap/7/scheduler").body)
}

func TestSchedulerIsValidated(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	server.AddSitemap(webscrapertest.Sitemap{ID: 7})
	got := call(t, server, http.MethodPost, "sitemap/7/enable-scheduler",
		`{"cron_minute":"5","cron_hour":"*","cron_day":"*","cron_month":"*","cron_weekday":"*",`+
			`"request_interval":2000,"page_load_delay":"2000","driver":"slow"}`)
	require.Equal(t, http.StatusUnprocessableEntity, got.status)
	require.Equal(t, `{"success":false,"validationErrors":{`+
		`"cron_timezone":["The cron timezone field is required."],"driver":["The selected driver is invalid."]}}`, got.body)
	require.Contains(t, get(t, server, "sitemap/7/scheduler").body, `"scheduler_enabled":false`)
}
