package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// together delivers the signals in one workflow task.
func (w *world) together(signals ...string) {
	last := len(signals) - 1
	for _, signal := range signals[:last] {
		w.SignalWorkflowSkippingWorkflowTask(signal, nil)
	}
	w.SignalWorkflow(signals[last], nil)
}

func TestDecisionWithAnotherSignalIsNeverLost(t *testing.T) {
	for _, request := range []string{workflows.NotificationSignal, workflows.ReimportSignal} {
		for decision, outcome := range map[string]workflows.Outcome{
			workflows.KeepSignal: workflows.Kept, workflows.AbandonSignal: workflows.Abandoned,
		} {
			for _, signals := range [][]string{{decision, request}, {request, decision}} {
				imports := 1
				if request == workflows.ReimportSignal {
					imports = 2
				}
				t.Run(signals[0]+" and "+signals[1]+" in the hold", func(t *testing.T) {
					w := newWorld(t, "finished")
					w.RegisterDelayedCallback(func() { w.together(signals...) }, time.Hour)
					require.Equal(t, outcome, w.run(t, "24h").Outcome)
					require.Empty(t, w.deletions)
					require.Equal(t, 2, w.described)
					require.Len(t, w.imports, imports)
				})
				t.Run(signals[0]+" and "+signals[1]+" to a question", func(t *testing.T) {
					w := newWorld(t, "finished")
					w.onImport = rejects
					w.asks(t, func(string) { w.together(signals...) })
					require.Equal(t, outcome, w.run(t, "24h").Outcome)
					require.Empty(t, w.deletions)
					require.Len(t, w.imports, imports)
				})
			}
		}
	}
}

func TestDecisionsToDeleteCountForTheImportThatWasSeen(t *testing.T) {
	t.Run("delete-now and a notification", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.RegisterDelayedCallback(func() { w.together(workflows.DeleteNowSignal, workflows.NotificationSignal) }, time.Hour)
		require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
		require.InDelta(t, time.Hour.Seconds(), w.deletions[0].Seconds(), 5)
	})
	t.Run("delete-now during a notification's check", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.signalAfter(time.Hour, workflows.NotificationSignal)
		w.onDescribe = func() {
			if w.described == 2 {
				w.SignalWorkflow(workflows.DeleteNowSignal, nil)
			}
		}
		require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
		require.InDelta(t, time.Hour.Seconds(), w.deletions[0].Seconds(), 5)
	})
	t.Run("delete-now and reimport", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.RegisterDelayedCallback(func() { w.together(workflows.DeleteNowSignal, workflows.ReimportSignal) }, time.Hour)
		require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
		require.Len(t, w.imports, 2)
		require.InDelta(t, 25*time.Hour.Seconds(), w.deletions[0].Seconds(), 5, "a re-import starts a new hold")
	})
	t.Run("accept and a notification", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.onImport = rejects
		w.asks(t, func(string) { w.together(workflows.AcceptSignal, workflows.NotificationSignal) })
		require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
		require.Len(t, w.imports, 1)
	})
	t.Run("accept and reimport", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.onImport = rejects
		w.asks(t, func(string) {
			w.together(workflows.AcceptSignal, workflows.ReimportSignal)
			w.RegisterDelayedCallback(func() {
				require.Empty(t, w.deletions, "another import asks another question")
				w.SignalWorkflow(workflows.KeepSignal, nil)
			}, time.Hour)
		})
		require.Equal(t, workflows.Kept, w.run(t, "0").Outcome)
		require.Len(t, w.imports, 2)
	})
	t.Run("accept of a withheld import, and keep", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.onImport = func(r *activities.ImportRecordsResult) error {
			if w.accepted() == nil {
				return withholds(r, sink.TooFewRecords, "the job has 20 records")
			}
			return nil
		}
		w.asks(t, func(string) { w.together(workflows.AcceptSignal, workflows.KeepSignal) })
		require.Equal(t, workflows.Kept, w.run(t, "0").Outcome)
		require.NotNil(t, w.published)
		require.Empty(t, w.deletions)
	})
}

func TestClosingAnImportStopsDeletionAttempts(t *testing.T) {
	w := newWorld(t, "finished")
	attempts := 0
	w.onDelete = func(r *activities.DeleteScrapingJobResult) {
		r.Deleted = false
		if attempts++; attempts == 2 {
			w.SignalWorkflow(workflows.KeepSignal, nil)
		}
	}
	w.deleteFails = func() error {
		return temporal.NewApplicationError("the cloud is down", "CloudUnavailable")
	}
	require.Equal(t, workflows.Kept, w.run(t, "0").Outcome)
	require.LessOrEqual(t, attempts, 3)
	require.True(t, w.found)
}

func TestHoldAfterAnAcceptedProblemShowsTheHold(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = rejects
	w.asks(t, func(string) {
		w.SignalWorkflow(workflows.AcceptSignal, nil)
		w.RegisterDelayedCallback(func() {
			answer, err := w.QueryWorkflow(workflows.ProgressQuery)
			require.NoError(t, err)
			var progress workflows.Progress
			require.NoError(t, answer.Get(&progress))
			require.Equal(t, workflows.StepHold, progress.Step)
			require.Empty(t, progress.Attention)
			require.Nil(t, progress.FailsAfter)
			require.NotNil(t, progress.DeleteAfter)
			require.Contains(t, progress.Signals, workflows.DeleteNowSignal)
			require.NotContains(t, progress.Signals, workflows.AcceptSignal)
		}, time.Hour)
	})
	require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
}

func TestReconciliationRetriesAFailedDeletion(t *testing.T) {
	w := newWorld(t, "finished")
	w.settings.Filter = activities.Filter{Tag: "daily"}
	w.deleteFails = func() error {
		if w.Now().Sub(w.start) < time.Hour {
			return temporal.NewNonRetryableApplicationError("Web Scraper Cloud refuses the API token", "RequestRefused", nil)
		}
		return nil
	}
	w.onDescribe = func() { w.outside = "its sitemap has lost the tag" }
	w.signalAfter(2*time.Hour, workflows.ReconciliationSignal)
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
	require.Len(t, w.imports, 1)
	require.Len(t, w.deletions, 1)
}

// reimportFails requests a re-import of a published job, which fails the first time.
func (w *world) reimportFails() {
	w.published = &sink.PublishedImport{ScrapingJob: w.job, ImportID: 7, Counts: sink.Counts{Records: 20}}
	w.onDescribe = func() {
		if w.described == 1 {
			w.SignalWorkflow(workflows.ReimportSignal, nil)
		}
	}
	failed := false
	w.onImport = func(r *activities.ImportRecordsResult) error {
		if failed {
			return nil
		}
		failed = true
		return refused(r)
	}
}

func TestFailedReimportIsRetriedAsAReimport(t *testing.T) {
	for _, signal := range []string{workflows.ReconciliationSignal, workflows.NotificationSignal} {
		t.Run(signal, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.reimportFails()
			w.signalAfter(2*time.Hour, signal)
			require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
			require.Len(t, w.imports, 2)
		})
	}
	t.Run("not after it was closed", func(t *testing.T) {
		w := newWorld(t, "finished")
		w.reimportFails()
		w.RegisterDelayedCallback(func() { w.together(workflows.NotificationSignal, workflows.KeepSignal) }, 2*time.Hour)
		require.Equal(t, workflows.Kept, w.run(t, "24h").Outcome)
		require.Len(t, w.imports, 1)
	})
}
