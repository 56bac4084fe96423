package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const (
	apiToken = "api-token-zx81"
	password = "password-zx84"
)

func TestAccountWithoutADatabaseShowsTheAPIAnswer(t *testing.T) {
	cloud := webscrapertest.NewServer(t, webscrapertest.Options{
		Tokens:  []string{apiToken},
		Account: webscrapertest.Account{Email: "ada@example.org", Firstname: "Ada", Lastname: "Lovelace", PageCredits: 1234},
	})
	programtest.SetEnvironment(t, map[string]string{"WEBSCRAPER_API_TOKEN": apiToken, "WEBSCRAPER_API_BASE_URI": cloud.URL})
	code, out, problems := runStarter("account")
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `^account +Ada Lovelace <ada@example\.org>\npage credits +1234\n$`, out)
}

// migrated returns a cloud and a migrated database, both set in the environment.
func migrated(t *testing.T, options webscrapertest.Options) (*webscrapertest.Cloud, *sqlx.DB) {
	t.Helper()
	options.Tokens = append(options.Tokens, apiToken)
	cloud := webscrapertest.NewServer(t, options)
	database := postgrestest.NewDatabase(t)
	programtest.SetEnvironment(t, map[string]string{"WEBSCRAPER_API_TOKEN": apiToken, "WEBSCRAPER_API_BASE_URI": cloud.URL, "DATABASE_URL": database})
	db, err := sqlx.Open("postgres", database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	return cloud, db
}

func TestAccountShowsTheLedger(t *testing.T) {
	cloud, db := migrated(t, webscrapertest.Options{RateLimitCalls: 50})
	code, out, problems := runStarter("account")
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `\npage credits +\d+\nwindow +1 calls made here and 0 elsewhere, of 50 until `+date+`\nwaiting imports +0\n$`, out)

	// Others have spent the window: the command sends nothing, and says so.
	db.MustExec(`UPDATE scrapehaul.api_budgets SET taken = 40, elsewhere = 10;
		INSERT INTO scrapehaul.api_waits (account, holder, calls, place, until) VALUES ('default', '500', 2, now(), now() + interval '7 minutes')`)
	code, out, problems = runStarter("account")
	require.Equal(t, program.ExitFailed, code)
	require.Regexp(t, `^window +40 calls made here and 10 elsewhere, of 50 until `+date+`\nwaiting imports +1\n$`, out)
	require.Contains(t, problems, "the account has no call left for ")
	require.Len(t, cloud.Requests(), 1)

	db.MustExec(`UPDATE scrapehaul.api_budgets SET resets_at = now() - interval '1 second'; DELETE FROM scrapehaul.api_waits`)
	code, out, problems = runStarter("account")
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `\nwindow +1 calls made here`, out)
}

func TestAccountWithoutALedgerShowsTheAPIAnswer(t *testing.T) {
	cloud := webscrapertest.NewServer(t, webscrapertest.Options{Tokens: []string{apiToken}})
	programtest.SetEnvironment(t, map[string]string{
		"WEBSCRAPER_API_TOKEN": apiToken, "WEBSCRAPER_API_BASE_URI": cloud.URL, "DATABASE_URL": postgrestest.NewDatabase(t),
	})
	code, out, problems := runStarter("account")
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `\npage credits +\d+\nwindow +unknown: the database of DATABASE_URL: .*run "worker migrate"`, out)
}

func TestJobsWaitForCalls(t *testing.T) {
	cloud, db := migrated(t, webscrapertest.Options{})
	for range 150 {
		cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(1, 1)})
	}
	db.MustExec(`INSERT INTO scrapehaul.api_budgets (account, window_number, calls, taken, answered, resets_at) VALUES ('default', 1, 200, 199, true, now() + interval '2 seconds')`)
	code, out, problems := runStarter("jobs")
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, 151, strings.Count(out, "\n"))
	require.Regexp(t, `^waiting for the API's rate limit until `+date+`\n$`, problems)
	calls := cloud.Requests()
	require.Len(t, calls, 2)
	require.Greater(t, calls[1].Time.Sub(calls[0].Time), time.Second)
}

func TestInvalidAPITokenIsNotPrinted(t *testing.T) {
	cloud := webscrapertest.NewServer(t, webscrapertest.Options{})
	programtest.SetEnvironment(t, map[string]string{"WEBSCRAPER_API_TOKEN": apiToken, "WEBSCRAPER_API_BASE_URI": cloud.URL})
	code, out, problems := runStarter("account")
	require.Equal(t, program.ExitFailed, code)
	require.Empty(t, out)
	require.Contains(t, problems, "401 Unauthorized")
	require.NotContains(t, problems, apiToken)
}

func TestAccountAndJobsNameMissingSettings(t *testing.T) {
	programtest.SetEnvironment(t, map[string]string{"DATABASE_URL": "mysql://importer:" + password + "@db/scrapes"})
	code, _, problems := runStarter("account")
	require.Equal(t, program.ExitSettings, code)
	programtest.RequireProblems(t, "starter", problems, "WEBSCRAPER_API_TOKEN is missing: ", "DATABASE_URL is not the URL of a PostgreSQL database: ")
	require.NotContains(t, problems, password)

	code, _, problems = runStarter("jobs")
	require.Equal(t, program.ExitSettings, code)
	programtest.RequireProblems(t, "starter", problems, "WEBSCRAPER_API_TOKEN is missing: ", "DATABASE_URL is not the URL of a PostgreSQL database: ")
	require.NotContains(t, problems, password)
}

func TestJobsAreListedWithTheirImports(t *testing.T) {
	cloud := webscrapertest.NewServer(t, webscrapertest.Options{Tokens: []string{apiToken}})
	database := postgrestest.NewDatabase(t)
	programtest.SetEnvironment(t, map[string]string{"WEBSCRAPER_API_TOKEN": apiToken, "WEBSCRAPER_API_BASE_URI": cloud.URL, "DATABASE_URL": database})
	code, _, problems := runStarter("jobs")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, `run "worker migrate"`)

	db, err := sqlx.Open("postgres", database)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	add := func(id int64, sitemap string, records int) {
		cloud.AddJob(webscrapertest.Job{ID: id, SitemapID: 10 + id, SitemapName: sitemap, Records: webscrapertest.Products(records, id)})
	}
	add(1, "shop", 20)
	add(2, "shop again", 30)
	add(3, "news", 40)
	publish(t, db, sink.ScrapingJob{ScrapingJobID: 1, Status: "finished", JobsScheduled: 20, JobsExecuted: 20, StoredRecordCount: 20})
	publish(t, db, sink.ScrapingJob{ScrapingJobID: 2, Status: "finished", JobsScheduled: 20, JobsExecuted: 20, StoredRecordCount: 20})

	code, out, problems := runStarter("jobs")
	require.Equal(t, program.ExitOK, code, problems)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 4)
	require.Regexp(t, `^JOB +SITEMAP +CUSTOM ID +STATUS +RECORDS +IMPORTED +AT$`, lines[0])
	require.Regexp(t, `^1 +shop +finished +20 +1 \(1 rejected\) +`+date+`$`, lines[1])
	require.Regexp(t, `^2 +shop again +finished +30 +1 \(1 rejected\) \(has run again since\) +`+date+`$`, lines[2])
	require.Regexp(t, `^3 +news +finished +40 +no *$`, lines[3])

	_, err = db.Exec(`UPDATE scrapehaul.scraping_jobs SET removed_import_id = published_import_id, published_import_id = NULL WHERE scrapingjob_id = 1;
		UPDATE scrapehaul.imports SET state = 'removed', removed_at = now() WHERE scrapingjob_id = 1`)
	require.NoError(t, err)
	_, out, _ = runStarter("jobs", "--sitemap-id", "11")
	require.Regexp(t, `\n1 +shop +finished +20 +1 \(removed on `+date+`\) \(1 rejected\) +`+date+`\n$`, out)

	code, out, problems = runStarter("jobs", "--sitemap-id", "13")
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `^JOB .*\n3 +news `, out)
	require.Equal(t, 2, strings.Count(out, "\n"))
}

const date = `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`

// publish publishes an import of one record, and one rejected, for the job.
func publish(t *testing.T, db *sqlx.DB, job sink.ScrapingJob) {
	t.Helper()
	attempt, err := postgres.NewStore(db, nil).BeginImport(t.Context(), sink.ImportRequest{
		Job: job, WorkflowRunID: "run", Pass: 1, RequestedAt: time.Now(), Bytes: 2, SHA256: "abc",
	})
	require.NoError(t, err)
	batch := attempt.NewBatch()
	batch.Add(1, []byte(`{}`))
	batch.Reject(2, []byte(`{`), "cut off")
	batch.EndsAt(2, 2)
	require.NoError(t, attempt.CommitBatches(t.Context(), 1, func(context.Context) (next sink.Batch, err error) {
		next, batch = batch, nil
		return next, nil
	}, func(sink.Batch) {}))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
}
