package webscrapertest

import (
	"net/http"
	"slices"
)

// The thresholds of the service's own data quality test.
const (
	minRecordCount   = 1
	maxPagesPercent  = 5
	minColumnPercent = 95
)

// dataQualitySample is how many records of a job are checked.
const dataQualitySample = 1000

type qualityCheck struct {
	Got      int64 `json:"got"`
	Expected int64 `json:"expected"`
	Success  bool  `json:"success"`
}

func (c *Cloud) getDataQuality(w http.ResponseWriter, _ *http.Request, j job) {
	if !terminal(j.Status) {
		writeValidationErrors(w, map[string][]string{
			"scraping_job_id": {"Data quality check not available yet, scraping job not finished"},
		})
		return
	}
	pages, success := j.pages(), true
	check := func(got, expected int64, met bool) qualityCheck {
		success = success && met
		return qualityCheck{got, expected, met}
	}
	atLeast := func(got, expected int64) qualityCheck { return check(got, expected, got >= expected) }
	ofPages := func(n int64) qualityCheck {
		percent := n * 100 / max(pages.Executed, 1)
		return check(percent, maxPagesPercent, percent <= maxPagesPercent)
	}
	quality := map[string]any{
		"min_record_count": atLeast(j.storedRecordCount(), minRecordCount), "max_failed_pages_percent": ofPages(pages.Failed),
		"max_empty_pages_percent": ofPages(pages.Empty), "max_no_value_pages_percent": ofPages(pages.NoValue),
		"min_column_records": []string{}, // an empty object, as PHP writes it
	}
	sample := j.Records.first(dataQualitySample)
	filled := make(map[string]int64)
	for line := range sample.lines() {
		for column, cell := range fields(line) {
			if cell != "" {
				filled[column]++
			}
		}
	}
	columns := make(map[string]qualityCheck)
	for _, column := range sample.columns() {
		if !slices.Contains(builtInColumns, column) {
			columns[column] = atLeast(filled[column]*100/max(sample.count, 1), minColumnPercent)
			quality["min_column_records"] = columns
		}
	}
	quality["overall_data_quality_success"] = success
	writeData(w, quality)
}
