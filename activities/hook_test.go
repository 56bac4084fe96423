package activities_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestRecordHookChangesAndSkipsRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.JSONLines(
		`{"price":"1"}`, `{"cut":`, `{"price":"3"}`, `["no object"]`, `{"price":"5"}`, `{"price":"6"}`)})
	var got []string
	w.steps.RecordHook = func(_ context.Context, job sink.ScrapingJob, number int64, record []byte) ([]byte, error) {
		got = append(got, fmt.Sprintf("%d of %s: %s", number, job.SitemapName, record))
		switch number {
		case 3:
			return nil, fmt.Errorf("price: %w", activities.SkipRecord("3 is not a price"))
		case 5:
			return []byte(`{"price":"\u0000"}`), nil
		case 6:
			return []byte(`{"price":1e140000}`), nil // only PostgreSQL refuses it
		}
		_ = append(record, "what follows in the file"...) //nolint:gocritic // must not harm the next record
		return bytes.ReplaceAll(record, []byte("price"), []byte("amount")), nil
	}
	in := w.downloaded(id, 1)
	result, err := w.tryImport(in)
	require.NoError(t, err)
	require.Equal(t, activities.ImportRecordsResult{ImportID: result.ImportID, Counts: sink.Counts{Records: 1, Rejected: 4, Skipped: 1}, Published: true}, result)
	require.Equal(t, []string{`1 of shop: {"price":"1"}`, `3 of shop: {"price":"3"}`, `5 of shop: {"price":"5"}`, `6 of shop: {"price":"6"}`}, got)
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE data = '{"amount":"1"}'`))
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM scrapehaul.skipped_records
		WHERE record_number = 3 AND raw = '{"price":"3"}' AND reason = '3 is not a price'`))
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM scrapehaul.rejected_records
		WHERE record_number = 5 AND raw = '{"price":"5"}' AND reason LIKE '%0000%'`), "the original")
	require.Equal(t, int64(1), w.count(`SELECT count(*) FROM scrapehaul.rejected_records
		WHERE record_number = 6 AND raw = '{"price":"6"}' AND reason LIKE '%overflow%'`), "the original")

	// Skipped records do not keep the job in the cloud; rejected ones do.
	deletion := activities.DeleteScrapingJobInput{
		Job: in.Job, ImportID: result.ImportID, Counts: sink.Counts{Records: 1, Rejected: 4, Skipped: 1}, MaxRejected: 4,
	}
	deleted, err := run[activities.DeleteScrapingJobResult](w, "DeleteScrapingJob", deletion)
	require.NoError(t, err)
	require.True(t, deleted.Deleted, deleted.Reason)
}

func TestSlowRecordHookDoesNotBlockAStoppingWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(2000, 1)}), 1)
	in.BatchRecords = 1000
	stop := make(chan struct{})
	var last int64
	w.steps.RecordHook = func(_ context.Context, _ sink.ScrapingJob, number int64, record []byte) ([]byte, error) {
		last = number
		if number == 1010 {
			close(stop)
		}
		if number > 1010 {
			time.Sleep(10 * time.Millisecond) // the rest of the batch would take ten seconds
		}
		return record, nil
	}
	env := w.environment()
	env.SetWorkerStopChannel(stop)
	_, err := runIn[any](w, env, "ImportRecords", in)
	requireFailure(t, err, activities.ErrorWorkerStopping, true)
	require.Less(t, last, int64(2000), "the worker does not wait for the batch")
	require.Equal(t, int64(1000), w.count(`SELECT records FROM scrapehaul.imports`), "what was committed stays")
}

func TestFailedRecordHookIsRetriedFromTheLastBatch(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]func() error{
		"an error": func() error { return errors.New("the exchange rate service is unreachable") },
		"a panic":  func() error { panic("assignment to entry in nil map") },
		"not JSON": func() error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			in := w.downloaded(w.cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(95, 1)}), 1)
			seen := map[int64]int{}
			fail := true
			w.steps.RecordHook = func(_ context.Context, _ sink.ScrapingJob, number int64, record []byte) ([]byte, error) {
				seen[number]++
				if fail && number == 37 {
					return nil, failure()
				}
				return record, nil
			}
			_, err := w.tryImport(in)
			requireFailure(t, err, activities.ErrorRecordHook, true)
			require.ErrorContains(t, err, "the record hook failed on record 37: ")
			require.Zero(t, w.visible())

			fail = false
			result, err := w.tryImport(in)
			require.NoError(t, err)
			require.Equal(t, int64(95), result.Records)
			require.Equal(t, int64(95), w.visible())
			require.Equal(t, 1, seen[30], "committed records are not passed again")
			require.Equal(t, 2, seen[37])
		})
	}
}
