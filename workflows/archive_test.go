package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// newGoneJob returns a world with an imported job that only the archive still has.
func newGoneJob(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, "finished")
	job, deletedAt := w.job, w.start.Add(-time.Hour)
	w.archived, w.found, w.job.SitemapName = &job, false, "the archive knows better"
	w.published = &sink.PublishedImport{ImportID: 7, Counts: sink.Counts{Records: 20}, PublishedAt: w.start.Add(-2 * time.Hour), CloudDeletedAt: &deletedAt}
	w.signalAfter(0, workflows.ReimportSignal)
	return w
}

func TestReimportOfADeletedJobUsesTheArchivedFile(t *testing.T) {
	w := newGoneJob(t)
	require.Equal(t, workflows.ImportScrapingJobResult{
		ScrapingJobID: jobID, Account: sink.DefaultAccount, Counts: sink.Counts{Records: 20}, Bytes: 1000, SHA256: "abc", Outcome: workflows.Restored,
		Reason: "imported again from the archive: the job is no longer in Web Scraper Cloud",
	}, w.run(t, "24h"))
	require.Less(t, w.Now().Sub(w.start), time.Hour, "nothing is held")
	require.Len(t, w.imports, 1)
	require.Equal(t, *w.archived, w.imports[0].Job)
	require.Equal(t, w.start.Add(-time.Hour).UTC(), w.imports[0].CloudDeletedAt.UTC())
	require.Empty(t, w.deletions)
}

func TestArchivedFileWithRejectedRecordsNeedsAttention(t *testing.T) {
	w := newGoneJob(t)
	w.onImport = func(result *activities.ImportRecordsResult) error {
		result.Records, result.Rejected = 19, 1
		return nil
	}
	w.signalAfter(time.Hour, workflows.AcceptSignal)
	result := w.run(t, "24h")
	require.Equal(t, workflows.Restored, result.Outcome)
	require.Equal(t, int64(1), result.Rejected)
	require.Empty(t, w.deletions)
}

func TestJobIsImportedAgainWhenItsFileIsNotArchived(t *testing.T) {
	w := newWorld(t, "finished")
	w.onDelete = func(result *activities.DeleteScrapingJobResult) {
		if len(w.imports) == 1 {
			*result = activities.DeleteScrapingJobResult{Unarchived: true, Reason: "the imported file is not in the archive"}
		}
	}
	require.Equal(t, workflows.Deleted, w.run(t, "1h").Outcome)
	require.Len(t, w.imports, 2)
	require.Len(t, w.deletions, 1)
	require.InDelta(t, 2*time.Hour.Seconds(), w.deletions[0].Seconds(), 5)
	require.Nil(t, w.imports[1].CloudDeletedAt)
}

// Workers with different archives must not import again endlessly.
func TestFileThatIsNeverArchivedNeedsAttention(t *testing.T) {
	w := newWorld(t, "finished")
	w.onDelete = func(result *activities.DeleteScrapingJobResult) {
		*result = activities.DeleteScrapingJobResult{Unarchived: true, Reason: "the imported file is not in the archive"}
	}
	attention := ""
	w.RegisterDelayedCallback(func() {
		var progress workflows.Progress
		answer, err := w.QueryWorkflow(workflows.ProgressQuery)
		require.NoError(t, err)
		require.NoError(t, answer.Get(&progress))
		attention = progress.Attention
		w.SignalWorkflow(workflows.KeepSignal, nil)
	}, time.Hour)
	require.Equal(t, workflows.Kept, w.run(t, "0").Outcome)
	require.Contains(t, attention, "the imported file is not in the archive")
	require.Len(t, w.imports, 2)
	require.Empty(t, w.deletions)
}
