package activities

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// failedDataQuality has the API check the job's data and returns the failed criteria in a
// sentence without a period, "" for none. If a finished job cannot be checked yet, the
// error is retryable; the API may never check a stopped or failed job.
func (a *Account) failedDataQuality(ctx context.Context, job sink.ScrapingJob, earlier Progress) (string, error) {
	defer keepHeartbeating(ctx, func() Progress { return earlier })()
	quality, err := a.cloud.ScrapingJobDataQuality(ctx, job.ScrapingJobID)
	refusal, ok := errors.AsType[*webscraper.Error](err)
	switch {
	case err == nil && quality.Success:
		return "", nil
	case err == nil:
		return "the API's data quality check failed: " + failedCriteria(quality), nil
	case !ok || refusal.ValidationErrors == nil:
		return "", cloudError{err}
	case finished(job):
		return "", cloudError{errors.New(err.Error())} // retryable
	}
	return fmt.Sprintf("the job is %q, and the API refuses to check its data quality: %s", job.Status, refusal), nil
}

// maxColumnsShown limits how many columns a sentence lists.
const maxColumnsShown = 10

func failedCriteria(quality *webscraper.DataQuality) string {
	var failed []string
	add := func(check *webscraper.QualityCheck, subject, got, expected string) {
		if check != nil && !check.Success {
			failed = append(failed, subject+fmt.Sprintf(got+", "+expected+" expected", humanize.FtoaWithDigits(check.Got, 2), humanize.FtoaWithDigits(check.Expected, 2)))
		}
	}
	add(quality.MinRecordCount, "", "%s records", "at least %s")
	add(quality.MaxFailedPagesPercent, "", "%s %% of the pages failed", "at most %s %%")
	add(quality.MaxEmptyPagesPercent, "", "%s %% of the pages are empty", "at most %s %%")
	add(quality.MaxNoValuePagesPercent, "", "%s %% of the pages have no values", "at most %s %%")
	pages := len(failed)
	for _, column := range slices.Sorted(maps.Keys(quality.MinColumnRecords)) {
		add(quality.MinColumnRecords[column], fmt.Sprintf("column %.100q has a value in ", column), "%s %% of the records", "at least %s %%")
	}
	if more := len(failed) - pages - maxColumnsShown; more > 0 {
		failed = append(failed[:pages+maxColumnsShown], fmt.Sprintf("%d more columns", more))
	}
	if len(failed) == 0 {
		return "the API does not say why"
	}
	return strings.Join(failed, "; ")
}
