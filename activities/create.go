package activities

import (
	"context"
	"time"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// CreateScrapingJobInput says what to scrape.
type CreateScrapingJobInput struct {
	SitemapID int64 `json:"sitemap_id"`
	// Driver is "fast" or "fulljs"; PageLoadDelay and RequestInterval are in whole
	// milliseconds on the wire; Proxy and StartURLs may be empty: see
	// [webscraper.ScrapingJobConfig].
	Driver          string        `json:"driver"`
	PageLoadDelay   time.Duration `json:"page_load_delay"`
	RequestInterval time.Duration `json:"request_interval"`
	Proxy           string        `json:"proxy,omitempty"`
	StartURLs       []string      `json:"start_urls,omitempty"`
	// CustomID tells the job from all others of the sitemap that were created since
	// After. Required.
	CustomID string `json:"custom_id"`
	// After is the highest ID of the jobs that have the custom ID for another reason, as
	// OnlyLook has found it; 0 for none.
	After int64 `json:"after,omitempty"`
	// OnlyLook creates nothing: the result is the latest job with the custom ID.
	OnlyLook bool `json:"only_look,omitempty"`
	// MayExist is set when somebody may have created the job already.
	MayExist bool `json:"may_exist,omitempty"`
	// RerunOf is a job whose failed and empty URLs take the place of StartURLs, 0 for
	// none. If it has none, nothing is created.
	RerunOf int64 `json:"rerun_of,omitempty"`
	// MinPageCredits is how many page credits the account has to have; 0 looks at none.
	MinPageCredits int64 `json:"min_page_credits,omitempty"`
}

// CreateScrapingJobResult names the job.
type CreateScrapingJobResult struct {
	// Wait is that of [DownloadScrapingJobResult].
	Wait time.Duration `json:"wait,omitempty"`
	// ScrapingJobID is 0 when there was nothing to create or to find.
	ScrapingJobID int64 `json:"scrapingjob_id,omitempty"`
	// Found is set when an earlier attempt had created it.
	Found bool `json:"found,omitempty"`
	// StartURLs counts the URLs of a RerunOf.
	StartURLs int `json:"start_urls,omitempty"`
}

// CreateScrapingJob creates a scraping job once: the API's creation is not idempotent, so
// that every attempt after the first looks for the job before.
func (a *Activities) CreateScrapingJob(ctx context.Context, in CreateScrapingJobInput) (CreateScrapingJobResult, error) {
	defer keepHeartbeating(ctx, nothingToTell)()
	var result CreateScrapingJobResult
	wait, err := a.calling(ctx, calls{class: postgres.CallsForDownloads}, func(_, calling context.Context) (err error) {
		result.ScrapingJobID, err = a.Cloud.CreateScrapingJob(calling, webscraper.ScrapingJobConfig{
			SitemapID: in.SitemapID, Driver: in.Driver, PageLoadDelay: in.PageLoadDelay, RequestInterval: in.RequestInterval,
			Proxy: in.Proxy, StartURLs: in.StartURLs, CustomID: in.CustomID,
		})
		return err
	})
	if wait > 0 {
		result = CreateScrapingJobResult{Wait: wait}
	}
	return result, classify(ctx, err)
}
