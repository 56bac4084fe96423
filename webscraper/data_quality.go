package webscraper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// QualityCheck is one of the limits that are set for a sitemap's data, and what
// a scraping job reached.
type QualityCheck struct {
	Got      float64 `json:"got"`
	Expected float64 `json:"expected"`
	Success  bool    `json:"success"`
}

// UnmarshalJSON decodes a check as the API spells it.
func (q *QualityCheck) UnmarshalJSON(data []byte) error { return decodeObject(data, q) }

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
	var quality DataQuality
	if err := c.call(ctx, req, &quality); err != nil {
		return nil, err
	}
	return &quality, nil
}

// UnmarshalJSON decodes a data quality as the API spells it.
func (q *DataQuality) UnmarshalJSON(data []byte) error {
	type checks DataQuality // without this method
	var columns struct {
		Checks wireColumnChecks `json:"min_column_records"`
	}
	var overall struct {
		Success bool `json:"overall_data_quality_success"`
	}
	err := errors.Join(json.Unmarshal(data, (*checks)(q)), json.Unmarshal(data, &columns), decodeObject(data, &overall))
	q.MinColumnRecords, q.Success = columns.Checks, overall.Success
	return err
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
