package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestListAndStatusShowWhatAnImportWaitsFor(t *testing.T) {
	until := time.Now().Add(7*time.Minute + time.Second/2)
	waiting := overview.Import{
		ScrapingJobID: 500, Open: true, ProgressKnown: true, StartedAt: time.Now(),
		Progress: workflows.Progress{SitemapName: "laptops", Step: workflows.StepDownload, WaitsFor: "the API's rate limit", WaitsUntil: &until},
	}
	const says = `waits for the API's rate limit until (20\d\d-\d\d-\d\d )?\d\d:\d\d:\d\d, in (7m0s|6m\d+s)`
	var list, status, asJSON strings.Builder
	require.NoError(t, printImports(&list, []overview.Import{waiting}, false))
	require.Regexp(t, `\n500 +laptops +downloading +- +20\S+ \S+ +`+says+`\n$`, list.String())
	require.NoError(t, printImport(&status, waiting, time.Now()))
	require.Regexp(t, `(?m)^next +`+says+`$`, status.String())

	require.NoError(t, printImports(&asJSON, []overview.Import{waiting}, true))
	var printed []struct {
		Next     string             `json:"next"`
		Progress workflows.Progress `json:"progress"`
	}
	require.NoError(t, json.Unmarshal([]byte(asJSON.String()), &printed))
	require.Regexp(t, `^`+says+`$`, printed[0].Next)
	require.Equal(t, "the API's rate limit", printed[0].Progress.WaitsFor)
	require.WithinDuration(t, until, *printed[0].Progress.WaitsUntil, 0)
}

func TestAtMostTenIDsAreNamed(t *testing.T) {
	require.Equal(t, "1 2", idList([]int64{1, 2}))
	require.Equal(t, "1 2 3 4 5 6 7 8 9 10 and 2 more", idList([]int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}))
}

func TestStatusSaysWhichCountsAndHeartbeatsAreOld(t *testing.T) {
	now := time.Now()
	i := overview.Import{
		ScrapingJobID: 500, Open: true, ProgressKnown: true,
		Progress: workflows.Progress{SitemapName: "laptops", ImportID: 7, Step: workflows.StepImport, Counts: sink.Counts{Records: 20}},
		Activity: &overview.Activity{Name: "ImportRecords", Attempt: 2, NextAttempt: &now, LastHeartbeat: &now},
	}
	var status strings.Builder
	require.NoError(t, printImport(&status, i, now))
	require.Regexp(t, `(?m)^published before +20 records, 0 rejected$`, status.String())
	require.Regexp(t, `(?m)^activity +ImportRecords, attempt 2$`, status.String(), "no attempt runs")
	waiting := i
	waiting.Activity, waiting.Progress.Step, waiting.Progress.SkippedIfClosed = nil, workflows.StepNeedsAttention, true
	status.Reset()
	require.NoError(t, printImport(&status, waiting, now))
	require.Regexp(t, `(?m)^published before +20 records`, status.String(), "the question is whether to publish")
	waiting.Progress.SkippedIfClosed = false
	status.Reset()
	require.NoError(t, printImport(&status, waiting, now))
	require.Regexp(t, `(?m)^published +20 records`, status.String(), "the question is whether to delete")
	removing := i
	removing.Activity = &overview.Activity{Name: "RemoveFile", Attempt: 1}
	status.Reset()
	require.NoError(t, printImport(&status, removing, now))
	require.Regexp(t, `(?m)^step +cleaning up$`, status.String())
	require.Regexp(t, `(?m)^published +20 records`, status.String(), "this import's own")
	i.Progress.Counts, i.Activity.StartedAt = sink.Counts{}, &now
	status.Reset()
	require.NoError(t, printImport(&status, i, now))
	require.Regexp(t, `(?m)^published +0 records`, status.String())
	require.Contains(t, status.String(), "last heartbeat")
}

func TestStatusOfAJobThatStillRunsSaysWhatImportsIt(t *testing.T) {
	i := overview.Import{ScrapingJobID: 500, Result: &workflows.ImportScrapingJobResult{Outcome: workflows.StillRunning}}
	var status strings.Builder
	require.NoError(t, printImport(&status, i, time.Now()))
	require.Regexp(t, `(?m)^next +nothing in this run: once the job has ended, .*starter import 500 starts another one$`, status.String())
	require.NotContains(t, status.String(), "you can")
}

// A run that fails before it has read the job knows neither the job nor what is published.
func TestUnknownCountsAreNotShownAsZero(t *testing.T) {
	i := overview.Import{ScrapingJobID: 500, Open: true, ProgressKnown: true, Progress: workflows.Progress{
		SitemapName: "laptops", Status: "finished", Step: workflows.StepNeedsAttention, Attention: "Web Scraper Cloud refuses the API token",
	}}
	var list, status strings.Builder
	require.NoError(t, printImports(&list, []overview.Import{i}, false))
	require.Regexp(t, `\n500 +laptops +needs-attention +- +`, list.String())
	require.NoError(t, printImport(&status, i, time.Now()))
	require.Regexp(t, `(?m)^reported +finished$`, status.String())
	require.NotContains(t, status.String(), "published")
	i.Open, i.Progress, i.Result = false, workflows.Progress{}, &workflows.ImportScrapingJobResult{Outcome: workflows.NotFound}
	status.Reset()
	require.NoError(t, printImport(&status, i, time.Now()))
	require.NotContains(t, status.String(), "published")
}

func TestCommandsNameTheAccount(t *testing.T) {
	ended := overview.Import{ScrapingJobID: 500, Status: "Failed"}
	require.Equal(t, "starter reimport 500", commandsFor(ended)[0].line)
	ended.Account = "acme"
	require.Equal(t, "starter reimport 500 --account acme", commandsFor(ended)[0].line)
}

func TestReimportOfARunningImportComesAfterIt(t *testing.T) {
	i := overview.Import{ScrapingJobID: 500, Open: true, ProgressKnown: true, Progress: workflows.Progress{
		Step: workflows.StepImport, Signals: []string{workflows.ReimportSignal},
	}}
	require.Equal(t, "downloads and imports the job once more after this import, replacing its records", commandsFor(i)[0].meaning)
	i.Progress.Step = workflows.StepHold
	require.Equal(t, workflows.SignalMeaning(workflows.ReimportSignal), commandsFor(i)[0].meaning)
}

func TestJobThatWasNotFoundIsNotOfferedAgain(t *testing.T) {
	i := overview.Import{ScrapingJobID: 500, Status: "Completed", Result: &workflows.ImportScrapingJobResult{Outcome: workflows.NotFound}}
	require.Empty(t, commandsFor(i))
	i.Result.Outcome = workflows.Deleted
	require.Len(t, commandsFor(i), 1)
}
