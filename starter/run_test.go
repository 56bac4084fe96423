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
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
	"github.com/scrapehaul/scrapehaul/workflows/contract"
)

// scrapingFor makes the cloud scrape each created job for this long.
func scrapingFor(d time.Duration) func(*webscrapertest.Options) {
	return func(o *webscrapertest.Options) { o.Timeline = webscrapertest.Timeline{Started: d} }
}

func TestRunOnATerminalFollowsTheSitemapToItsPublish(t *testing.T) {
	s := newSystem(t, nil, scrapingFor(3*time.Second))
	s.StartWorker(s.Spool)
	t.Setenv("TERM", "xterm")
	sitemap := strconv.FormatInt(s.Cloud.AddSitemap(webscrapertest.Sitemap{Name: "laptops"}), 10)
	code, screen := onTerminal(t, "run", sitemap, "--wait", "--start-url", "https://example.com/[1-500]")
	require.Equal(t, program.ExitOK, code, screen)
	require.Regexp(t, `\d\d:\d\d:\d\d  job \d+ scraping\r?\n`, screen)
	require.Regexp(t, `scraping  ?\[[=>-]+\]  ?\d+ pages of 500 pages, \d+ %, [\d,]+ records so far`, screen)
	require.Regexp(t, `JOB +SITEMAP +STATUS +PAGES +FAILED +EMPTY +RECORDS +REJECTED +IMPORT +OUTCOME\r?\n`+
		`\d+ +laptops +finished +500 +0 +0 +10000 +0 +\d+ +published\r?\n$`, screen)
}

func TestRunReturnsItsResultAsJSON(t *testing.T) {
	s := newSystem(t, nil, scrapingFor(time.Second))
	s.StartWorker(s.Spool)
	sitemap := strconv.FormatInt(s.Cloud.AddSitemap(webscrapertest.Sitemap{Name: "laptops"}), 10)
	code, out, problems := runStarter("run", sitemap, "--wait", "--json")
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `^sitemap `+sitemap+`: workflow run-sitemap-`+sitemap+`-\w+, run \S+\n`, problems)
	var result contract.RunSitemapResult
	require.NoError(t, json.Unmarshal([]byte(out), &result))
	require.Equal(t, contract.Published, result.Outcome)
	require.EqualValues(t, 20, result.Records)
	require.NotZero(t, result.ImportID)
	s.RequireRecords(result.ScrapingJobID, 20)
}

func TestRunningScrapeIsShownWithItsCounters(t *testing.T) {
	s := newSystem(t, nil, scrapingFor(time.Minute))
	s.StartWorker(s.Spool)
	id := s.RunSitemap("laptops", "https://example.com/[1-900]")
	argument := strconv.FormatInt(id, 10)

	const counters = `\d+ pages of 900 pages, \d+ %, [\d,]+ records so far`
	const next = `waits for Web Scraper Cloud to report the job's end; checks again at .+, in \d+s`
	out := eventually(s, shows("900 pages", "checks again"), "list")
	require.Regexp(t, `(?m)^`+argument+` +laptops +scraping +- +20\S+ \S+ +`+counters+`; `+next+`$`, out)
	code, out, problems := runStarter("status", argument)
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `(?m)^in the cloud +started, \d+ records stored$`, out)
	require.Regexp(t, `(?m)^step +scraping$`, out)
	require.Regexp(t, `(?m)^progress +`+counters+`$`, out)
	require.Regexp(t, `(?m)^next +`+next+`$`, out)
	require.Regexp(t, `(?m)^you can +starter signal `+argument+` abandon  `, out)
	require.NotContains(t, out, "starter signal "+argument+" reimport")

	require.NoError(t, s.Cloud.SetStatus(id, "finished"))
	s.Notify(id)
	s.WaitForStep(id, workflows.StepHold)
	s.RequireRecords(id, 18000)
}

func TestFailedRunReportsTheReason(t *testing.T) {
	s := newSystem(t, nil, scrapingFor(time.Hour))
	s.StartWorker(s.Spool)
	sitemap := strconv.FormatInt(s.Cloud.AddSitemap(webscrapertest.Sitemap{Name: "laptops"}), 10)
	code, out, problems := runStarter("run", sitemap, "--wait", "--time-limit", "3s")
	require.Equal(t, program.ExitFailed, code)
	require.Empty(t, out)
	require.Regexp(t, `\nstarter: running sitemap `+sitemap+`: sitemap `+sitemap+` was not scraped and published within 3s \(time_limit\): `+
		`scraping job \d+ keeps running in Web Scraper Cloud, and workflow \d+ imports it \(see starter status \d+\)\n$`, problems)
}

func TestRunThatNeedsAttentionExitsWith3(t *testing.T) {
	s := newSystem(t, nil, scrapingFor(time.Second))
	s.StartWorker(s.Spool)
	s.Cloud.Inject(webscrapertest.Fault{Path: "scraping-job/*/json", Effect: webscrapertest.Empty()})
	sitemap := strconv.FormatInt(s.Cloud.AddSitemap(webscrapertest.Sitemap{Name: "laptops"}), 10)
	code, out, problems := runStarter("run", sitemap, "--wait", "--if-needs-attention", "return")
	require.Equal(t, program.ExitAttention, code, problems)
	require.Regexp(t, `\n(\d+) +laptops +finished +1 +0 +0 +0 +0 +\d+ +needs-attention\njob \d+: .+\n$`, out)
}

func TestTheSameCustomIDIsTheSameRun(t *testing.T) {
	newSystem(t, nil) // without a worker, no run ends
	command := []string{"run", "12", "--custom-id", "monday"}
	code, out, problems := runStarter(command...)
	require.Equal(t, program.ExitOK, code, problems)
	require.Regexp(t, `^sitemap 12: workflow run-sitemap-12-monday, run \S+\n`, out)
	require.Contains(t, out, "temporal workflow result --workflow-id run-sitemap-12-monday\n")
	first, _, _ := strings.Cut(out, "\n")
	_, out, _ = runStarter(command...)
	require.Contains(t, out, first+", which exists already")

	ids := map[string]bool{}
	for range 2 {
		_, out, _ = runStarter("run", "12", "--custom-id", "each-{run}")
		id, _, _ := strings.Cut(out, ",")
		ids[id] = true
	}
	require.Len(t, ids, 2)
}

func TestInterruptedRunContinues(t *testing.T) {
	s := newSystem(t, nil)
	waiting := programtest.Start(t, "starter", new(commands), "run", "12", "--wait", "--custom-id", "monday")
	require.Eventually(t, func() bool { return strings.Contains(waiting.Log.String(), "waiting for a worker\n") }, waitAtMost, pollEvery)
	require.Equal(t, program.ExitFailed, waiting.Stop())
	require.Contains(t, waiting.Log.String(), "starter: stopped waiting; workflow run-sitemap-12-monday continues")
	described, err := s.Temporal.DescribeWorkflowExecution(t.Context(), "run-sitemap-12-monday", "")
	require.NoError(t, err)
	require.Nil(t, described.GetWorkflowExecutionInfo().GetCloseTime())
}

func TestRunNamesInvalidFlagsBeforeItStarts(t *testing.T) {
	programtest.SetEnvironment(t, nil)
	code, _, problems := runStarter("run", "0", "--max-reruns=-1", "--page-load-delay", "0s")
	require.Equal(t, program.ExitSettings, code)
	programtest.RequireProblems(t, "starter", problems, "0 is not a sitemap ID", "--max-reruns is -1", "--page-load-delay is 0s")
	for _, wrong := range []string{"--driver=slow", "--if-not-finished=ask", "--time-limit=soon"} {
		code, _, _ = runStarter("run", "12", wrong)
		require.Equal(t, program.ExitSettings, code, wrong)
	}
}
