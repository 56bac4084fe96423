package systemtest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// The worker is killed during the import; another one continues with its file.
func TestKilledImportOfUnparsedCSVResumesAfterItsLastBatch(t *testing.T) {
	t.Parallel()
	const records = 10_000
	s := systemtest.New(t, map[string]string{
		"HOLD_BEFORE_DELETE": "0", "SOURCE_FORMAT": "csv", "SOURCE_RAW": "true", "BATCH_RECORDS": "100", "HEARTBEAT_TIMEOUT": "5s",
	})
	id := killAfterSomeBatches(s, webscrapertest.Job{Records: webscrapertest.Products(records, 1), Unparsed: webscrapertest.Products(records, 2)})

	s.StartWorker(s.Spool)
	result := s.Result(id)
	require.Equal(t, workflows.Deleted, result.Outcome, result.Reason)
	require.Equal(t, [2]int64{records, 0}, [2]int64{result.Records, result.Rejected})
	s.RequireRecords(id, records)
	require.Equal(t, int64(1), s.Count(`SELECT count(*) FROM scrapehaul.imports`), "resumed, not restarted")
	require.Equal(t, int64(records), s.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE data ->> 'product-href' LIKE 'https://webscraper.io/%'`))
	require.Equal(t, result.Bytes, s.Count(`SELECT committed_bytes FROM scrapehaul.imports`))
	s.RequireEmptySpool(s.Spool)

	var downloads []string
	for _, request := range s.Cloud.Requests() {
		if strings.Count(request.Path, "/") == 2 {
			downloads = append(downloads, request.Path+"?"+request.Query.Encode())
		}
	}
	require.Equal(t, []string{"scraping-job/" + workflows.WorkflowID(id) + "/csv?raw=true"}, downloads)
}

// killAfterSomeBatches kills the worker that imports the job after at least ten batches of
// 100 records.
func killAfterSomeBatches(s *systemtest.System, job webscrapertest.Job) (id int64) {
	s.T.Helper()
	worker := s.StartWorker(s.Spool)
	s.DB.MustExec(`
		CREATE FUNCTION scrapehaul.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END $$;
		CREATE TRIGGER slow BEFORE UPDATE OF committed_bytes ON scrapehaul.imports FOR EACH ROW EXECUTE FUNCTION scrapehaul.slow()`)
	id = s.Cloud.AddJob(job)
	s.Notify(id)
	committed := func() int64 {
		return s.Count(`SELECT coalesce(max(records), 0) FROM scrapehaul.imports WHERE state = 'importing'`)
	}
	s.WaitFor("some batches", func() bool { return committed() >= 1000 })
	killed, err := os.FindProcess(worker.PID())
	require.NoError(s.T, err)
	require.NoError(s.T, killed.Kill())
	<-worker.Done()
	require.NotZero(s.T, committed(), "the import was over before the worker was killed")
	s.DB.MustExec(`DROP TRIGGER slow ON scrapehaul.imports`)
	return id
}
