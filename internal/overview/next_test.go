package overview_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestNextSaysWhatAnImportWaitsForAndUntilWhen(t *testing.T) {
	soon, tomorrow := after(7*60), after(24*3600)
	progress := func(p workflows.Progress, a *overview.Activity) overview.Import {
		return overview.Import{Open: true, ProgressKnown: true, Progress: p, Activity: a}
	}
	const limit = "the API's limit of calls"
	for want, i := range map[string]overview.Import{
		"waits for the API's limit of calls until 10:07:00, in 7m0s":               progress(workflows.Progress{Step: workflows.StepDownload, WaitsFor: limit, WaitsUntil: &soon}, nil),
		"waits for the API's limit of calls until 2026-11-03 10:00:00, in 24h0m0s": progress(workflows.Progress{Step: workflows.StepDelete, WaitsFor: limit, WaitsUntil: &tomorrow}, nil),
		// It is about to go on, and its file of another round is still there.
		"waits for the API's limit of calls": progress(
			workflows.Progress{Step: workflows.StepDelete, WaitsFor: limit, WaitsUntil: &began}, &overview.Activity{Name: "RemoveFile", Attempt: 1}),
		"waits for Web Scraper Cloud to say that the job has ended": progress(
			workflows.Progress{Step: workflows.StepDownload, WaitsFor: "Web Scraper Cloud to say that the job has ended"}, nil),
		"waits for Web Scraper Cloud to say that the job has ended, and looks again at 10:07:00, in 7m0s": progress(
			workflows.Progress{Step: workflows.StepScrape, WaitsFor: "Web Scraper Cloud to say that the job has ended", WaitsUntil: &soon}, nil),
		"the records are imported when the job has ended": progress(
			workflows.Progress{Step: workflows.StepScrape}, &overview.Activity{Name: "DownloadScrapingJob", Attempt: 1, StartedAt: &began}),

		"a worker takes up DownloadScrapingJob, as soon as one has a slot free (MAX_CONCURRENT_IMPORTS) and room in its spool": progress(
			workflows.Progress{Step: workflows.StepDownload}, &overview.Activity{Name: "DownloadScrapingJob", Attempt: 1}),
		"a worker takes up DeleteScrapingJob": progress(
			workflows.Progress{Step: workflows.StepDelete}, &overview.Activity{Name: "DeleteScrapingJob", Attempt: 1}),
		"attempt 2 of DownloadScrapingJob begins at 10:07:00, in 7m0s": progress(
			workflows.Progress{Step: workflows.StepDownload}, &overview.Activity{Name: "DownloadScrapingJob", Attempt: 2, NextAttempt: &soon}),
		"the records are imported": progress(
			workflows.Progress{Step: workflows.StepDownload}, &overview.Activity{Name: "DownloadScrapingJob", Attempt: 1, StartedAt: &began}),

		"the job is deleted in the cloud at 2026-11-03 10:00:00, in 24h0m0s": progress(
			workflows.Progress{Step: workflows.StepHold, DeleteAfter: &tomorrow}, nil),
		"the job is deleted in the cloud now": progress(
			workflows.Progress{Step: workflows.StepHold, DeleteAfter: &began}, nil),
		"a person decides; without a signal in time the import fails at 10:07:00, in 7m0s": progress(
			workflows.Progress{Step: workflows.StepNeedsAttention, FailsAfter: &soon}, nil),
		"it goes on as soon as a worker is there": {Open: true},
	} {
		require.Equal(t, want, i.Next().In(began))
	}
	require.Equal(t, "waits for the API's limit of calls until 11:07:00, in 7m0s", progress(
		workflows.Progress{WaitsFor: limit, WaitsUntil: &soon}, nil).Next().In(began.In(time.FixedZone("", 3600))), "in the reader's time zone")
}
