package webscraper

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// Status is the status of a scraping job, in the API's own words:
// "waiting-to-be-scheduled", "scheduling", "scheduled" and "started", then
// "finished", "failed" (over half of the pages failed; the job can be continued),
// "stopped" (by a person) or the legacy "shelved". Any other is kept as is.
type Status string

var (
	ended    = []Status{"finished", "failed", "stopped", "shelved"}
	onTheWay = []Status{"waiting-to-be-scheduled", "scheduling", "scheduled", "started"}
)

// Terminal reports whether the job has ended: finished, failed, stopped or
// shelved. A person can still continue it; it then runs again under the same ID.
// An unknown status is not terminal.
func (s Status) Terminal() bool { return slices.Contains(ended, s) }

// Running reports whether the job has yet to end: waiting to be scheduled, scheduling,
// scheduled or started. An unknown status is not running.
func (s Status) Running() bool { return slices.Contains(onTheWay, s) }

// ScrapingJob is one run of a sitemap in Web Scraper Cloud.
type ScrapingJob struct {
	ID int64 `json:"id"`
	// CustomID is what the job was created with; may be empty.
	CustomID    string `json:"custom_id"`
	SitemapID   int64  `json:"sitemap_id"`
	SitemapName string `json:"sitemap_name"`
	Status      Status `json:"status"`
	// JobsScheduled counts the pages to load, JobsExecuted those loaded so far.
	// JobsFailed, JobsEmpty and JobsNoValue count those that failed to load, that
	// gave no record, and that gave one without values.
	JobsScheduled int64 `json:"jobs_scheduled"`
	JobsExecuted  int64 `json:"jobs_executed"`
	JobsFailed    int64 `json:"jobs_failed"`
	JobsEmpty     int64 `json:"jobs_empty"`
	JobsNoValue   int64 `json:"jobs_no_value"`
	// StoredRecordCount is how many records a download has after the job has ended.
	StoredRecordCount int64 `json:"stored_record_count"`
	ScrapingTimes
}

// ScrapingTimes are zero if the API does not report them as numbers.
type ScrapingTimes struct {
	TimeCreated      int64 `json:"time_created"`      // Unix time in seconds
	ScrapingDuration int64 `json:"scraping_duration"` // seconds
}

// UnmarshalJSON decodes a job as the API spells it.
func (j *ScrapingJob) UnmarshalJSON(data []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	if err := decodeFields(object, &j.ScrapingTimes); err != nil {
		j.ScrapingTimes = ScrapingTimes{} // nothing depends on them
	}
	return decodeFields(object, j)
}

// ScrapingJob returns the scraping job with that ID. If it does not exist, or was
// deleted, the error satisfies [IsNotFound].
func (c *Client) ScrapingJob(ctx context.Context, id int64) (*ScrapingJob, error) {
	return get[ScrapingJob](ctx, c, requestAbout(id, "get scraping job %d", http.MethodGet, "scraping-job/%d"))
}

// DeleteScrapingJob deletes the scraping job with that ID and its records. If it
// does not exist, the error satisfies [IsNotFound].
func (c *Client) DeleteScrapingJob(ctx context.Context, id int64) error {
	_, err := c.call(ctx, requestAbout(id, "delete scraping job %d", http.MethodDelete, "scraping-job/%d"), nil)
	return err
}

// ListScrapingJobsOptions filter a list of scraping jobs; the zero value lists all.
type ListScrapingJobsOptions struct {
	// SitemapID, if not 0, keeps the jobs of one sitemap.
	SitemapID int64
	// Tag, if not empty, keeps the jobs of sitemaps with that tag.
	Tag string
}

// ScrapingJobsPage returns one page of up to 100 scraping jobs in one call; pages
// count from 1, and one past the end is empty. lastPage is the number of the last
// page, 0 if the server does not say. As jobs come and go between two calls, one can be
// on both pages or missing from both: to delete jobs, collect their IDs first.
func (c *Client) ScrapingJobsPage(ctx context.Context, opts ListScrapingJobsOptions, page int) (jobs []*ScrapingJob, lastPage int, err error) {
	req := request{operation: "list scraping jobs", method: http.MethodGet, path: "scraping-jobs", query: url.Values{"page": {strconv.Itoa(page)}}}
	if page < 1 {
		return nil, 0, fmt.Errorf("webscraper: %s: there is no page %d: the first is 1", req.operation, page)
	}
	if opts.SitemapID != 0 {
		req.query.Set("sitemap_id", strconv.FormatInt(opts.SitemapID, 10))
	}
	if opts.Tag != "" {
		req.query.Set("tag", opts.Tag)
	}
	lastPage, err = c.call(ctx, req, &jobs)
	return jobs, lastPage, err
}
