package overview_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

var start = time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)

func after(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// importing returns an import of 10,000 records with a heartbeat.
func importing(attempt int32, seconds int, records int64) overview.Import {
	started, heartbeat := start, after(seconds)
	return overview.Import{
		RunID: "run", Open: true, ProgressKnown: true,
		Progress: workflows.Progress{Step: workflows.StepImport, StoredRecordCount: 10_000},
		Activity: &overview.Activity{
			Name: "ImportRecords", Attempt: attempt, StartedAt: &started, LastHeartbeat: &heartbeat,
			Heartbeat: activities.Progress{Counts: sink.Counts{Records: records - 1, Rejected: 1}, Bytes: records * 100, OfBytes: 1_000_000},
		},
	}
}

func requireEstimate(t *testing.T, want string, i overview.Import, now time.Time) {
	t.Helper()
	_, text, ok := i.Estimate(now)
	require.True(t, ok)
	require.Equal(t, want, text)
}

func TestEstimateAdvancesBetweenHeartbeats(t *testing.T) {
	i := importing(1, 10, 1000)
	requireEstimate(t, "1,500 records of 10,000 records, 15 %, 100 records/s, 1m25s left", i, after(15))
	amount, _, _ := i.Estimate(after(15))
	require.Equal(t, overview.Amount{Unit: overview.Records, Done: 1500, Of: 10_000}, amount)
	amount, _, _ = i.Estimate(after(3600))
	require.Equal(t, int64(7000), amount.Done, "for a minute, not forever")
	amount, _, _ = i.Estimate(after(5))
	require.Equal(t, int64(1000), amount.Done, "a clock that is behind subtracts nothing")
}

func TestEstimateNeverPassesTheEnd(t *testing.T) {
	requireEstimate(t, "10,000 records of 10,000 records, 100 %, 990 records/s, 0s left", importing(1, 10, 9900), after(20))
}

func TestResumedAttemptHasNoSpeed(t *testing.T) {
	// The attempt did not import 8000 records in 10 seconds.
	requireEstimate(t, "8,000 records of 10,000 records, 80 %", importing(2, 10, 8000), after(15))
}

func TestDownloadIsMeasuredInBytes(t *testing.T) {
	download := importing(1, 10, 1)
	download.Activity.Name = "DownloadScrapingJob"
	download.Activity.Heartbeat = activities.Progress{Bytes: 5000}
	requireEstimate(t, "5.0 kB, 500 B/s", download, after(10)) // the total is unknown
	download.Activity.Heartbeat.OfBytes = 10_000
	requireEstimate(t, "5.0 kB of 10 kB, 50 %, 500 B/s, 10s left", download, after(10))
}

func TestUnmeasuredActivityHasNoEstimate(t *testing.T) {
	waiting := importing(1, 20, 1000)
	waiting.Activity.Heartbeat.Waiting = true
	_, _, ok := waiting.Estimate(after(20))
	require.False(t, ok, "it waits for a slot")
	described := importing(1, 10, 1000)
	described.Activity.Name = "DeleteScrapingJob"
	_, _, ok = described.Estimate(after(10))
	require.False(t, ok)
	_, _, ok = overview.Import{}.Estimate(after(10))
	require.False(t, ok)
	for attempt, known := range map[int32]bool{1: true, 2: false} {
		begun := importing(attempt, 10, 0)
		begun.Activity.Heartbeat = activities.Progress{OfBytes: 1_000_000}
		_, _, ok = begun.Estimate(after(10))
		require.Equal(t, known, ok, "a retry may have resumed anywhere")
	}
}

func TestScrapeIsCountedInPagesUntilItsDownloadStarts(t *testing.T) {
	i := overview.Import{RunID: "run", Open: true, ProgressKnown: true, Progress: workflows.Progress{Step: workflows.StepScrape, Status: "scheduling"}}
	_, ok := i.Amount()
	require.False(t, ok, "the total is unknown")

	i.Progress.JobsExecuted, i.Progress.JobsScheduled, i.Progress.StoredRecordCount = 17, 120, 340
	amount, text, ok := i.Estimate(start)
	require.True(t, ok)
	require.Equal(t, overview.Amount{Unit: overview.Pages, Done: 17, Of: 120}, amount)
	require.Equal(t, "17 pages of 120 pages, 14 %, 340 records so far", text)
	require.Equal(t, "scraping", i.Step())

	heartbeat := after(3)
	i.Activity = &overview.Activity{Name: "DownloadScrapingJob", Attempt: 1, LastHeartbeat: &heartbeat, Heartbeat: activities.Progress{Bytes: 10, OfBytes: 1000}}
	require.Equal(t, "downloading", i.Step())
	_, text, _ = i.Estimate(heartbeat)
	require.Equal(t, "10 B of 1.0 kB, 1 %", text)
}
