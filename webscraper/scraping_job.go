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

// Status is where a scraping job is in its life, in the API's own words:
// "waiting-to-be-scheduled", "scheduling", "scheduled" and "started", then
// "finished", "failed" (over half of the pages failed; the job can be continued),
// "stopped" (by a person) or the historic "shelved". One that is not among them is
// kept as it is.
type Status string

// Jobs have ended in some statuses, and are on their way to an end in others.
var (
	ended    = []Status{"finished", "failed", "stopped", "shelved"}
	onTheWay = []Status{"waiting-to-be-scheduled", "scheduling", "scheduled", "started"}
)

// Terminal reports whether the job has ended: finished, failed, stopped or
// shelved. A person can still continue it, after which it runs again under the
// same ID. A status that is not known is not terminal.
func (s Status) Terminal() bool { return slices.Contains(ended, s) }

// Running reports whether the job is on its way to an end: waiting to be
// scheduled, scheduling, scheduled or started. A status that is not known is
// not running.
func (s Status) Running() bool { return slices.Contains(onTheWay, s) }

// ScrapingJob is one run of a sitemap in Web Scraper Cloud.
type ScrapingJob struct {
	ID int64 `json:"id"`
	// CustomID is what the job was created with; empty if with none.
	CustomID    string `json:"custom_id"`
	SitemapID   int64  `json:"sitemap_id"`
	SitemapName string `json:"sitemap_name"`
	Status      Status `json:"status"`
	// JobsScheduled counts the pages to load, JobsExecuted those loaded so far.
	// JobsFailed, JobsEmpty and JobsNoValue count those that could not be
	// loaded, that gave no record, and that gave one without values.
	JobsScheduled int64 `json:"jobs_scheduled"`
	JobsExecuted  int64 `json:"jobs_executed"`
	JobsFailed    int64 `json:"jobs_failed"`
	JobsEmpty     int64 `json:"jobs_empty"`
	JobsNoValue   int64 `json:"jobs_no_value"`
	// StoredRecordCount is how many records a download has once the job has
	// ended.
	StoredRecordCount int64 `json:"stored_record_count"`
	ScrapingTimes
}

// ScrapingTimes are zero where the API says nothing of them that is a number.
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

// ScrapingJob returns the scraping job with that ID. The error of a job that
// does not exist, or was deleted, satisfies [IsNotFound].
func (c *Client) ScrapingJob(ctx context.Context, id int64) (*ScrapingJob, error) {
	return get[ScrapingJob](ctx, c, requestAbout(id, "get scraping job %d", http.MethodGet, "scraping-job/%d"))
}

// DeleteScrapingJob deletes the scraping job with that ID and its records. The
// error of a job that does not exist satisfies [IsNotFound].
func (c *Client) DeleteScrapingJob(ctx context.Context, id int64) error {
	_, err := c.call(ctx, requestAbout(id, "delete scraping job %d", http.MethodDelete, "scraping-job/%d"), nil)
	return err
}

// ListScrapingJobsOptions narrows a list of scraping jobs; its zero value
// lists all.
type ListScrapingJobsOptions struct {
	// SitemapID, if not 0, keeps the jobs of one sitemap.
	SitemapID int64
	// Tag, if not empty, keeps the jobs of sitemaps with that tag.
	Tag string
}

// ScrapingJobsPage lists one page of up to 100 scraping jobs, counted from 1,
// in one call. lastPage is the number of the last page, 0 if the server does
// not tell; a page past the end is empty. As jobs come and go between two calls, one can
// be on both pages or on neither: to delete jobs, collect their IDs first.
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
