package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestMain(m *testing.M) { systemtest.Main(m) }

// newSystem starts everything except workers, and points this process's commands at it.
func newSystem(t *testing.T, settings map[string]string, changes ...func(*webscrapertest.Options)) *systemtest.System {
	t.Helper()
	s := systemtest.New(t, settings, changes...)
	programtest.SetEnvironment(t, map[string]string{
		"TEMPORAL_ADDRESS": s.Env.TemporalAddress, "TEMPORAL_NAMESPACE": s.Env.TemporalNamespace,
		"WEBSCRAPER_API_TOKEN": systemtest.APIToken, "WEBSCRAPER_API_BASE_URI": s.Cloud.URL,
		"DATABASE_URL": s.Env.DatabaseURL, "RECONCILE_EVERY": s.Env.Settings["RECONCILE_EVERY"],
	})
	return s
}

// addJob adds an ended job and sends its notification.
func addJob(s *systemtest.System, job webscrapertest.Job) (id int64, argument string) {
	s.T.Helper()
	id = s.Cloud.AddJob(job)
	s.Notify(id)
	return id, strconv.FormatInt(id, 10)
}

// held adds a job and waits until it is held.
func held(s *systemtest.System) (id int64, argument string) {
	s.T.Helper()
	id, argument = addJob(s, webscrapertest.Job{SitemapName: "laptops", Records: webscrapertest.Products(20, 1)})
	s.WaitForStep(id, workflows.StepHold)
	return id, argument
}

// needingAttention adds a job and waits until it needs attention.
func needingAttention(s *systemtest.System) (id int64, argument string) {
	s.T.Helper()
	id, argument = addJob(s, webscrapertest.Job{SitemapName: "books", Records: webscrapertest.RawBody(`{"a":1}`+"\n", 2)})
	s.Attention(id)
	return id, argument
}

// eventually runs a command until its output is as expected.
func eventually(s *systemtest.System, as func(code int, out string) bool, args ...string) (out string) {
	s.T.Helper()
	s.WaitFor(strings.Join(args, " "), func() bool {
		code, output, _ := runStarter(args...)
		out = output
		return as(code, out)
	})
	return out
}

func shows(parts ...string) func(int, string) bool {
	return func(_ int, out string) bool {
		for _, part := range parts {
			if !strings.Contains(out, part) {
				return false
			}
		}
		return true
	}
}

func TestStatusShowsTheProgressOfARunningImport(t *testing.T) {
	s := newSystem(t, map[string]string{"HEARTBEAT_TIMEOUT": "2s"}, systemtest.NoGzip)
	s.StartWorker(s.Spool)
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Times: 1, Effect: webscrapertest.Drip(1000, 20*time.Millisecond)})
	id, argument := addJob(s, webscrapertest.Job{SitemapName: "laptops \x1b[31m", Records: webscrapertest.Products(5000, 1)})

	out := eventually(s, func(code int, out string) bool {
		return code == program.ExitOK && shows("DownloadScrapingJob, attempt 1", "last heartbeat", "kB of ")(code, out)
	}, "status", argument)
	require.Regexp(t, `(?m)^scraping job +`+argument+`$`, out)
	require.Regexp(t, `(?m)^sitemap +laptops  \[31m$`, out, "control characters are removed")
	require.Regexp(t, `(?m)^in the cloud +finished, 5000 records stored$`, out)
	require.Regexp(t, `(?m)^step +downloading$`, out)
	require.Regexp(t, `(?m)^next +the records are imported$`, out)
	require.Regexp(t, `(?m)^you can +starter signal `+argument+` reimport +downloads and imports the job once more after this import`, out)

	var printed struct {
		ID       int64              `json:"scrapingjob_id"`
		Open     bool               `json:"open"`
		Status   string             `json:"status"`
		Progress workflows.Progress `json:"progress"`
		Amount   struct {
			Unit     string `json:"unit"`
			Done, Of int64
		} `json:"amount"`
		Activity struct {
			Name    string `json:"name"`
			Attempt int    `json:"attempt"`
		} `json:"activity"`
		Commands []string `json:"commands"`
	}
	code, out, problems := runStarter("status", argument, "--json")
	require.Equal(t, program.ExitOK, code, problems)
	require.NoError(t, json.Unmarshal([]byte(out), &printed))
	require.Equal(t, id, printed.ID)
	require.True(t, printed.Open)
	require.Equal(t, "Running", printed.Status)
	require.Equal(t, workflows.StepDownload, printed.Progress.Step)
	require.Equal(t, "bytes", printed.Amount.Unit)
	require.Positive(t, printed.Amount.Done)
	require.Greater(t, printed.Amount.Of, printed.Amount.Done)
	require.Equal(t, "DownloadScrapingJob", printed.Activity.Name)
	require.Equal(t, []string{"starter signal " + argument + " reimport"}, printed.Commands)
	require.NoError(t, s.Temporal.TerminateWorkflow(t.Context(), argument, "", "seen enough"))
}

func TestStatusShowsWhenAHeldJobIsDeleted(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "48h"})
	s.StartWorker(s.Spool)
	_, argument := held(s)
	code, out, problems := runStarter("status", argument)
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `(?m)^step +holding$`, out)
	require.Regexp(t, `(?m)^published +20 records, 0 rejected$`, out)
	require.Regexp(t, `(?m)^next +the job is deleted in the cloud at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d, in 4[78]h`, out)
	for _, signal := range []string{"delete-now", "keep", "abandon", "reimport"} {
		require.Contains(t, out, "starter signal "+argument+" "+signal+"  ")
	}
	require.NotContains(t, out, "accept")
}

func TestStatusShowsWhatPublishingDidNotDo(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "48h"})
	s.StartWorker(s.Spool)
	s.DB.MustExec(`DROP SCHEMA sitemaps CASCADE`)
	id, argument := held(s)
	notDone := `(?m)^not done +.*schema "sitemaps" does not exist`
	code, out, problems := runStarter("status", argument)
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `(?m)^published +20 records, 0 rejected$`, out)
	require.Regexp(t, notDone, out)
	require.Regexp(t, `; not done: .*schema "sitemaps" does not exist\n`, eventually(s, shows(argument), "list"))

	s.Signal(id, workflows.DeleteNowSignal)
	require.Contains(t, s.Result(id).Problem, `schema "sitemaps" does not exist`)
	require.Regexp(t, notDone, eventually(s, shows("completed"), "status", argument))
}

func TestStatusOfAnImportThatNeedsAttentionExitsWith3(t *testing.T) {
	s := newSystem(t, map[string]string{"ATTENTION_TIMEOUT": "1h"})
	s.StartWorker(s.Spool)
	_, argument := needingAttention(s)
	code, out, problems := runStarter("status", argument)
	require.Equal(t, program.ExitAttention, code)
	require.Empty(t, problems)
	require.Regexp(t, `(?m)^step +needs-attention$`, out)
	require.Regexp(t, `(?m)^problem +1 record was imported, but the job has stored 2\. `, out)
	require.Regexp(t, `(?m)^next +an operator decides; without a signal, the import fails at .+, in (1h0m0s|59m\d+s)$`, out)
	require.Contains(t, out, "starter signal "+argument+" accept  ")

	code, out, _ = runStarter("status", argument, "--json")
	require.Equal(t, program.ExitAttention, code)
	require.Contains(t, out, `"needs_attention": true`)
}

func TestStatusShowsHowAClosedImportEnded(t *testing.T) {
	s := newSystem(t, map[string]string{"HOLD_BEFORE_DELETE": "0", "ATTENTION_TIMEOUT": "1s"})
	s.StartWorker(s.Spool)
	id, argument := addJob(s, webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	s.Result(id)
	code, out, problems := runStarter("status", argument)
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `(?m)^step +completed$`, out)
	require.Regexp(t, `(?m)^published +20 records, 0 rejected$`, out)
	require.Regexp(t, `(?m)^in the cloud +deleted, was finished, 20 records stored$`, out)
	require.Regexp(t, `(?m)^outcome +deleted$`, out)
	require.Regexp(t, `(?m)^workflow +run \S+, Completed, started 20.*, ended 20`, out)
	require.Regexp(t, `(?m)^you can +starter reimport `+argument+` +imports the job again from the archive, if there is one$`, out)

	_, argument = addJob(s, webscrapertest.Job{Records: webscrapertest.RawBody(`{"a":1}`+"\n", 2)})
	out = eventually(s, func(code int, out string) bool {
		return code == program.ExitAttention && shows("failed")(code, out)
	}, "status", argument)
	require.Regexp(t, `(?m)^reason +1 record was imported, but the job has stored 2$`, out)
}

func TestStatusOfAnUnknownJobSaysHowToStartAnImport(t *testing.T) {
	newSystem(t, nil)
	for _, args := range [][]string{{"status", "999"}, {"status", "999", "--json"}, {"signal", "999", "keep"}} {
		code, out, problems := runStarter(args...)
		require.Equal(t, program.ExitFailed, code)
		require.Empty(t, out)
		require.Equal(t, "starter: scraping job 999: Temporal has no import of this scraping job: start one with: starter import 999\n", problems)
	}
	code, _, problems := runStarter("status", "zwei")
	require.Equal(t, program.ExitSettings, code)
	programtest.RequireProblems(t, "starter", problems, `"zwei" is not the ID of a scraping job: `)
}

func TestStatusWithoutAWorkerReportsIt(t *testing.T) {
	s := newSystem(t, nil)
	_, argument := addJob(s, webscrapertest.Job{SitemapName: "laptops", Records: webscrapertest.Products(20, 1)})
	code, out, problems := runStarter("status", argument)
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `(?m)^summary +laptops · finished$`, out)
	require.Regexp(t, `(?m)^step +unknown: no worker answered: check that`, out)
	require.Regexp(t, `(?m)^next +it continues once a worker is running$`, out)

	code, _, problems = runStarter("signal", argument, "keep")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "the state of scraping job "+argument+" is unknown")
	code, out, problems = runStarter("signal", argument, "reimport", "--force")
	require.Equal(t, program.ExitOK, code, problems)
	require.Contains(t, out, "sent reimport")
}

func TestListShowsOpenImportsAndThoseThatNeedAttention(t *testing.T) {
	s := newSystem(t, nil)
	s.StartWorker(s.Spool)
	code, out, problems := runStarter("list", "--needs-attention")
	require.Equal(t, program.ExitOK, code, problems)
	require.Empty(t, out)
	code, out, problems = runStarter("list", "--json")
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, "[]\n", out)

	_, holds := held(s)
	_, waits := needingAttention(s)
	out = eventually(s, shows("laptops", "books"), "list")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3)
	require.Regexp(t, `^JOB +SITEMAP +STEP +RECORDS +STARTED +NEXT$`, lines[0])
	require.Regexp(t, `^`+waits+` +books +needs-attention +1 +20\S+ \S+ +1 record was imported, but`, lines[1])
	require.Regexp(t, `^`+holds+` +laptops +holding +20 +20\S+ \S+ +the job is deleted in the cloud at `, lines[2])

	out = eventually(s, func(code int, _ string) bool { return code == program.ExitAttention }, "list", "--needs-attention", "--json")
	var printed []struct {
		ID             int64 `json:"scrapingjob_id"`
		NeedsAttention bool  `json:"needs_attention"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &printed))
	require.Len(t, printed, 1)
	require.Equal(t, waits, strconv.FormatInt(printed[0].ID, 10))
	require.True(t, printed[0].NeedsAttention)

	code, out, problems = runStarter("list", "--limit", "1")
	require.Equal(t, program.ExitOK, code)
	require.Equal(t, 2, strings.Count(out, "\n"))
	require.Contains(t, out, "books", "the newest")
	require.Contains(t, problems, "there may be more")
}

func TestListNeedsAttentionFailsWhenItIsUnknown(t *testing.T) {
	s := newSystem(t, nil)
	addJob(s, webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	s.WaitFor("the import in Temporal's visibility", func() bool { return len(s.Runs(0)) > 0 })
	code, _, problems := runStarter("list", "--needs-attention")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "1 open import may need attention: no worker answers")
}

func TestSignalEndsTheHold(t *testing.T) {
	s := newSystem(t, nil)
	s.StartWorker(s.Spool)
	id, argument := held(s)
	code, out, problems := runStarter("signal", argument, "accept")
	require.Equal(t, program.ExitFailed, code)
	require.Empty(t, out)
	require.Contains(t, problems, `is at step "holding", where accept has no effect`)
	require.Contains(t, problems, "\n  starter signal "+argument+" delete-now  ends the hold")

	code, out, problems = runStarter("signal", argument, "accept", "--force")
	require.Equal(t, program.ExitOK, code, problems)
	require.Contains(t, out, "sent accept")
	require.Equal(t, workflows.StepHold, s.Progress(id).Step)

	code, out, problems = runStarter("signal", argument, "delete-now")
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, "scraping job "+argument+": sent delete-now, which ends the hold and deletes the job in the cloud now\n", out)
	require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
	require.True(t, s.Cloud.Deleted(id))

	code, _, problems = runStarter("signal", argument, "keep", "--force")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "has ended (completed)")
	require.Contains(t, problems, "starter reimport "+argument)
}

func TestSignalResolvesAnImportThatNeedsAttention(t *testing.T) {
	s := newSystem(t, nil)
	s.StartWorker(s.Spool)
	id, argument := needingAttention(s)
	code, _, problems := runStarter("signal", argument, "keep")
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, workflows.Kept, s.Result(id).Outcome)

	code, _, problems = runStarter("signal", argument, "delete")
	require.Equal(t, program.ExitSettings, code)
	require.Contains(t, problems, "accept")
}

func TestJobsArePrintedAsJSON(t *testing.T) {
	s := newSystem(t, nil)
	s.StartWorker(s.Spool)
	_, argument := held(s)
	s.Cloud.AddJob(webscrapertest.Job{SitemapName: "books", Records: webscrapertest.Products(7, 1)})
	code, out, problems := runStarter("jobs", "--json")
	require.Equal(t, program.ExitOK, code, problems)
	var printed []struct {
		ID        int64 `json:"scrapingjob_id"`
		Stored    int64 `json:"stored_record_count"`
		Published *struct {
			Records int64 `json:"records"`
		} `json:"published"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &printed))
	require.Len(t, printed, 2)
	for _, job := range printed {
		if strconv.FormatInt(job.ID, 10) == argument {
			require.Equal(t, int64(20), job.Published.Records)
		} else {
			require.Nil(t, job.Published)
			require.Equal(t, int64(7), job.Stored)
		}
	}
}
