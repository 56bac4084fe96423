package systemtest_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// renamedShop is shopMapping with a renamed column and a new required one.
var renamedShop = strings.Replace(shopMapping, "- {name: price, type: numeric",
	"- {name: category, type: text, required: true}\n      - {name: amount, from: price, type: numeric", 1)

// brakeless allows each job to have different products.
func brakeless(file string) string {
	return strings.Replace(file, "brake_percent: 40", "brake_percent: 100", 1)
}

// runWorker runs a command of the worker to completion.
func runWorker(s *systemtest.System, args ...string) (output string, err error) {
	command := exec.CommandContext(s.T.Context(), s.Programs.Worker, args...)
	command.Env = s.Env.Variables()
	out, err := command.CombinedOutput()
	return string(out), err
}

// startBackfill waits until the backfill has mapped that many imports.
func startBackfill(s *systemtest.System, imports int64) client.WorkflowRun {
	s.T.Helper()
	run, err := workflows.StartBackfill(s.T.Context(), s.Temporal, workflows.DefaultTaskQueue, "", "shop")
	require.NoError(s.T, err)
	s.WaitFor("the backfill", func() bool {
		return s.Count(`SELECT count(DISTINCT scrapingjob_id) FROM products WHERE category IS NOT NULL`) == imports
	})
	return run
}

// requireFilled requires that the table matches the records.
func requireFilled(s *systemtest.System, records int64) {
	s.T.Helper()
	require.Equal(s.T, records, s.Count(`SELECT count(*) FROM products`))
	require.Equal(s.T, records, s.Count(`SELECT count(*) FROM products JOIN scrapehaul.scraped_records AS record
		ON scraped = web_scraper_order AND products.scrapingjob_id = record.scrapingjob_id AND product = data ->> 'product' AND category = data ->> 'category'
		AND amount = replace(substr(data ->> 'price', 2), ',', '')::numeric`))
}

// The mapping file is changed step by step as in docs/mapping.md; all jobs are deleted in the
// cloud. One backfill is canceled, and the worker is killed during another one.
func TestChangedMappingIsBackfilledFromTheDatabase(t *testing.T) {
	t.Parallel()
	const records = 10_000
	file := filepath.Join(t.TempDir(), "mappings.yaml")
	require.NoError(t, os.WriteFile(file, []byte(brakeless(shopMapping)), 0o600))
	s := systemtest.New(t, map[string]string{"MAPPINGS": file, "HOLD_BEFORE_DELETE": "0"})
	worker := s.StartWorker(s.Spool)
	var jobs []int64
	for seed := range int64(3) {
		id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(records, seed)})
		s.Notify(id)
		require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
		jobs = append(jobs, id)
	}

	file = filepath.Join(t.TempDir(), "changed.yaml")
	require.NoError(t, os.WriteFile(file, []byte(brakeless(renamedShop)), 0o600))
	out, err := runWorker(s, "check-mapping", file, "--database")
	require.Error(t, err)
	require.Contains(t, out, `column "amount" (numeric) is in the file only`)
	migrated, err := runWorker(s, "migrate-mapping", file)
	require.NoError(t, err, migrated)
	for statement := range strings.Lines(migrated) {
		if strings.HasPrefix(statement, "ALTER") {
			require.Contains(t, out, statement)
		}
	}
	require.Contains(t, migrated, `ALTER TABLE "public"."products" RENAME "price" TO "amount";`)
	out, err = runWorker(s, "check-mapping", file, "--database")
	require.NoError(t, err, out)

	// The worker still has the old file.
	late := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "shop", Records: webscrapertest.Products(100, 9)})
	s.Notify(late)
	require.Contains(t, s.Attention(late), "this worker publishes nothing into it, because its mappings file (MAPPINGS) differs from the one that the table was created for or last migrated to: "+
		`column "amount" (numeric) is in the table only`)
	require.NoError(t, worker.Stop())
	_, err = s.Programs.StartWorker(s.Env, s.Spool)
	require.Error(t, err, "a worker does not start with it either")
	s.Env = s.Env.With("MAPPINGS", file)
	worker = s.StartWorker(s.Spool)
	s.Signal(late, workflows.ReimportSignal)
	require.Equal(t, workflows.Deleted, s.Result(late).Outcome)

	// The last one to be mapped is the first job, which is locked.
	lock, err := s.DB.Begin()
	require.NoError(t, err)
	_, err = lock.Exec(`SELECT FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = $1 FOR UPDATE`, jobs[0])
	require.NoError(t, err)
	run := startBackfill(s, 3) // including the late one
	var mapped []string
	const notes = `SELECT import_id || ' ' || xmin FROM scrapehaul.imports WHERE scrapingjob_id = ANY($1) ORDER BY import_id`
	require.NoError(t, s.DB.Select(&mapped, notes, pq.Int64Array(jobs[1:])))
	require.NoError(t, s.Temporal.CancelWorkflow(t.Context(), run.GetID(), run.GetRunID()))
	var canceled *temporal.CanceledError
	require.ErrorAs(t, run.Get(t.Context(), nil), &canceled)
	require.Equal(t, int64(records), s.Count(`SELECT count(*) FROM products WHERE scrapingjob_id = $1 AND category IS NULL`, jobs[0]), "readers see it unchanged")

	run = startBackfill(s, 3)
	s.WaitForAnswer("its progress", func() bool {
		there, err := s.Temporal.DescribeWorkflowExecution(t.Context(), run.GetID(), run.GetRunID())
		return err == nil && len(there.GetPendingActivities()) == 1 && there.GetPendingActivities()[0].GetHeartbeatDetails() != nil
	})
	killed, err := os.FindProcess(worker.PID())
	require.NoError(t, err)
	require.NoError(t, killed.Kill())
	<-worker.Done()
	require.NoError(t, lock.Rollback())
	s.StartWorker(s.Spool)
	var result activities.Backfill
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	require.NoError(t, run.Get(ctx, &result))
	require.Equal(t, activities.Backfill{Table: "public.products", Imports: 4, OfImports: 4, Records: 3*records + 100, OfRecords: 3*records + 100}, result)
	requireFilled(s, 3*records+100)
	var still []string
	require.NoError(t, s.DB.Select(&still, notes, pq.Int64Array(jobs[1:])))
	require.Equal(t, mapped, still, "mapped imports are not mapped again")

	out, err = s.Programs.RunStarter(t.Context(), s.Env, "backfill", "shop")
	require.NoError(t, err)
	require.Contains(t, out, "table public.products: 4 published imports with 30,100 records, of which 0 do not fit\n")
	require.Zero(t, s.Count(`SELECT count(*) FROM pg_tables WHERE tablename LIKE 'mapped_rows%'`))
}
