package overview_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/workflows"
)

var began = time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)

func after(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }

// importing is an import of 10,000 records in its attempt, with a heartbeat.
func importing(attempt int32, seconds int, records int64) overview.Import {
	start, heartbeat := began, after(seconds)
	return overview.Import{
		RunID: "run", Open: true, ProgressKnown: true,
		Progress: workflows.Progress{Step: workflows.StepImport, StoredRecordCount: 10_000},
		Activity: &overview.Activity{
			Name: "ImportRecords", Attempt: attempt, StartedAt: &start, LastHeartbeat: &heartbeat,
			Heartbeat: activities.Progress{Records: records - 1, Rejected: 1, Bytes: records * 100, OfBytes: 1_000_000},
		},
	}
}

func TestPaceCountsOnBetweenHeartbeats(t *testing.T) {
	var pace overview.Pace
	pace.Look(importing(1, 10, 1000))
	rate, known := pace.PerSecond()
	require.True(t, known)
	require.InDelta(t, 100, rate, 0.001, "since the attempt's beginning")

	amount, ok := pace.Amount(after(15))
	require.True(t, ok)
	require.Equal(t, overview.Amount{Unit: overview.Records, Done: 1500, Of: 10_000}, amount)
	remaining, known := pace.Remaining(after(15))
	require.True(t, known)
	require.Equal(t, 85*time.Second, remaining)

	amount, _ = pace.Amount(after(3600))
	require.Equal(t, int64(7000), amount.Done, "for a minute, not for ever")
	amount, _ = pace.Amount(after(5))
	require.Equal(t, int64(1000), amount.Done, "a clock that is behind takes nothing away")
}

func TestPaceNeverPassesTheEnd(t *testing.T) {
	var pace overview.Pace
	pace.Look(importing(1, 10, 9900))
	amount, _ := pace.Amount(after(20))
	require.Equal(t, int64(10_000), amount.Done)
	remaining, known := pace.Remaining(after(20))
	require.True(t, known)
	require.Zero(t, remaining)
}

func TestPaceIsSmoothed(t *testing.T) {
	var pace overview.Pace
	pace.Look(importing(1, 10, 1000))
	pace.Look(importing(1, 20, 4000)) // at 300 a second
	rate, _ := pace.PerSecond()
	require.Greater(t, rate, 120.0)
	require.Less(t, rate, 200.0)
	for second := 30; second <= 200; second += 10 {
		pace.Look(importing(1, second, int64(4000+(second-20)*30))) // at 30 a second
	}
	rate, _ = pace.PerSecond()
	require.InDelta(t, 30, rate, 3)
}

func TestTheSameHeartbeatChangesNothing(t *testing.T) {
	var pace overview.Pace
	pace.Look(importing(1, 10, 1000))
	want := pace
	pace.Look(importing(1, 10, 1000))
	require.Equal(t, want, pace)
}

func TestResumedAttemptHasASpeedFromItsSecondHeartbeatOn(t *testing.T) {
	var pace overview.Pace
	pace.Look(importing(2, 10, 8000))
	_, known := pace.PerSecond()
	require.False(t, known, "8000 records were not imported in 10 seconds")
	_, known = pace.Remaining(after(10))
	require.False(t, known)
	pace.Look(importing(2, 20, 8500))
	rate, _ := pace.PerSecond()
	require.InDelta(t, 50, rate, 0.001)

	pace.Look(importing(3, 30, 8100)) // another attempt, from the last committed batch
	_, known = pace.PerSecond()
	require.False(t, known)
}

func TestDownloadIsMeasuredInBytes(t *testing.T) {
	download := importing(1, 10, 1)
	download.Activity.Name = "DownloadScrapingJob"
	download.Activity.Heartbeat = activities.Progress{Bytes: 5000}
	var pace overview.Pace
	pace.Look(download)
	amount, ok := pace.Amount(after(10))
	require.True(t, ok)
	require.Equal(t, overview.Amount{Unit: overview.Bytes, Done: 5000}, amount)
	_, known := pace.Remaining(after(10))
	require.False(t, known, "the whole is not known")

	download.Activity.Heartbeat.OfBytes = 10_000
	pace.Look(download)
	remaining, known := pace.Remaining(after(10))
	require.True(t, known)
	require.Equal(t, 10*time.Second, remaining)
}

func TestWhatIsNotMeasuredHasNoPace(t *testing.T) {
	var pace overview.Pace
	pace.Look(importing(1, 10, 1000))
	waiting := importing(1, 20, 1000)
	waiting.Activity.Heartbeat.Waiting = true
	pace.Look(waiting)
	_, ok := pace.Amount(after(20))
	require.False(t, ok, "it waits for a slot")

	pace.Look(importing(1, 10, 1000))
	described := importing(1, 10, 1000)
	described.Activity.Name = "DeleteScrapingJob"
	pace.Look(described)
	_, ok = pace.Amount(after(10))
	require.False(t, ok)
	pace.Look(overview.Import{})
	_, ok = pace.Amount(after(10))
	require.False(t, ok)
}
