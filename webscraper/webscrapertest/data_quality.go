package webscrapertest

import (
	"encoding/json"
	"net/http"
	"slices"
)

// The thresholds of the service's own data quality test.
const (
	minRecordCount   = 1
	maxPagesPercent  = 5
	minColumnPercent = 95
)

// dataQualitySample is how many records of a job its columns are judged by.
const dataQualitySample = 1000

type dataQualityObject struct {
	MinRecordCount            qualityCheck `json:"min_record_count"`
	MaxFailedPagesPercent     qualityCheck `json:"max_failed_pages_percent"`
	MaxEmptyPagesPercent      qualityCheck `json:"max_empty_pages_percent"`
	MaxNoValuePagesPercent    qualityCheck `json:"max_no_value_pages_percent"`
	MinColumnRecords          columnChecks `json:"min_column_records"`
	OverallDataQualitySuccess bool         `json:"overall_data_quality_success"`
}

// columnChecks is an object by column, except that PHP writes an empty one as
// an empty list.
type columnChecks map[string]qualityCheck

func (c columnChecks) MarshalJSON() ([]byte, error) {
	if len(c) == 0 {
		return []byte("[]"), nil
	}
	return json.Marshal(map[string]qualityCheck(c))
}

type qualityCheck struct {
	Got      int64 `json:"got"`
	Expected int64 `json:"expected"`
	Success  bool  `json:"success"`
}

func atLeast(got, expected int64) qualityCheck { return qualityCheck{got, expected, got >= expected} }

func atMost(got, expected int64) qualityCheck { return qualityCheck{got, expected, got <= expected} }

func (c *Cloud) getDataQuality(w http.ResponseWriter, _ *http.Request, j job) {
	if !terminal(j.Status) {
		writeValidationErrors(w, map[string][]string{
			"scraping_job_id": {"Data quality check not available yet, scraping job not finished"},
		})
		return
	}
	pages := j.pages()
	percent := func(n int64) int64 { return n * 100 / max(pages.Executed, 1) }
	quality := dataQualityObject{
		MinRecordCount:         atLeast(j.storedRecordCount(), minRecordCount),
		MaxFailedPagesPercent:  atMost(percent(pages.Failed), maxPagesPercent),
		MaxEmptyPagesPercent:   atMost(percent(pages.Empty), maxPagesPercent),
		MaxNoValuePagesPercent: atMost(percent(pages.NoValue), maxPagesPercent),
		MinColumnRecords:       make(columnChecks),
	}
	table := newTable(j.Records.first(dataQualitySample))
	filled := make([]int64, len(table.columns))
	records := int64(0)
	for row := range table.rows() {
		records++
		for i, cell := range row {
			if cell != "" {
				filled[i]++
			}
		}
	}
	success := true
	for i, column := range table.columns {
		if !slices.Contains(builtInColumns, column) {
			check := atLeast(filled[i]*100/max(records, 1), minColumnPercent)
			quality.MinColumnRecords[column] = check
			success = success && check.Success
		}
	}
	quality.OverallDataQualitySuccess = success && quality.MinRecordCount.Success &&
		quality.MaxFailedPagesPercent.Success && quality.MaxEmptyPagesPercent.Success && quality.MaxNoValuePagesPercent.Success
	writeData(w, quality)
}
