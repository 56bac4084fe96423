package webscraper

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
)

// QualityCheck is one of the limits that are set for a sitemap's data, and what
// a scraping job reached.
type QualityCheck struct {
	Got, Expected float64
	Success       bool
}

// DataQuality is how a scraping job fared against the limits set for its
// sitemap. A check that the API does not report is nil.
type DataQuality struct {
	MinRecordCount         *QualityCheck
	MaxFailedPagesPercent  *QualityCheck
	MaxEmptyPagesPercent   *QualityCheck
	MaxNoValuePagesPercent *QualityCheck
	// MinColumnRecords has a check for each column that has a limit: in what
	// percentage of the records it is filled.
	MinColumnRecords map[string]QualityCheck
	// Success says that every check succeeded.
	Success bool
}

// ScrapingJobDataQuality returns the data quality of a scraping job that has
// finished. For one that has not, the error has [Error.ValidationErrors] for
// "scraping_job_id".
func (c *Client) ScrapingJobDataQuality(ctx context.Context, id int64) (*DataQuality, error) {
	req := requestAbout(id, "get data quality of scraping job %d", http.MethodGet, "scraping-job/%d/data-quality")
	var w struct {
		MinRecordCount         *wireQualityCheck `json:"min_record_count"`
		MaxFailedPagesPercent  *wireQualityCheck `json:"max_failed_pages_percent"`
		MaxEmptyPagesPercent   *wireQualityCheck `json:"max_empty_pages_percent"`
		MaxNoValuePagesPercent *wireQualityCheck `json:"max_no_value_pages_percent"`
		MinColumnRecords       wireColumnChecks  `json:"min_column_records"`
		Success                wireBool          `json:"overall_data_quality_success"`
	}
	if err := c.call(ctx, req, &w); err != nil {
		return nil, err
	}
	return &DataQuality{
		MinRecordCount:         w.MinRecordCount.check(),
		MaxFailedPagesPercent:  w.MaxFailedPagesPercent.check(),
		MaxEmptyPagesPercent:   w.MaxEmptyPagesPercent.check(),
		MaxNoValuePagesPercent: w.MaxNoValuePagesPercent.check(),
		MinColumnRecords:       w.MinColumnRecords,
		Success:                bool(w.Success),
	}, nil
}

// wireQualityCheck is a QualityCheck as the API spells it.
type wireQualityCheck struct {
	Got      wireFloat `json:"got"`
	Expected wireFloat `json:"expected"`
	Success  wireBool  `json:"success"`
}

func (w *wireQualityCheck) check() *QualityCheck {
	if w == nil {
		return nil
	}
	return &QualityCheck{Got: float64(w.Got), Expected: float64(w.Expected), Success: bool(w.Success)}
}

// wireColumnChecks decodes an object of checks. PHP writes an empty one as [].
type wireColumnChecks map[string]QualityCheck

func (m *wireColumnChecks) UnmarshalJSON(data []byte) error {
	if bytes.Equal(data, []byte("[]")) {
		return nil
	}
	var checks map[string]*wireQualityCheck
	if err := json.Unmarshal(data, &checks); err != nil {
		return err
	}
	*m = make(wireColumnChecks, len(checks))
	for column, check := range checks {
		if check != nil {
			(*m)[column] = *check.check()
		}
	}
	return nil
}
