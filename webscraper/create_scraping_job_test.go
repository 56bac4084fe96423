package webscraper_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

func TestCreateScrapingJobSendsItsConfig(t *testing.T) {
	tests := map[string]struct {
		config webscraper.ScrapingJobConfig
		want   string
	}{
		"all": {webscraper.ScrapingJobConfig{
			SitemapID: 123, Driver: "fulljs", PageLoadDelay: 2 * time.Second, RequestInterval: 2500 * time.Millisecond,
			Proxy: "1", StartURLs: []string{"https://example.com/?a=1&b=2"}, CustomID: "custom-scraping-job-12",
		}, `{"sitemap_id":123,"driver":"fulljs","page_load_delay":2000,"request_interval":2500,"proxy":1,"start_urls":["https://example.com/?a=1&b=2"],"custom_id":"custom-scraping-job-12"}`},
		"least": {webscraper.ScrapingJobConfig{SitemapID: 123, Driver: "fast"},
			`{"sitemap_id":123,"driver":"fast","page_load_delay":0,"request_interval":0}`},
		"no proxy":    {webscraper.ScrapingJobConfig{Proxy: "0"}, `{"sitemap_id":0,"driver":"","page_load_delay":0,"request_interval":0,"proxy":0}`},
		"named proxy": {webscraper.ScrapingJobConfig{Proxy: "residential-us"}, `{"sitemap_id":0,"driver":"","page_load_delay":0,"request_interval":0,"proxy":"residential-us"}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			recorded := &recorder{data: `{"id":500,"custom_id":"custom-scraping-job-12"}`}
			client := newClient(t, recorded)
			id, err := client.CreateScrapingJob(t.Context(), test.config)
			require.NoError(t, err)
			require.EqualValues(t, 500, id)
			require.Equal(t, "POST /api/v1/scraping-job", recorded.request)
			require.Equal(t, "application/json", recorded.contentType)
			require.JSONEq(t, test.want, recorded.body)
		})
	}
}
