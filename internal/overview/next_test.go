package overview_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestNextSaysWhatAnImportWaitsFor(t *testing.T) {
	soon, tomorrow := after(7*60), after(24*3600)
	refused := overview.Import{
		ScrapingJobID: 1234, Open: true, ProgressKnown: true, Kind: "TokenRefused", Progress: workflows.Progress{Step: workflows.StepNeedsAttention, FailsAfter: &soon},
	}
	replacing := workflows.Progress{Step: workflows.StepImport, Counts: sink.Counts{Records: 20}}
	progress := func(p workflows.Progress, a *overview.Activity) overview.Import {
		return overview.Import{Open: true, ProgressKnown: true, Progress: p, Activity: a}
	}
	const limit = "the API's rate limit"
	for want, i := range map[string]overview.Import{
		"waits for the API's rate limit until 10:07:00, in 7m0s":               progress(workflows.Progress{Step: workflows.StepDownload, WaitsFor: limit, WaitsUntil: &soon}, nil),
		"waits for the API's rate limit until 2026-11-03 10:00:00, in 24h0m0s": progress(workflows.Progress{Step: workflows.StepDelete, WaitsFor: limit, WaitsUntil: &tomorrow}, nil),
		// It is about to continue, and the file of another round is still there.
		"waits for the API's rate limit": progress(
			workflows.Progress{Step: workflows.StepDelete, WaitsFor: limit, WaitsUntil: &start}, &overview.Activity{Name: "RemoveFile", Attempt: 1}),
		"waits for Web Scraper Cloud to report the job's end": progress(
			workflows.Progress{Step: workflows.StepDownload, WaitsFor: "Web Scraper Cloud to report the job's end"}, nil),
		"waits for Web Scraper Cloud to report the job's end; checks again at 10:07:00, in 7m0s": progress(
			workflows.Progress{Step: workflows.StepScrape, WaitsFor: "Web Scraper Cloud to report the job's end", WaitsUntil: &soon}, nil),
		"the records are imported when the job ends": progress(
			workflows.Progress{Step: workflows.StepScrape}, &overview.Activity{Name: "DownloadScrapingJob", Attempt: 1, StartedAt: &start}),

		"a worker picks up DownloadScrapingJob once it has a free slot (MAX_CONCURRENT_IMPORTS) and room in its spool": progress(
			workflows.Progress{Step: workflows.StepDownload}, &overview.Activity{Name: "DownloadScrapingJob", Attempt: 1}),
		"a worker picks up DeleteScrapingJob": progress(
			workflows.Progress{Step: workflows.StepDelete}, &overview.Activity{Name: "DeleteScrapingJob", Attempt: 1}),
		"attempt 2 of DownloadScrapingJob starts at 10:07:00, in 7m0s": progress(
			workflows.Progress{Step: workflows.StepDownload}, &overview.Activity{Name: "DownloadScrapingJob", Attempt: 2, NextAttempt: &soon}),
		"the worker that has the file picks up ImportRecords; without that worker, the import continues at 10:07:00, in 7m0s": progress(
			workflows.Progress{Step: workflows.StepImport}, &overview.Activity{Name: "ImportRecords", Attempt: 1, WorkerUntil: &soon}),
		"the records are imported": progress(
			workflows.Progress{Step: workflows.StepDownload}, &overview.Activity{Name: "DownloadScrapingJob", Attempt: 1, StartedAt: &start}),

		"the job is deleted in the cloud at 2026-11-03 10:00:00, in 24h0m0s": progress(
			workflows.Progress{Step: workflows.StepHold, DeleteAfter: &tomorrow}, nil),
		"the job is deleted in the cloud now": progress(
			workflows.Progress{Step: workflows.StepHold, DeleteAfter: &start}, nil),
		"an operator decides; without a signal, the import fails at 10:07:00, in 7m0s": progress(
			workflows.Progress{Step: workflows.StepNeedsAttention, FailsAfter: &soon}, nil),
		"reconciliation or starter import 1234 retries it; without either, the import fails at 10:07:00, in 7m0s": refused,
		"it continues once a worker is running":                                      {Open: true},
		"the import is published once all records are in":                            progress(workflows.Progress{Step: workflows.StepImport}, nil),
		"the import is published once all records are in, replacing the earlier one": progress(replacing, nil),
		// 8 + 16 + 32 s, then 33 minutes.
		"attempt 4 of ImportRecords starts at 10:07:00, in 7m0s; the import needs attention by 10:40 at the latest if it keeps failing": progress(
			workflows.Progress{Step: workflows.StepImport}, &overview.Activity{Name: "ImportRecords", Attempt: 4, MaxAttempts: 40, NextAttempt: &soon}),
	} {
		require.Equal(t, want, i.Next().In(start))
	}
	require.Equal(t, "waits for the API's rate limit until 11:07:00, in 7m0s", progress(
		workflows.Progress{WaitsFor: limit, WaitsUntil: &soon}, nil).Next().In(start.In(time.FixedZone("", 3600))), "in the reader's time zone")
}
