package webscrapertest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestJobIsCreatedAndWaits(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Clock: newClock().Now})
	server.AddSitemap(webscrapertest.Sitemap{ID: 7, Name: "shop"})
	got := call(t, server, http.MethodPost, "scraping-job", `{"sitemap_id":"7","driver":"fulljs","page_load_delay":3000,`+
		`"request_interval":"2500","proxy":1,"start_urls":["http://example.com"],"custom_id":"mine"}`)
	require.Equal(t, `{"success":true,"data":{"id":500,"custom_id":"mine"}}`, got.body)
	body := get(t, server, "scraping-job/500").body
	require.Contains(t, body, `"sitemap_name":"shop","status":"waiting-to-be-scheduled","sitemap_id":7,`)
	require.Contains(t, body, `"request_interval":2500,"page_load_delay":3000,"driver":"fulljs"`)
	job, ok := server.Job(500)
	require.True(t, ok)
	require.Equal(t, "1", job.Proxy)
	require.Equal(t, []string{"http://example.com"}, job.StartURLs)

	got = call(t, server, http.MethodPost, "scraping-job", `{"sitemap_id":7,"driver":"fast","page_load_delay":0,"request_interval":0}`)
	require.Equal(t, `{"success":true,"data":{"id":501,"custom_id":null}}`, got.body)
}

func TestNewJobIsValidated(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	server.AddSitemap(webscrapertest.Sitemap{ID: 7})
	const rest = `"driver":"fast","page_load_delay":2000,"request_interval":2000`
	for body, want := range map[string]string{
		`{}`: `"driver":["The driver field is required."],"page_load_delay":["The page load delay field is required."],` +
			`"request_interval":["The request interval field is required."],"sitemap_id":["The sitemap id field is required."]`,
		`{"sitemap_id":9,` + rest + `}`: `"sitemap_id":["The selected sitemap id is invalid."]`,
		`{"sitemap_id":9,"driver":"slow","page_load_delay":2000,"request_interval":2000}`: "" +
			`"driver":["The selected driver is invalid."],"sitemap_id":["The selected sitemap id is invalid."]`,
	} {
		got := call(t, server, http.MethodPost, "scraping-job", body)
		require.Equal(t, http.StatusUnprocessableEntity, got.status)
		require.Equal(t, `{"success":false,"validationErrors":{`+want+`}}`, got.body)
	}
	for _, body := range []string{``, `{"sitemap_id":[],` + rest + `}`} {
		require.Equal(t, http.StatusBadRequest, call(t, server, http.MethodPost, "scraping-job", body).status)
	}
	require.Contains(t, get(t, server, "scraping-jobs").body, `"data":[]`)
}

// ends is a timeline without waiting.
var ends = webscrapertest.Timeline{Started: time.Nanosecond}

// createJob creates a job of a new sitemap through the API.
func createJob(t *testing.T, server *webscrapertest.Cloud, sitemap webscrapertest.Sitemap, startURLs ...string) (id int64) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"sitemap_id": server.AddSitemap(sitemap), "driver": "fast",
		"page_load_delay": 2000, "request_interval": 2000, "start_urls": startURLs, "custom_id": "mine",
	})
	require.NoError(t, err)
	var created struct{ Data struct{ ID int64 } }
	require.NoError(t, json.Unmarshal([]byte(call(t, server, http.MethodPost, "scraping-job", string(body)).body), &created))
	require.NotZero(t, created.Data.ID)
	return created.Data.ID
}

// oneRecord is a sitemap with one record on a page.
var oneRecord = webscrapertest.Sitemap{RecordsPerPage: 1}

func TestCreatedJobFollowsTheCloudsClockAndNotifiesAtItsEnd(t *testing.T) {
	receiver := newReceiver(t, http.StatusOK)
	clock := newClock()
	server := webscrapertest.NewServer(t, webscrapertest.Options{Clock: clock.Now, WebhookURL: receiver.URL})
	id := createJob(t, server, oneRecord, "https://example.com/[1-8]", "https://shop.invalid/[1-2]")
	for range 3 {
		require.Equal(t, wireJob{Status: "waiting-to-be-scheduled"}, getJob(t, server, id))
		clock.Advance(time.Second)
	}
	require.Equal(t, wireJob{Status: "scheduling"}, getJob(t, server, id))
	clock.Advance(time.Second)
	require.Equal(t, wireJob{Status: "scheduled", Scheduled: 10}, getJob(t, server, id))
	clock.Advance(3 * time.Second)
	require.Equal(t, wireJob{Status: "started", Scheduled: 10, Executed: 4, Stored: 3, Duration: 2}, getJob(t, server, id))
	require.Contains(t, get(t, server, jobPath(id, "/problematic-urls")).body, `"total":0`)
	require.Empty(t, receiver.forms)
	clock.Advance(3 * time.Second)
	form := <-receiver.forms
	require.Equal(t, []string{"500", "finished", "mine"}, []string{form.Get("scrapingjob_id"), form.Get("status"), form.Get("custom_id")})
	require.Equal(t, wireJob{Status: "finished", Scheduled: 10, Executed: 10, Stored: 8, Duration: 5}, getJob(t, server, id))
	require.Contains(t, get(t, server, jobPath(id, "/problematic-urls")).body, `"total":2`)
}

func TestPagesHaveProductsOfGoodQuality(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
	sitemap := webscrapertest.Sitemap{StartURLs: []string{"https://example.com/[1-3]"}}
	id := createJob(t, server, sitemap)
	require.Equal(t, wireJob{Status: "finished", Scheduled: 3, Executed: 3, Stored: 60}, getJob(t, server, id))
	require.Regexp(t, `^({"web-scraper-order":"\d+-\d+","web-scraper-start-url":.*"price":"\$\d+\.99".*}\n){60}$`, get(t, server, jobPath(id, "/json")).body)
	require.Contains(t, get(t, server, jobPath(id, "/data-quality")).body, `"product":{"got":100,"expected":95,"success":true}`)
	require.Contains(t, get(t, server, jobPath(id, "/problematic-urls")).body, `"data":[]`)
	again := createJob(t, server, sitemap)
	require.NotEqual(t, get(t, server, jobPath(id, "/json")).body, get(t, server, jobPath(again, "/json")).body, "web-scraper-order differs between runs")
}

func TestStartURLWithARangeIsOnePagePerNumber(t *testing.T) {
	for startURL, want := range map[string]string{
		"https://shop.invalid/[9-11]":        `"https:\/\/shop.invalid\/9" "https:\/\/shop.invalid\/10" "https:\/\/shop.invalid\/11"`,
		"https://shop.invalid/[001-002].htm": `"https:\/\/shop.invalid\/001.htm" "https:\/\/shop.invalid\/002.htm"`,
		"https://shop.invalid/?p=[0-20:10]":  `"https:\/\/shop.invalid\/?p=0" "https:\/\/shop.invalid\/?p=10" "https:\/\/shop.invalid\/?p=20"`,
	} {
		server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
		body := get(t, server, jobPath(createJob(t, server, oneRecord, startURL), "/problematic-urls")).body
		var data []string
		for _, failed := range strings.Fields(want) {
			data = append(data, `{"url":`+failed+`,"type":"failed"}`)
		}
		require.Contains(t, body, `"data":[`+strings.Join(data, ",")+`]`)
	}
	server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
	require.Equal(t, 20_000, getJob(t, server, createJob(t, server, oneRecord, "https://example.com/[1-999999999]")).Stored)
	half := createJob(t, server, webscrapertest.Sitemap{}, "https://a.example/[1-2]", "https://shop.invalid/[1-2]")
	require.Contains(t, get(t, server, jobPath(half, "")).body, `"status":"finished"`, "no more than half of its pages failed")
	require.Contains(t, get(t, server, jobPath(half, "")).body, `"jobs_scheduled":4,"jobs_executed":4,"jobs_failed":2,"jobs_empty":0,"jobs_no_value":0,"stored_record_count":40`)
	require.Contains(t, get(t, server, jobPath(half, "/data-quality")).body, `"max_failed_pages_percent":{"got":50,"expected":5,"success":false}`)
}

func TestCreatedJobFailsIfMoreThanHalfOfItsPagesFail(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
	id := createJob(t, server, oneRecord, "https://a.example", "https://a.invalid", "https://b.invalid")
	require.Equal(t, wireJob{Status: "failed", Scheduled: 3, Executed: 3, Stored: 1}, getJob(t, server, id))
	require.Contains(t, get(t, server, jobPath(id, "/problematic-urls")).body, `"total":2`)
	require.NoError(t, server.Continue(id, webscrapertest.Products(3, 1)))
	require.Equal(t, wireJob{Status: "finished", Scheduled: 3, Executed: 3, Stored: 3}, getJob(t, server, id), "the continued job has no failed pages")
	require.Contains(t, get(t, server, jobPath(id, "/problematic-urls")).body, `"total":0`)
}

func TestResponseToACreationCanBeLost(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	server.AddSitemap(webscrapertest.Sitemap{ID: 7})
	server.Inject(webscrapertest.Fault{Method: http.MethodPost, Path: "scraping-job", Times: 1, Effect: webscrapertest.ResetAt(0)})
	_, err := send(t, server, http.MethodPost, "scraping-job", `{"sitemap_id":7,"driver":"fast","page_load_delay":0,"request_interval":0,"custom_id":"mine"}`)
	require.Error(t, err)
	require.Contains(t, get(t, server, "scraping-jobs?sitemap_id=7").body, `"data":[{"id":500,"custom_id":"mine",`)
}
