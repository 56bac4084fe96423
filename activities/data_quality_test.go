package activities_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func (w *world) downloadChecked(id int64) (activities.DownloadScrapingJobResult, error) {
	w.t.Helper()
	return run[activities.DownloadScrapingJobResult](w, "DownloadScrapingJob",
		activities.DownloadScrapingJobInput{ScrapingJobID: id, File: file, IfDue: &activities.IfDue{}, DataQuality: true})
}

// quality sets the API's response to the next data quality check.
func (w *world) quality(status int, body string) {
	w.cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/data-quality", Times: 1, Effect: answers(status, body)})
}

func TestFailedDataQualityIsReportedInNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	check := func(got, expected string, success bool) string {
		return fmt.Sprintf(`{"got":%s,"expected":%s,"success":%t}`, got, expected, success)
	}
	var columns []string
	for n := range 12 {
		columns = append(columns, fmt.Sprintf(`"column %02d":%s`, n, check("1", "95", false)))
	}
	for _, c := range []struct{ body, want string }{
		{`"overall_data_quality_success":true`, ""},
		{`"min_record_count":` + check("12", "100", false) + `,"overall_data_quality_success":true`, ""},
		{
			`"min_record_count":` + check("12", "1000000", false) + `,"max_failed_pages_percent":` + check("7.5", "5", false) +
				`,"max_empty_pages_percent":` + check("5", "5", true) + `,"max_no_value_pages_percent":` + check("33.333333", "0", false) +
				`,"min_column_records":{"title":` + check("100", "95", true) + `,"price %d":` + check(`"80"`, "95", false) + `},"overall_data_quality_success":false`,
			`the API's data quality check failed: 12 records, at least 1000000 expected; 7.5 % of the pages failed, at most 5 % expected; ` +
				`33.33 % of the pages have no values, at most 0 % expected; column "price %d" has a value in 80 % of the records, at least 95 % expected`,
		},
		{`"min_column_records":[],"overall_data_quality_success":false`, "the API's data quality check failed: the API does not say why"},
		{
			`"min_column_records":{` + strings.Join(columns, ",") + `},"overall_data_quality_success":false`,
			`column "column 09" has a value in 1 % of the records, at least 95 % expected; 2 more columns`,
		},
	} {
		w.quality(http.StatusOK, `{"success":true,"data":{`+c.body+`}}`)
		result, err := w.downloadChecked(id)
		require.NoError(t, err)
		require.Equal(t, int64(20), result.Described.Job.StoredRecordCount)
		require.Positive(t, result.Bytes, "an operator decides after the records were read")
		if strings.HasPrefix(c.want, "the API's") || c.want == "" {
			require.Equal(t, c.want, result.FailedDataQuality)
		}
		require.True(t, strings.HasSuffix(result.FailedDataQuality, c.want), result.FailedDataQuality)
	}
}

func TestDataQualityIsCheckedOncePerDueJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.limit(4)
	bad := webscrapertest.Job{Records: webscrapertest.Products(20, 1), Pages: webscrapertest.Pages{Executed: 20, Failed: 2}}
	result, err := w.downloadChecked(w.cloud.AddJob(bad))
	require.NoError(t, err)
	require.Equal(t, "the API's data quality check failed: 10 % of the pages failed, at most 5 % expected", result.FailedDataQuality)
	waits, err := w.downloadChecked(w.cloud.AddJob(bad))
	require.NoError(t, err)
	require.Positive(t, waits.Wait, "all three calls or none")
	require.Len(t, w.cloud.Requests(), 3)

	w = newWorld(t)
	_, err = w.downloadChecked(w.cloud.AddJob(webscrapertest.Job{Status: "started"}))
	require.NoError(t, err)
	require.Len(t, w.cloud.Requests(), 1)
}

func TestDataQualityThatIsNotAvailableYetIsRetried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const notYet = `{"success":false,"validationErrors":{"scraping_job_id":["Data quality check not available yet, scraping job not finished"]}}`
	for _, status := range []int{http.StatusOK, http.StatusUnprocessableEntity} {
		before := w.downloads()
		id := w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
		w.quality(status, notYet)
		_, err := w.downloadChecked(id)
		requireFailure(t, err, activities.ErrorCloud, true)
		require.ErrorContains(t, err, "Data quality check not available yet")
		require.Equal(t, before, w.downloads())

		stopped := w.cloud.AddJob(webscrapertest.Job{Status: "stopped", Records: webscrapertest.Products(20, 1)})
		w.quality(status, notYet)
		result, err := w.downloadChecked(stopped)
		require.NoError(t, err)
		require.Contains(t, result.FailedDataQuality, `the job is "stopped", and the API refuses to check its data quality: `)
	}
}

func TestFailedDataQualityIsPublishedOnceAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)}), 1)
	in.FailedDataQuality = "the API's data quality check failed: 20 records, at least 100 expected"
	withheld, err := w.tryImport(in)
	require.NoError(t, err)
	require.False(t, withheld.Published)
	require.Equal(t, &sink.Question{Kind: sink.FailedDataQuality, Reason: in.FailedDataQuality}, withheld.Question)
	require.Equal(t, int64(20), withheld.Records)
	require.Zero(t, w.count(`SELECT count(*) FROM scrapehaul.import_records`))

	again := w.downloaded(in.Job.ScrapingJobID, 2)
	again.FailedDataQuality = in.FailedDataQuality
	again.Accepted = []sink.Question{*withheld.Question}
	published, err := w.tryImport(again)
	require.NoError(t, err)
	require.True(t, published.Published)
	require.Equal(t, int64(20), w.visible())
}
