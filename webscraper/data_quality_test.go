package webscraper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestDataQuality(t *testing.T) {
	client := newClient(t, answerJSON(`{"success":true,"data":{
		"min_record_count":{"got":1,"expected":"1","success":true},
		"max_failed_pages_percent":{"got":7.5,"expected":5,"success":false},
		"max_empty_pages_percent":{"got":null,"expected":5,"success":true},
		"min_column_records":{"title":{"got":100,"expected":95,"success":true},"price":null},
		"overall_data_quality_success":false}}`))
	quality, err := client.ScrapingJobDataQuality(t.Context(), 500)
	require.NoError(t, err)
	require.Equal(t, &webscraper.DataQuality{
		MinRecordCount:        &webscraper.QualityCheck{Got: 1, Expected: 1, Success: true},
		MaxFailedPagesPercent: &webscraper.QualityCheck{Got: 7.5, Expected: 5},
		MaxEmptyPagesPercent:  &webscraper.QualityCheck{Got: 0, Expected: 5, Success: true},
		MinColumnRecords:      map[string]*webscraper.QualityCheck{"title": {Got: 100, Expected: 95, Success: true}},
	}, quality)
}

func TestDataQualityWithoutColumnLimits(t *testing.T) {
	// PHP writes an empty map as an empty array.
	client := newClient(t, answerJSON(`{"success":true,"data":{"min_column_records":[],"overall_data_quality_success":true}}`))
	quality, err := client.ScrapingJobDataQuality(t.Context(), 500)
	require.NoError(t, err)
	require.Equal(t, &webscraper.DataQuality{Success: true}, quality)
}

func TestDataQualityOfARunningJobIsAValidationError(t *testing.T) {
	cloud, client := newCloud(t)
	id := cloud.AddJob(webscrapertest.Job{Status: "started"})
	_, err := client.ScrapingJobDataQuality(t.Context(), id)
	var apiErr *webscraper.Error
	require.ErrorAs(t, err, &apiErr)
	require.Contains(t, apiErr.ValidationErrors, "scraping_job_id")
}
