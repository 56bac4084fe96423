package systemtest_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// heldImport imports a job of 500 records, and returns once it is held.
func heldImport(s *systemtest.System) (id int64) {
	s.T.Helper()
	id = s.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(500, 1)})
	s.Notify(id)
	s.WaitForStep(id, workflows.StepHold)
	return id
}

// forgetImports empties the database, as if restored from an earlier backup.
func forgetImports(s *systemtest.System) {
	s.T.Helper()
	s.DB.MustExec(`TRUNCATE scrapehaul.scraping_jobs, scrapehaul.imports, scrapehaul.import_records, scrapehaul.rejected_records CASCADE`)
}

func TestHeldImportsAreRepeatedAfterTheDatabaseWasRestored(t *testing.T) {
	t.Parallel()
	s := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "1h"})
	s.StartWorker(s.Spool)
	asked, unasked := heldImport(s), heldImport(s)
	forgetImports(s)

	s.Signal(asked, workflows.ReimportSignal)
	s.WaitFor("the records", func() bool {
		return s.Count(`SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, asked) == 500
	})

	s.Signal(unasked, workflows.DeleteNowSignal)
	require.Contains(t, s.Attention(unasked), "is not the published one")
	require.False(t, s.Cloud.Deleted(unasked))
	s.Signal(unasked, workflows.ReimportSignal)
	s.WaitForStep(unasked, workflows.StepHold)
	for _, id := range []int64{asked, unasked} {
		s.WaitForStep(id, workflows.StepHold)
		s.Signal(id, workflows.DeleteNowSignal)
		require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
		s.RequireRecords(id, 500)
	}
}

func TestHeldJobsAreDeletedAfterTemporalWasLost(t *testing.T) {
	t.Parallel()
	lost := systemtest.New(t, map[string]string{"HOLD_BEFORE_DELETE": "1h"})
	worker := lost.StartWorker(lost.Spool)
	id := heldImport(lost)
	require.NoError(t, worker.Stop())

	empty := temporaltest.NewNamespace(t)
	s := &systemtest.System{
		T: t, Programs: lost.Programs, Env: lost.Env, Cloud: lost.Cloud, Temporal: empty.Client, DB: lost.DB, Spool: lost.Spool, Log: lost.Log,
	}
	s.Env.TemporalNamespace = empty.Name
	s.StartWorker(s.Spool)
	_, err := s.Programs.RunStarter(t.Context(), s.Env, "reconcile")
	require.NoError(t, err)
	require.Empty(t, s.Runs(id), "a job with published content is not due")
	_, err = s.Programs.RunStarter(t.Context(), s.Env, "import", strconv.FormatInt(id, 10))
	require.NoError(t, err)
	s.WaitForStep(id, workflows.StepHold)
	s.Signal(id, workflows.DeleteNowSignal)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	s.RequireRecords(id, 500)
	require.Equal(t, 1, s.Downloads(id))
}
