package webscraper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestScrapingJobDecodesEverySpelling(t *testing.T) {
	want := webscraper.ScrapingJob{
		ID: 500, CustomID: "custom-scraping-job-12", SitemapID: 123, SitemapName: "webscraper-io-landing",
		Status:        "finished",
		JobsScheduled: 10, JobsExecuted: 9, JobsFailed: 3, JobsEmpty: 2, JobsNoValue: 1, StoredRecordCount: 4_000_000_000,
		ScrapingTimes: webscraper.ScrapingTimes{TimeCreated: 1493370624, ScrapingDuration: 60},
	}
	unset := want
	unset.CustomID, unset.JobsNoValue, unset.TimeCreated = "", 0, 0
	tests := map[string]struct {
		data string
		want webscraper.ScrapingJob
	}{
		"as on the wire": {`{"id":500,"custom_id":"custom-scraping-job-12","sitemap_name":"webscraper-io-landing","status":"finished","sitemap_id":123,
			"test_run":1,"jobs_scheduled":10,"jobs_executed":9,"jobs_failed":3,"jobs_empty":2,"jobs_no_value":1,"stored_record_count":4000000000,
			"request_interval":2500,"page_load_delay":2000,"driver":"fast","scheduled":1,"time_created":1493370624,"scraping_duration":60}`, want},
		"strings, booleans and unknown fields": {`{"id":"500","custom_id":"custom-scraping-job-12","sitemap_name":"webscraper-io-landing","status":"finished","sitemap_id":"123",
			"test_run":true,"jobs_scheduled":10.0,"jobs_executed":9,"jobs_failed":3,"jobs_empty":2,"jobs_no_value":1,"stored_record_count":4e9,
			"request_interval":2500,"page_load_delay":2000,"driver":"fast","scheduled":"1","time_created":"1493370624","scraping_duration":"60",
			"proxy":"residential-us","parser":{"enabled":true}}`, want},
		"unset": {`{"id":500,"custom_id":null,"sitemap_name":"webscraper-io-landing","status":"finished","sitemap_id":123,
			"test_run":0,"jobs_scheduled":10,"jobs_executed":9,"jobs_failed":3,"jobs_empty":2,"stored_record_count":4000000000,
			"request_interval":2500,"page_load_delay":2000,"driver":"fast","scheduled":1,"time_created":null,"scraping_duration":60,"proxy":0}`, unset},
		"times that are not numbers": {`{"id":1,"time_created":"2017-04-28 09:10:24","scraping_duration":60}`, webscraper.ScrapingJob{ID: 1}},
		"unknown status":             {`{"id":1,"custom_id":7,"status":"paused"}`, webscraper.ScrapingJob{ID: 1, CustomID: "7", Status: "paused"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, answerJSON(`{"success":true,"data":`+test.data+`}`))
			job, err := client.ScrapingJob(t.Context(), 500)
			require.NoError(t, err)
			require.Equal(t, test.want, *job)
		})
	}
}

func TestStatusIsTerminalOrRunningOrUnknown(t *testing.T) {
	tests := map[webscraper.Status]struct{ terminal, running bool }{
		"waiting-to-be-scheduled": {false, true},
		"scheduling":              {false, true},
		"scheduled":               {false, true},
		"started":                 {false, true},
		"finished":                {true, false},
		"failed":                  {true, false},
		"stopped":                 {true, false},
		"shelved":                 {true, false},
		"paused":                  {false, false},
		"":                        {false, false},
	}
	for status, want := range tests {
		require.Equal(t, want.terminal, status.Terminal(), status)
		require.Equal(t, want.running, status.Running(), status)
	}
}

func TestScrapingJobIsDeletedOnce(t *testing.T) {
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{})
	require.NoError(t, client.DeleteScrapingJob(t.Context(), id))
	require.True(t, cloud.Deleted(id))
	require.True(t, webscraper.IsNotFound(client.DeleteScrapingJob(t.Context(), id)))
	_, err := client.ScrapingJob(t.Context(), id)
	require.True(t, webscraper.IsNotFound(err))
}
