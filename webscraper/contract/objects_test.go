package contract

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

// These functions call our client and spell its results as the API does, which is what
// the vendor's client returns.

func getJob(id int64) func(context.Context, *webscraper.Client) (any, error) {
	return func(ctx context.Context, client *webscraper.Client) (any, error) {
		job, err := client.ScrapingJob(ctx, id)
		if err != nil {
			return nil, err
		}
		return jobObject(job), nil
	}
}

func listJobs(sitemapID int64) func(context.Context, *webscraper.Client) (any, error) {
	return func(ctx context.Context, client *webscraper.Client) (any, error) {
		jobs, _, err := client.ScrapingJobsPage(ctx, webscraper.ListScrapingJobsOptions{SitemapID: sitemapID}, 1)
		objects := []any{}
		for _, job := range jobs {
			objects = append(objects, jobObject(job))
		}
		return objects, err
	}
}

func deleteJob(id int64) func(context.Context, *webscraper.Client) (any, error) {
	return func(ctx context.Context, client *webscraper.Client) (any, error) {
		return "ok", client.DeleteScrapingJob(ctx, id)
	}
}

func getDataQuality(id int64) func(context.Context, *webscraper.Client) (any, error) {
	return func(ctx context.Context, client *webscraper.Client) (any, error) {
		quality, err := client.ScrapingJobDataQuality(ctx, id)
		if err != nil {
			return nil, err
		}
		columns := map[string]any{}
		for column, check := range quality.MinColumnRecords {
			columns[column] = checkObject(check)
		}
		return map[string]any{
			"min_record_count":             checkObject(quality.MinRecordCount),
			"max_failed_pages_percent":     checkObject(quality.MaxFailedPagesPercent),
			"max_empty_pages_percent":      checkObject(quality.MaxEmptyPagesPercent),
			"max_no_value_pages_percent":   checkObject(quality.MaxNoValuePagesPercent),
			"min_column_records":           columns,
			"overall_data_quality_success": quality.Success,
		}, nil
	}
}

func checkObject(check *webscraper.QualityCheck) any {
	return map[string]any{"got": check.Got, "expected": check.Expected, "success": check.Success}
}

func accountObject(account *webscraper.Account) any {
	if account == nil {
		return nil
	}
	return map[string]any{
		"email": account.Email, "firstname": account.FirstName, "lastname": account.LastName, "page_credits": account.PageCredits,
	}
}

func jobObject(job *webscraper.ScrapingJob) any {
	object := map[string]any{
		"id":                  job.ID,
		"custom_id":           nil,
		"sitemap_name":        job.SitemapName,
		"status":              job.Status,
		"sitemap_id":          job.SitemapID,
		"jobs_scheduled":      job.JobsScheduled,
		"jobs_executed":       job.JobsExecuted,
		"jobs_failed":         job.JobsFailed,
		"jobs_empty":          job.JobsEmpty,
		"jobs_no_value":       job.JobsNoValue,
		"stored_record_count": job.StoredRecordCount,
	}
	if job.CustomID != "" {
		object["custom_id"] = job.CustomID
	}
	return object
}

// unread matches the fields of a job that our client does not read.
var unread = regexp.MustCompile(`"(test_run|request_interval|page_load_delay|driver|scheduled|time_created|scraping_duration)":[^,}]*,?`)

// read returns the result of their client without them.
func read(answer json.RawMessage) string {
	return strings.ReplaceAll(unread.ReplaceAllString(string(answer), ""), ",}", "}")
}
