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

// failedDataQuality asks the API to check the job's data, and returns by what criteria
// that fails, in a sentence without a full stop, "" for none. A finished job that cannot
// be checked yet is asked about again; one that has ended otherwise may never be.
func (a *Activities) failedDataQuality(ctx context.Context, job sink.ScrapingJob, earlier Progress) (string, error) {
	defer keepHeartbeating(ctx, func() Progress { return earlier })()
	quality, err := a.Cloud.ScrapingJobDataQuality(ctx, job.ScrapingJobID)
	refusal, ok := errors.AsType[*webscraper.Error](err)
	switch {
	case err == nil && quality.Success:
		return "", nil
	case err == nil:
		return "the API's data quality check failed: " + failedCriteria(quality), nil
	case !ok || refusal.ValidationErrors == nil:
		return "", cloudError{err}
	case finished(job):
		return "", cloudError{errors.New(err.Error())} // no refusal for good
	}
	return fmt.Sprintf("the job is %q, and the API does not check its data quality: %s", job.Status, refusal), nil
}

// maxColumnsTold bounds a sentence about columns.
const maxColumnsTold = 10

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
	add(quality.MaxNoValuePagesPercent, "", "%s %% of the pages have no value", "at most %s %%")
	pages := len(failed)
	for _, column := range slices.Sorted(maps.Keys(quality.MinColumnRecords)) {
		check := quality.MinColumnRecords[column]
		add(&check, fmt.Sprintf("column %.100q is filled in ", column), "%s %% of the records", "at least %s %%")
	}
	if more := len(failed) - pages - maxColumnsTold; more > 0 {
		failed = append(failed[:pages+maxColumnsTold], fmt.Sprintf("%d more columns", more))
	}
	if len(failed) == 0 {
		return "it does not say why"
	}
	return strings.Join(failed, "; ")
}
