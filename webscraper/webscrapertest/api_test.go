package webscrapertest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const occured = `{"success":false,"error":"An error occured"}`

func TestJobObjectMatchesTheServicesByteForByte(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Clock: newClock().Now})
	server.AddJob(webscrapertest.Job{
		ID: 1234, SitemapID: 12, SitemapName: "café/menu", CustomID: "custom-scraping-job-12",
		Records:          webscrapertest.Products(3, 1),
		Pages:            webscrapertest.Pages{Scheduled: 9, Executed: 8, Failed: 1, Empty: 2, NoValue: 3},
		Driver:           "fulljs",
		Scheduled:        true,
		RequestInterval:  2100 * time.Millisecond,
		PageLoadDelay:    2200 * time.Millisecond,
		ScrapingDuration: 90 * time.Second,
	})
	got := get(t, server, "scraping-job/1234")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "application/json", got.header.Get("Content-Type"))
	require.Equal(t, `{"success":true,"data":{"id":1234,"custom_id":"custom-scraping-job-12","sitemap_name":"caf\u00e9\/menu",`+
		`"status":"finished","sitemap_id":12,"test_run":0,"jobs_scheduled":9,"jobs_executed":8,"jobs_failed":1,"jobs_empty":2,`+
		`"jobs_no_value":3,"stored_record_count":3,"request_interval":2100,"page_load_delay":2200,"driver":"fulljs","scheduled":1,`+
		`"time_created":1700000000,"scraping_duration":90}}`, got.body)
}

func TestJobWithoutCustomIDHasNull(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{})
	require.EqualValues(t, 500, id)
	require.Contains(t, get(t, server, "scraping-job/500").body, `"custom_id":null,"sitemap_name":"sitemap-500"`)
}

func TestMissingObjectsAre404(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	for _, path := range []string{
		"scraping-job/1", "scraping-job/0", "scraping-job/x", "scraping-job/99999999999999999999", "scraping-job/1/json", "scraping-job/1/csv",
		"scraping-job/1/problematic-urls", "scraping-job/1/data-quality", "sitemap/1", "nothing",
	} {
		got := get(t, server, path)
		require.Equal(t, http.StatusNotFound, got.status, path)
		require.Equal(t, occured, got.body, path)
	}
}

func TestWrongTokenIs401(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Tokens: []string{"old", "new"}})
	for token, want := range map[string]int{
		"old": http.StatusOK, "new": http.StatusOK, "other": http.StatusUnauthorized, "": http.StatusUnauthorized,
		webscrapertest.DefaultToken: http.StatusUnauthorized,
	} {
		got := get(t, server, "account?api_token="+token)
		require.Equal(t, want, got.status, token)
		if want == http.StatusUnauthorized {
			require.Equal(t, occured, got.body)
		}
	}
}

func TestDeletedJobIsGone(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{})
	require.False(t, server.Deleted(id))
	got := call(t, server, http.MethodDelete, fmt.Sprintf("scraping-job/%d", id), "")
	require.Equal(t, `{"success":true,"data":"ok"}`, got.body)
	require.True(t, server.Deleted(id))
	_, ok := server.Job(id)
	require.False(t, ok)
	require.Equal(t, http.StatusNotFound, get(t, server, fmt.Sprintf("scraping-job/%d", id)).status)
	require.Equal(t, http.StatusNotFound, call(t, server, http.MethodDelete, fmt.Sprintf("scraping-job/%d", id), "").status)
	require.Error(t, server.SetStatus(id, "finished"))
	require.Contains(t, get(t, server, "scraping-jobs").body, `"data":[],`)
}

type list struct {
	Success     bool
	Data        []struct{ ID int64 }
	CurrentPage int `json:"current_page"`
	LastPage    int `json:"last_page"`
	Total       int
	PerPage     int `json:"per_page"`
}

func getList(t *testing.T, server *webscrapertest.Cloud, path string) list {
	t.Helper()
	var l list
	require.NoError(t, json.Unmarshal([]byte(get(t, server, path).body), &l))
	require.True(t, l.Success)
	require.Equal(t, 100, l.PerPage)
	return l
}

func TestListsHavePagesOf100(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	for range 250 {
		server.AddJob(webscrapertest.Job{SitemapID: 7})
	}
	for _, tt := range []struct {
		query             string
		page, rows, first int
	}{
		{"", 1, 100, 500},
		{"?page=1", 1, 100, 500},
		{"?page=2", 2, 100, 600},
		{"?page=3", 3, 50, 700},
		{"?page=4", 4, 0, 0},
		{"?page=0", 1, 100, 500},
		{"?page=x", 1, 100, 500},
	} {
		got := getList(t, server, "scraping-jobs"+tt.query)
		require.Equal(t, []int{tt.page, 3, 250, tt.rows}, []int{got.CurrentPage, got.LastPage, got.Total, len(got.Data)}, tt.query)
		if tt.rows > 0 {
			require.EqualValues(t, tt.first, got.Data[0].ID)
		}
	}
	require.Equal(t, `{"success":true,"data":[],"current_page":9,"last_page":1,"total":0,"per_page":100}`, get(t, server, "scraping-jobs?sitemap_id=8&page=9").body)
}

func TestListsAreFilteredBySitemapAndTag(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	a := server.AddJob(webscrapertest.Job{SitemapID: 7, Tags: []string{"daily"}})
	b := server.AddJob(webscrapertest.Job{SitemapID: 8, Tags: []string{"daily", "eu"}})
	ids := func(path string) (ids []int64) {
		for _, row := range getList(t, server, path).Data {
			ids = append(ids, row.ID)
		}
		return ids
	}
	require.Equal(t, []int64{a, b}, ids("scraping-jobs"))
	require.Equal(t, []int64{a}, ids("scraping-jobs?sitemap_id=7"))
	require.Equal(t, []int64{b}, ids("scraping-jobs?tag=eu"))
	require.Equal(t, []int64{a, b}, ids("scraping-jobs?tag=daily"))
	require.Empty(t, ids("scraping-jobs?sitemap_id=7&tag=eu"))
}

func TestAccount(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	require.Equal(t, `{"success":true,"data":{"email":"user@example.com","firstname":"John","lastname":"Deere","page_credits":500}}`,
		get(t, server, "account").body)
}

func TestAccountCanBeSet(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Account: webscrapertest.Account{Email: "me@example.com", PageCredits: 7}})
	require.Equal(t, `{"success":true,"data":{"email":"me@example.com","firstname":"","lastname":"","page_credits":7}}`,
		get(t, server, "account").body)
}

func TestProblematicURLs(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	id := server.AddJob(webscrapertest.Job{ProblematicURLs: []webscrapertest.ProblematicURL{{URL: "https://example.com/a", Type: "empty"}}})
	require.Equal(t, `{"success":true,"data":[{"url":"https:\/\/example.com\/a","type":"empty"}],`+
		`"current_page":1,"last_page":1,"total":1,"per_page":100}`,
		get(t, server, fmt.Sprintf("scraping-job/%d/problematic-urls", id)).body)
}

func TestDataQuality(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{})
	good := server.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"web-scraper-order":"1-1","title":"a"}`)})
	require.JSONEq(t, `{"success":true,"data":{"min_record_count":{"got":1,"expected":1,"success":true},`+
		`"max_failed_pages_percent":{"got":0,"expected":5,"success":true},"max_empty_pages_percent":{"got":0,"expected":5,"success":true},`+
		`"max_no_value_pages_percent":{"got":0,"expected":5,"success":true},"min_column_records":{"title":{"got":100,"expected":95,"success":true}},`+
		`"overall_data_quality_success":true}}`, get(t, server, fmt.Sprintf("scraping-job/%d/data-quality", good)).body)

	poor := server.AddJob(webscrapertest.Job{
		Records: webscrapertest.JSONLines(`{"title":"a","price":""}`, `{"title":"b"}`),
		Pages:   webscrapertest.Pages{Scheduled: 10, Executed: 10, Empty: 2},
	})
	body := get(t, server, fmt.Sprintf("scraping-job/%d/data-quality", poor)).body
	require.Contains(t, body, `"max_empty_pages_percent":{"got":20,"expected":5,"success":false}`)
	require.Contains(t, body, `"price":{"got":0,"expected":95,"success":false}`)
	require.Contains(t, body, `"overall_data_quality_success":false`)

	empty := server.AddJob(webscrapertest.Job{})
	require.Contains(t, get(t, server, fmt.Sprintf("scraping-job/%d/data-quality", empty)).body,
		`"min_record_count":{"got":0,"expected":1,"success":false}`)

	running := server.AddJob(webscrapertest.Job{Status: "started"})
	require.Equal(t, `{"success":false,"validationErrors":{"scraping_job_id":["Data quality check not available yet, scraping job not finished"]}}`,
		get(t, server, fmt.Sprintf("scraping-job/%d/data-quality", running)).body)
}

func TestRateLimitCountsCallsInWindows(t *testing.T) {
	clock := newClock()
	server := webscrapertest.NewServer(t, webscrapertest.Options{RateLimitCalls: 2, RateLimitWindow: time.Minute, Clock: clock.Now})
	for _, remaining := range []string{"1", "0"} {
		got := get(t, server, "account")
		require.Equal(t, http.StatusOK, got.status)
		require.Equal(t, "2", got.header.Get("X-RateLimit-Limit"))
		require.Equal(t, remaining, got.header.Get("X-RateLimit-Remaining"))
		require.Empty(t, got.header.Get("X-RateLimit-Reset"))
	}
	clock.Advance(1500 * time.Millisecond)
	for range 2 {
		got := get(t, server, "account")
		require.Equal(t, http.StatusTooManyRequests, got.status)
		require.Equal(t, "0", got.header.Get("X-RateLimit-Remaining"))
		require.Equal(t, "59", got.header.Get("Retry-After"))
		require.Equal(t, "1700000060", got.header.Get("X-RateLimit-Reset"))
		require.Equal(t, occured, got.body)
	}
	require.Equal(t, http.StatusUnauthorized, get(t, server, "account?api_token=x").status, "not limited")
	clock.Advance(58500 * time.Millisecond)
	require.Equal(t, "1", get(t, server, "account").header.Get("X-RateLimit-Remaining"))
}

func TestRateLimitCanBeTurnedOff(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{RateLimitCalls: -1})
	for range 201 {
		got := get(t, server, "account")
		require.Equal(t, http.StatusOK, got.status)
		require.Empty(t, got.header.Get("X-RateLimit-Limit"))
	}
}

func TestRequestsAreRecordedWithoutTheToken(t *testing.T) {
	server := webscrapertest.NewServer(t, webscrapertest.Options{Clock: newClock().Now})
	id := server.AddJob(webscrapertest.Job{Records: webscrapertest.JSONLines(`{"a":"b"}`)})
	get(t, server, "scraping-jobs?page=2&tag=x")
	get(t, server, fmt.Sprintf("scraping-job/%d/json", id), "Range: bytes=2-3")
	call(t, server, http.MethodDelete, "scraping-job/7", "")
	now := time.Unix(1_700_000_000, 0)
	requests := server.Requests()
	require.EqualValues(t, 82, requests[0].Bytes)
	requests[0].Bytes = 0
	require.Equal(t, []webscrapertest.Request{
		{Time: now, Method: "GET", Path: "scraping-jobs", Query: map[string][]string{"page": {"2"}, "tag": {"x"}}, Status: 200},
		{Time: now, Method: "GET", Path: "scraping-job/500/json", Query: map[string][]string{}, ID: 500, Range: "bytes=2-3", Status: 206, Bytes: 2},
		{Time: now, Method: "DELETE", Path: "scraping-job/7", Query: map[string][]string{}, ID: 7, Status: 404, Bytes: int64(len(occured))},
	}, requests)
	require.NotContains(t, fmt.Sprint(requests), webscrapertest.DefaultToken)
}

func TestInvalidDefinitionsPanic(t *testing.T) {
	for name, definition := range map[string]webscrapertest.Job{
		"unknown status":   {Status: "done"},
		"id that is taken": {ID: 500},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := webscrapertest.New(webscrapertest.Options{})
			cloud.AddJob(webscrapertest.Job{ID: 500})
			require.Panics(t, func() { cloud.AddJob(definition) })
		})
	}
}

func TestInvalidOptionsPanic(t *testing.T) {
	require.Panics(t, func() { webscrapertest.New(webscrapertest.Options{Tokens: []string{"token", ""}}) })
}
