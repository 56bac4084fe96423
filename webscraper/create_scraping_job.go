package webscraper

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// ScrapingJobConfig says how to run a sitemap.
type ScrapingJobConfig struct {
	SitemapID int64 `json:"sitemap_id"`
	// Driver loads the pages: "fast" loads plain HTML, "fulljs" runs a browser with
	// JavaScript.
	Driver string `json:"driver"`
	// PageLoadDelay is how long to wait after a page has loaded, RequestInterval the
	// time between two pages. Both are sent in whole milliseconds.
	PageLoadDelay, RequestInterval time.Duration `json:"-"`
	// Proxy is "0" for none, "1" for the default one, or the ID of one of the
	// account's proxies. Empty leaves the choice to Web Scraper Cloud.
	Proxy string `json:"-"`
	// StartURLs, if any, replace the sitemap's.
	StartURLs []string `json:"start_urls,omitempty"`
	// CustomID, if not empty, is returned with the job and in its webhook
	// notifications.
	CustomID string `json:"custom_id,omitempty"`
}

// CreateScrapingJob starts a run of a sitemap and returns the ID of the
// scraping job. [Error.ValidationErrors] has the fields that the API rejects.
func (c *Client) CreateScrapingJob(ctx context.Context, config ScrapingJobConfig) (int64, error) {
	req := request{
		operation: fmt.Sprintf("create scraping job of sitemap %d", config.SitemapID),
		method:    http.MethodPost,
		path:      "scraping-job",
	}
	body := struct {
		ScrapingJobConfig
		PageLoadDelay   int64 `json:"page_load_delay"`
		RequestInterval int64 `json:"request_interval"`
		Proxy           any   `json:"proxy,omitempty"`
	}{config, config.PageLoadDelay.Milliseconds(), config.RequestInterval.Milliseconds(), nil}
	if n, err := strconv.ParseInt(config.Proxy, 10, 64); err == nil {
		body.Proxy = n
	} else if config.Proxy != "" {
		body.Proxy = config.Proxy
	}
	var err error
	req.body, err = json.Marshal(body)
	if err != nil {
		return 0, fmt.Errorf("webscraper: %s: %w", req.operation, err)
	}
	var created ScrapingJob
	_, err = c.call(ctx, req, &created)
	if err == nil && created.ID <= 0 {
		err = fmt.Errorf("webscraper: %s: the response has no ID", req.operation)
	}
	return created.ID, err
}
