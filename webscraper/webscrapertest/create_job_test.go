package webscrapertest_test

import (
	"encoding/json"
	"fmt"
	"io"
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

func TestJobToCreateIsValidated(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	server.AddSitemap(webscrapertest.Sitemap{ID: 7})
	const rest = `"driver":"fast","page_load_delay":2000,"request_interval":2000`
	for body, want := range map[string]string{
		``: `"driver":["The driver field is required."],"page_load_delay":["The page load delay field is required."],` +
			`"request_interval":["The request interval field is required."],"sitemap_id":["The sitemap id field is required."]`,
		`{"sitemap_id":9,` + rest + `}`:  `"sitemap_id":["The selected sitemap id is invalid."]`,
		`{"sitemap_id":[],` + rest + `}`: `"sitemap_id":["The sitemap id must be an integer."]`,
		`{"sitemap_id":9,"driver":"slow","page_load_delay":"x","request_interval":2000}`: "" +
			`"driver":["The selected driver is invalid."],"page_load_delay":["The page load delay must be an integer."],` +
			`"sitemap_id":["The selected sitemap id is invalid."]`,
		`{"sitemap_id":7,"start_urls":["https://example.com","example.com/a"],` + rest + `}`: `"start_urls.1":["The start urls.1 must be a valid URL."]`,
	} {
		got := call(t, server, http.MethodPost, "scraping-job", body)
		require.Equal(t, http.StatusUnprocessableEntity, got.status)
		require.Equal(t, `{"success":false,"validationErrors":{`+want+`}}`, got.body)
	}
	require.Contains(t, get(t, server, "scraping-jobs").body, `"data":[]`)
}

// ends is a timeline without waiting.
var ends = webscrapertest.Timeline{Started: time.Nanosecond}

// createJob creates a job of a new sitemap through the API.
func createJob(t *testing.T, server *webscrapertest.Cloud, sitemap string, startURLs ...string) (id int64) {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"sitemap_id": server.AddSitemap(webscrapertest.Sitemap{JSON: sitemap}), "driver": "fast",
		"page_load_delay": 2000, "request_interval": 2000, "start_urls": startURLs, "custom_id": "mine",
	})
	require.NoError(t, err)
	var created struct{ Data struct{ ID int64 } }
	require.NoError(t, json.Unmarshal([]byte(call(t, server, http.MethodPost, "scraping-job", string(body)).body), &created))
	require.NotZero(t, created.Data.ID)
	return created.Data.ID
}

// onePage is a sitemap of one page with one title.
const onePage = `{"_id":"landing","startUrl":["http://webscraper.io/"],"selectors":[` +
	`{"id":"title","type":"SelectorText","parentSelectors":["_root"],"selector":"h1","multiple":false}]}`

func TestCreatedJobLivesOnTheCloudsClockAndNotifiesAtItsEnd(t *testing.T) {
	receiver := newReceiver(t, http.StatusOK)
	clock := newClock()
	server := webscrapertest.NewServer(t, webscrapertest.Options{Clock: clock.Now, WebhookURL: receiver.URL})
	id := createJob(t, server, onePage, "https://example.com/[1-8]", "https://shop.invalid/[1-2]")
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

func TestPageWithATitleGivesOneRecordOfGoodQuality(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
	id := createJob(t, server, onePage)
	require.Regexp(t, `^{"web-scraper-order":"1[67]\d{8}-\d+","web-scraper-start-url":"http:\\/\\/webscraper.io\\/","title":"title 1"}\n$`,
		get(t, server, jobPath(id, "/json")).body)
	require.Contains(t, get(t, server, jobPath(id, "/data-quality")).body,
		`"min_column_records":{"title":{"got":100,"expected":95,"success":true}},"overall_data_quality_success":true`)
	require.Contains(t, get(t, server, jobPath(id, "/problematic-urls")).body, `"data":[]`)
	again := createJob(t, server, onePage)
	require.NotEqual(t, get(t, server, jobPath(id, "/json")).body, get(t, server, jobPath(again, "/json")).body, "web-scraper-order is another in every run")
}

func TestRecordsFollowFromTheSelectors(t *testing.T) {
	const root = `"parentSelectors":["_root"]`
	for name, tt := range map[string]struct {
		selectors string
		columns   []string // of the first record, without those built in
		records   int
		pages     int // by start URL
	}{
		"nothing": {``, nil, 0, 1},
		"several values": {`{"id":"price","type":"SelectorText",` + root + `,"multiple":true},{"id":"shop","type":"SelectorText",` + root + `}`,
			[]string{"shop", "price"}, 20, 1},
		"two lists, which are not joined": {`{"id":"a","type":"SelectorText",` + root + `,"multiple":true},{"id":"b","type":"SelectorText",` + root + `,"multiple":true}`,
			[]string{"a"}, 40, 1},
		"elements": {`{"id":"item","type":"SelectorElement",` + root + `,"multiple":true},{"id":"link","type":"SelectorLink","parentSelectors":["item"]},` +
			`{"id":"image","type":"SelectorImage","parentSelectors":["item"]},{"id":"weight","type":"SelectorElementAttribute","parentSelectors":["item"]}`,
			[]string{"link", "link-href", "image-src", "weight"}, 20, 1},
		"one element": {`{"id":"item","type":"SelectorElement",` + root + `},{"id":"name","type":"SelectorText","parentSelectors":["item","_root"]}`,
			[]string{"name"}, 1, 1},
		"links that are followed": {`{"id":"shelf","type":"SelectorLink",` + root + `,"multiple":true},{"id":"name","type":"SelectorText","parentSelectors":["shelf"]}`,
			[]string{"shelf", "shelf-href", "name"}, 5, 6},
		"elements on pages": {`{"id":"next","type":"SelectorPagination","parentSelectors":["_root","next"]},` +
			`{"id":"item","type":"SelectorElement","parentSelectors":["next"],"multiple":true},{"id":"name","type":"SelectorText","parentSelectors":["item"]}`,
			[]string{"name"}, 100, 6},
		"elements of links on pages": {`{"id":"next","type":"SelectorPagination","parentSelectors":["_root","next"]},` +
			`{"id":"shelf","type":"SelectorLink","parentSelectors":["next"],"multiple":true},` +
			`{"id":"item","type":"SelectorElement","parentSelectors":["shelf"],"multiple":true},{"id":"name","type":"SelectorText","parentSelectors":["item"]}`,
			[]string{"shelf", "shelf-href", "name"}, 500, 31},
	} {
		t.Run(name, func(t *testing.T) {
			server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
			id := createJob(t, server, `{"_id":"a","startUrl":"https://example.com/of-the-sitemap","selectors":[`+tt.selectors+`]}`,
				"https://example.com/a", "https://example.com/b")
			got := getJob(t, server, id)
			require.Equal(t, []int{2 * tt.records, 2 * tt.pages, 2 * tt.pages}, []int{got.Stored, got.Scheduled, got.Executed})
			lines := strings.Split(strings.TrimSuffix(get(t, server, jobPath(id, "/json")).body, "\n"), "\n")
			if tt.records == 0 {
				require.Equal(t, []string{""}, lines)
				require.Equal(t, 2, got.Empty)
				return
			}
			require.Len(t, lines, 2*tt.records)
			for i, startURL := range []string{"https://example.com/a", "https://example.com/b"} {
				var record map[string]string
				require.NoError(t, json.Unmarshal([]byte(lines[i*tt.records]), &record))
				require.Equal(t, startURL, record["web-scraper-start-url"])
				require.Len(t, record, 2+len(tt.columns))
				for _, column := range tt.columns {
					require.NotEmpty(t, record[column], column)
				}
			}
			csv := get(t, server, jobPath(id, "/csv")).body
			require.Contains(t, csv, "web-scraper-order,web-scraper-start-url,"+strings.Join(tt.columns, ","))
		})
	}
}

func TestColumnsOfProductsHaveTheirValues(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
	id := createJob(t, server, strings.ReplaceAll(onePage, "title", "price"))
	require.Regexp(t, `"price":"\$\d+\.99"}`, get(t, server, jobPath(id, "/json")).body)
}

func TestStartURLsWithARangeAreItsPages(t *testing.T) {
	for startURL, want := range map[string][]string{
		"https://example.com/[9-11]":        {"https://example.com/9", "https://example.com/10", "https://example.com/11"},
		"https://example.com/[001-002].htm": {"https://example.com/001.htm", "https://example.com/002.htm"},
		"https://example.com/?p=[0-20:10]":  {"https://example.com/?p=0", "https://example.com/?p=10", "https://example.com/?p=20"},
	} {
		server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
		body := get(t, server, jobPath(createJob(t, server, onePage, startURL), "/json")).body
		var have []string
		for line := range strings.Lines(body) {
			var record map[string]string
			require.NoError(t, json.Unmarshal([]byte(line), &record))
			have = append(have, record["web-scraper-start-url"])
		}
		require.Equal(t, want, have)
	}
	server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
	require.Equal(t, 20_000, getJob(t, server, createJob(t, server, onePage, "https://example.com/[1-999999999]")).Stored)
}

func TestStartURLsThatFailAndPagesWithoutTheirTextAreProblematic(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
	id := createJob(t, server, `{"_id":"a","startUrl":["https://a.example/computers/laptops","https://shop.invalid/[1-2]","https://a.example/computers/tablets"],`+
		`"selectors":[{"id":"title","type":"SelectorText","selector":"body:contains(\"Computers / Tablets\") h1","multiple":true}]}`)
	require.Contains(t, get(t, server, jobPath(id, "/problematic-urls")).body, `"data":[`+
		`{"url":"https:\/\/a.example\/computers\/laptops","type":"empty"},`+
		`{"url":"https:\/\/shop.invalid\/1","type":"failed"},{"url":"https:\/\/shop.invalid\/2","type":"failed"}]`)
	require.Contains(t, get(t, server, jobPath(id, "")).body, `"status":"finished"`, "half of its pages have not failed")
	require.Contains(t, get(t, server, jobPath(id, "")).body, `"jobs_scheduled":4,"jobs_executed":4,"jobs_failed":2,"jobs_empty":1,"jobs_no_value":0,"stored_record_count":20`)
	require.Contains(t, get(t, server, jobPath(id, "/data-quality")).body, `"max_failed_pages_percent":{"got":50,"expected":5,"success":false}`)
}

func TestCreatedJobFailsWhenMoreThanHalfOfItsPagesHave(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
	id := createJob(t, server, onePage, "https://a.example", "https://a.invalid", "https://b.invalid")
	require.Equal(t, wireJob{Status: "failed", Scheduled: 3, Executed: 3, Stored: 1}, getJob(t, server, id))
	require.Contains(t, get(t, server, jobPath(id, "/problematic-urls")).body, `"total":2`)
	require.NoError(t, server.Continue(id, webscrapertest.Products(3, 1)))
	require.Equal(t, wireJob{Status: "finished", Scheduled: 3, Executed: 3, Stored: 3}, getJob(t, server, id), "continued, it has mended them")
	require.Contains(t, get(t, server, jobPath(id, "/problematic-urls")).body, `"total":0`)
}

func TestAnswerToACreationCanBeLost(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	server.AddSitemap(webscrapertest.Sitemap{ID: 7})
	server.Inject(webscrapertest.Fault{Method: http.MethodPost, Path: "scraping-job", Times: 1, Effect: webscrapertest.ResetAt(0)})
	_, err := send(t, server, http.MethodPost, "scraping-job", `{"sitemap_id":7,"driver":"fast","page_load_delay":0,"request_interval":0,"custom_id":"mine"}`)
	require.Error(t, err)
	require.Contains(t, get(t, server, "scraping-jobs?sitemap_id=7").body, `"data":[{"id":500,"custom_id":"mine",`)
}

func TestScrapedRecordsCanBeReadFromAnyOffset(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Timeline: ends})
	id := createJob(t, server, onePage, "https://example.com/[1-3]")
	whole := get(t, server, jobPath(id, "/json")).body
	for _, offset := range []int{0, 1, strings.Index(whole, "\n"), len(whole) / 2, len(whole) - 1} {
		got := get(t, server, jobPath(id, "/json"), fmt.Sprintf("Range: bytes=%d-", offset))
		require.Equal(t, http.StatusPartialContent, got.status)
		require.Equal(t, whole[offset:], got.body)
	}
	job, _ := server.Job(id)
	_, err := job.Records.Open().Seek(-1, io.SeekStart)
	require.Error(t, err)
}
