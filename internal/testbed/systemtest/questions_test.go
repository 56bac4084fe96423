package systemtest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// withoutPrices returns records of shopMapping's sitemap whose price column has another name.
func withoutPrices(n int) webscrapertest.Records {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"web-scraper-order":"1700000000-%d","product":"lamp","price ":"$1.00"}`, i+1)
	}
	return webscrapertest.JSONLines(lines...)
}

// asked waits for a question about the job that contains the text, and returns it.
func asked(s *systemtest.System, id int64, question string) (attention string) {
	s.T.Helper()
	require.Contains(s.T, s.Attention(id), question)
	require.False(s.T, s.Cloud.Deleted(id))
	require.Zero(s.T, s.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, id))
	return s.Attention(id)
}

func TestFinishedJobWithoutRecordsAfterThousandsNeedsAttention(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "0"})
	s.StartWorker(s.Spool)
	first := imported(s, 3000)
	second := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(0, 1)})
	s.Notify(second)
	attention := asked(s, second, fmt.Sprintf("the import has 0 good records, and the job has stored 0; 3,000 were last published for its sitemap, from job %d", first))
	require.Contains(t, attention, "accept downloads the job again and publishes it, even with only 0 records; the job is deleted in the cloud after its hold; reimport tries again")
	s.RequireRecords(first, 3000)
	s.Signal(second, workflows.AcceptSignal)
	require.Equal(t, workflows.Deleted, s.Result(second).Outcome)
	s.RequireRecords(first, 3000)
}

func TestEachQuestionIsAcceptedSeparately(t *testing.T) {
	t.Parallel()
	s := newMapping(t, map[string]string{"MIN_RECORDS_PERCENT": "80"})
	s.StartWorker(s.Spool)
	first := imported(s, 100)
	second := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: withoutPrices(50)})
	s.Notify(second)
	accept := func(question string) {
		t.Helper()
		require.NoError(t, s.Temporal.SignalWorkflow(t.Context(), workflows.WorkflowID(second), "", workflows.AcceptSignal, question))
	}
	next := func(before, question string) (attention string) {
		t.Helper()
		accept(before)
		s.WaitForAnswer("another question", func() bool {
			attention = s.Progress(second).Attention
			return attention != "" && attention != before
		})
		accept(before) // sent twice
		require.Equal(t, attention, asked(s, second, question))
		require.Equal(t, int64(100), s.Count(`SELECT count(*) FROM products WHERE active AND price > 0 AND scrapingjob_id = $1`, first))
		return attention
	}
	fewer := asked(s, second, "the import has 50 good records, fewer than 80 % of the 100 last published for its sitemap")
	columns := next(fewer, fmt.Sprintf(`table public.products gets no value in column "price", which had one in 100 of 100 rows of job %d: no record has "price" (they have "price ")`, first))
	rows := next(columns, "the job would deactivate 100 of the 100 active rows of its sitemap in table public.products, more than 40 %")
	accept(rows)
	result := s.Result(second)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Contains(t, result.Problem, `no record has "price"`)
	require.Equal(t, int64(50), s.Count(`SELECT count(*) FROM products WHERE active AND scrapingjob_id = $1`, second))
}

// The worker is killed during the import; another one continues.
func TestEmptyColumnIsFoundInAResumedImport(t *testing.T) {
	t.Parallel()
	const records = 10_000
	s := newMapping(t, map[string]string{"BATCH_RECORDS": "100", "HEARTBEAT_TIMEOUT": "5s"})
	worker := s.StartWorker(s.Spool)
	first := imported(s, 100)
	require.NoError(t, worker.Stop())
	second := killAfterSomeBatches(s, webscrapertest.Job{SitemapName: "shop", Records: withoutPrices(records)})
	s.StartWorker(s.Spool)
	asked(s, second, fmt.Sprintf(`column "price", which had one in 100 of 100 rows of job %d: no record has "price"`, first))
	require.Equal(t, int64(100), s.Count(`SELECT count(*) FROM products WHERE price > 0`))
	require.Equal(t, int64(2), s.Count(`SELECT count(*) FROM scrapehaul.imports`), "resumed, not restarted")
	s.Signal(second, workflows.AbandonSignal)
	require.Equal(t, workflows.Abandoned, s.Result(second).Outcome)
}
