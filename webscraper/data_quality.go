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

// UnmarshalJSON decodes what the API spells in several ways.
func (q *QualityCheck) UnmarshalJSON(data []byte) error {
	var wire struct {
		Got      wireFloat `json:"got"`
		Expected wireFloat `json:"expected"`
		Success  wireBool  `json:"success"`
	}
	err := json.Unmarshal(data, &wire)
	*q = QualityCheck{Got: float64(wire.Got), Expected: float64(wire.Expected), Success: bool(wire.Success)}
	return err
}

// DataQuality is how a scraping job fared against the limits set for its
// sitemap. A check that the API does not report is nil.
type DataQuality struct {
	MinRecordCount         *QualityCheck `json:"min_record_count"`
	MaxFailedPagesPercent  *QualityCheck `json:"max_failed_pages_percent"`
	MaxEmptyPagesPercent   *QualityCheck `json:"max_empty_pages_percent"`
	MaxNoValuePagesPercent *QualityCheck `json:"max_no_value_pages_percent"`
	// MinColumnRecords has a check for each column that has a limit: in what
	// percentage of the records it is filled.
	MinColumnRecords map[string]QualityCheck `json:"-"`
	// Success says that every check succeeded.
	Success bool `json:"-"`
}

// ScrapingJobDataQuality returns the data quality of a scraping job that has
// finished. For one that has not, the error has [Error.ValidationErrors] for
// "scraping_job_id".
func (c *Client) ScrapingJobDataQuality(ctx context.Context, id int64) (*DataQuality, error) {
	req := requestAbout(id, "get data quality of scraping job %d", http.MethodGet, "scraping-job/%d/data-quality")
	var wire struct {
		DataQuality
		Columns wireColumnChecks `json:"min_column_records"`
		Overall wireBool         `json:"overall_data_quality_success"`
	}
	err := c.call(ctx, req, &wire)
	if err != nil {
		return nil, err
	}
	wire.MinColumnRecords, wire.Success = wire.Columns, bool(wire.Overall)
	return &wire.DataQuality, nil
}

// wireColumnChecks decodes an object of checks, or nulls. PHP writes an empty one as [].
type wireColumnChecks map[string]QualityCheck

func (m *wireColumnChecks) UnmarshalJSON(data []byte) error {
	var checks map[string]*QualityCheck
	if bytes.Equal(data, []byte("[]")) {
		return nil
	}
	err := json.Unmarshal(data, &checks)
	*m = make(wireColumnChecks, len(checks))
	for column, check := range checks {
		if check != nil {
			(*m)[column] = *check
		}
	}
	return err
}
