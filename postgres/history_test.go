package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
)

func TestHistoryIsReadInPagesNewestFirst(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	db.MustExec(`INSERT INTO scrapehaul.scraping_jobs (scrapingjob_id, sitemap_name) VALUES (1, 'laptops'), (2, NULL)`)
	db.MustExec(`INSERT INTO scrapehaul.imports
		(scrapingjob_id, workflow_run_id, pass, requested_at, state, fence, bytes, sha256, records, rejected, published_at)
		SELECT 1 + n % 2, 'run-' || n, 1, now(), CASE WHEN n = 5 THEN 'importing' ELSE 'replaced' END, 2, 100 + n, 'abc', n, 1,
		       CASE WHEN n < 5 THEN now() END
		FROM generate_series(1, 5) AS n`)
	runs := func(query postgres.HistoryQuery) (runs []string, last int64) {
		page, err := store.History(t.Context(), query)
		require.NoError(t, err)
		for _, each := range page {
			runs, last = append(runs, each.WorkflowRunID), each.ImportID
		}
		return runs, last
	}
	first, last := runs(postgres.HistoryQuery{Limit: 3})
	require.Equal(t, []string{"run-5", "run-4", "run-3"}, first)
	second, _ := runs(postgres.HistoryQuery{Before: last, Limit: 3})
	require.Equal(t, []string{"run-2", "run-1"}, second)
	ofJob, last := runs(postgres.HistoryQuery{ScrapingJobID: 2, Limit: 2})
	require.Equal(t, []string{"run-5", "run-3"}, ofJob)
	rest, _ := runs(postgres.HistoryQuery{ScrapingJobID: 2, Before: last, Limit: 2})
	require.Equal(t, []string{"run-1"}, rest)

	page, err := store.History(t.Context(), postgres.HistoryQuery{Limit: 2})
	require.NoError(t, err)
	require.False(t, page[0].SitemapName.Valid, "no import of the job is published")
	require.False(t, page[0].PublishedAt.Valid)
	require.Equal(t, "importing", page[0].State)
	require.True(t, page[0].KeepsRejected())
	require.False(t, page[1].KeepsRejected(), "it is replaced")
	require.Equal(t, "laptops", page[1].SitemapName.String)
	require.Equal(t, [5]int64{1, 4, 1, 104, 2}, [5]int64{page[1].ScrapingJobID, page[1].Records, page[1].Rejected, page[1].Bytes, page[1].Attempts})
	require.WithinDuration(t, time.Now(), page[1].StartedAt, time.Minute)
	require.True(t, page[1].PublishedAt.Valid)
}

func TestRejectedRecordsAreShownByTheirBeginning(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	db.MustExec(`INSERT INTO scrapehaul.scraping_jobs (scrapingjob_id) VALUES (1)`)
	db.MustExec(`INSERT INTO scrapehaul.imports (scrapingjob_id, workflow_run_id, pass, requested_at, bytes, sha256) VALUES (1, 'run', 1, now(), 1, 'abc')`)
	db.MustExec(`INSERT INTO scrapehaul.rejected_records (import_id, record_number, raw, reason)
		SELECT 1, n, decode('ff00', 'hex') || convert_to(repeat('x', 100 * n), 'UTF8'), 'reason ' || n FROM generate_series(3, 1, -1) AS n`)
	rejected, err := store.Rejected(t.Context(), 1, 2, 4)
	require.NoError(t, err)
	require.Equal(t, []postgres.RejectedRecord{
		{RecordNumber: 1, Reason: "reason 1", Beginning: []byte("\xff\x00xx"), Bytes: 102},
		{RecordNumber: 2, Reason: "reason 2", Beginning: []byte("\xff\x00xx"), Bytes: 202},
	}, rejected)

	db.MustExec(`INSERT INTO scrapehaul.import_records VALUES (1, 5, '{"ü":1}'), (1, 6, '{}')`)
	db.MustExec(`INSERT INTO scrapehaul.unmapped_records VALUES (1, 5, 'reason 5'), (1, 6, 'reason 6')`)
	rejected, err = store.Rejected(t.Context(), 1, 4, 4)
	require.NoError(t, err)
	require.Len(t, rejected, 4)
	require.Equal(t, postgres.RejectedRecord{RecordNumber: 5, Reason: "reason 5", Beginning: []byte(`{"ü`), Bytes: 9, Unmapped: true}, rejected[3])
	rejected, err = store.Rejected(t.Context(), 2, 2, 4)
	require.NoError(t, err)
	require.Empty(t, rejected)
}
