package webscraper

import (
	"context"
	"maps"
	"net/http"
)

// QualityCheck is one of the limits set for a sitemap's data, and what a scraping
// job achieved.
type QualityCheck struct {
	Got      float64 `json:"got"`
	Expected float64 `json:"expected"`
	Success  bool    `json:"success"`
}

// UnmarshalJSON decodes a check as the API spells it.
func (q *QualityCheck) UnmarshalJSON(data []byte) error { return decodeObject(data, q) }

// DataQuality compares a scraping job with the limits set for its sitemap. A check
// that the API does not report is nil.
type DataQuality struct {
	MinRecordCount         *QualityCheck `json:"min_record_count"`
	MaxFailedPagesPercent  *QualityCheck `json:"max_failed_pages_percent"`
	MaxEmptyPagesPercent   *QualityCheck `json:"max_empty_pages_percent"`
	MaxNoValuePagesPercent *QualityCheck `json:"max_no_value_pages_percent"`
	// MinColumnRecords has a check for each column with a limit: the percentage of
	// records in which it is filled.
	MinColumnRecords map[string]*QualityCheck `json:"min_column_records"`
	// Success reports whether every check succeeded.
	Success bool `json:"overall_data_quality_success"`
}

// ScrapingJobDataQuality returns the data quality of a finished scraping job. For
// any other, the error has [Error.ValidationErrors] for "scraping_job_id".
func (c *Client) ScrapingJobDataQuality(ctx context.Context, id int64) (*DataQuality, error) {
	return get[DataQuality](ctx, c, requestAbout(id, "get data quality of scraping job %d", http.MethodGet, "scraping-job/%d/data-quality"))
}

// UnmarshalJSON decodes a data quality as the API spells it.
func (q *DataQuality) UnmarshalJSON(data []byte) error {
	err := decodeObject(data, q)
	maps.DeleteFunc(q.MinColumnRecords, func(_ string, check *QualityCheck) bool { return check == nil })
	return err
}
