package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// continued executes the workflow until its history is long, and returns the world and the
// input of the next run.
func (w *world) continued(t *testing.T, hold string) (next *world, in workflows.ImportScrapingJobInput) {
	t.Helper()
	w.SetContinueAsNewSuggested(false)
	w.execute(hold)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, w.GetWorkflowError(), &again)
	require.Empty(t, w.files, "spool files are left")
	return w.next(t, again)
}

// next returns the world and the input of the next run.
func (w *world) next(t *testing.T, again *workflow.ContinueAsNewError) (next *world, in workflows.ImportScrapingJobInput) {
	t.Helper()
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in))
	next = newWorld(t, w.job.Status)
	next.start, next.job, next.found, next.published, next.imports = w.start, w.job, w.found, w.published, w.imports
	next.onImport = w.onImport
	next.SetStartTime(w.Now())
	return next, in
}

// isLongWith makes the history long in the task that has the signals: Temporal refuses
// continue-as-new while signals are unhandled.
func (w *world) isLongWith(signals ...string) {
	w.RegisterDelayedCallback(func() { w.SetContinueAsNewSuggested(true) }, 0)
	w.together(signals...)
}

func (w *world) resume(t *testing.T, in workflows.ImportScrapingJobInput) (result workflows.ImportScrapingJobResult) {
	t.Helper()
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, in)
	require.NoError(t, w.GetWorkflowError())
	require.NoError(t, w.GetWorkflowResult(&result))
	return result
}

func TestLongImportContinuesAsNewRun(t *testing.T) {
	for name, c := range map[string]struct {
		together []string // after 2 h
		outcome  workflows.Outcome
		deleted  time.Duration // after the start
		imports  int
	}{
		"a notification":            {[]string{workflows.NotificationSignal}, workflows.Deleted, 24 * time.Hour, 1},
		"and a re-import":           {[]string{workflows.NotificationSignal, workflows.ReimportSignal}, workflows.Deleted, 26 * time.Hour, 2},
		"and keep":                  {[]string{workflows.KeepSignal, workflows.NotificationSignal}, workflows.Kept, 0, 1},
		"and abandon":               {[]string{workflows.NotificationSignal, workflows.AbandonSignal}, workflows.Abandoned, 0, 1},
		"and delete-now":            {[]string{workflows.NotificationSignal, workflows.DeleteNowSignal}, workflows.Deleted, 2 * time.Hour, 1},
		"delete-now, and it is all": {[]string{workflows.DeleteNowSignal}, workflows.Deleted, 2 * time.Hour, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.RegisterDelayedCallback(func() {
				w.isLongWith(c.together...)
			}, 2*time.Hour)
			next, in := w.continued(t, "24h")
			result := next.resume(t, in)
			require.Equal(t, c.outcome, result.Outcome, result.Reason)
			require.Equal(t, int64(20), result.Records)
			require.Len(t, next.imports, c.imports)
			require.Equal(t, 1, next.described)
			if c.deleted == 0 {
				require.Empty(t, next.deletions)
				return
			}
			require.Len(t, next.deletions, 1)
			require.InDelta(t, c.deleted.Seconds(), next.deletions[0].Seconds(), 5)
		})
	}
}

func TestContinuedRunAfterTheJobsEndShowsDownloading(t *testing.T) {
	w := newWorld(t, "finished")
	w.RegisterDelayedCallback(func() { w.isLongWith(workflows.NotificationSignal) }, 2*time.Hour)
	w.SetContinueAsNewSuggested(false)
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, workflows.ImportScrapingJobInput{AwaitEnd: true})
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, w.GetWorkflowError(), &again)
	next, in := w.next(t, again)
	waits := []time.Duration{10 * time.Minute}
	next.onCall = func() time.Duration {
		defer func() { waits = []time.Duration{0} }()
		return waits[0]
	}
	next.RegisterDelayedCallback(func() { require.Equal(t, workflows.StepDownload, next.progress(t).Step) }, time.Minute)
	require.Equal(t, workflows.Deleted, next.resume(t, in).Outcome)
}

func TestContinuedRunIndexesItsNextState(t *testing.T) {
	w := newWorld(t, "finished")
	w.settings.SearchAttributes = true
	w.RegisterDelayedCallback(func() { w.isLongWith(workflows.NotificationSignal) }, 2*time.Hour)
	next, in := w.continued(t, "24h")
	var states []string
	next.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		if state, ok := args.Get(0).(temporal.SearchAttributes).GetKeyword(workflows.ImportStateAttribute); ok {
			states = append(states, state)
		}
	}).Return(nil)
	require.Equal(t, workflows.Deleted, next.resume(t, in).Outcome)
	require.Equal(t, []string{"importing", "holding"}, states, "holding, before")
}

func TestContinuedRunAsksTheSameQuestion(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = rejects
	w.RegisterDelayedCallback(func() {
		w.isLongWith(workflows.ReconciliationSignal)
	}, 2*time.Hour)
	next, in := w.continued(t, "24h")
	answered := false
	next.asks(t, func(string) {
		answered = true
		next.SignalWorkflow(workflows.AcceptSignal, nil)
	})
	require.Equal(t, workflows.Deleted, next.resume(t, in).Outcome)
	require.True(t, answered)
	require.Len(t, next.imports, 1)

	w = newWorld(t, "finished")
	w.onImport = rejects
	w.RegisterDelayedCallback(func() {
		w.isLongWith(workflows.NotificationSignal, workflows.AcceptSignal)
	}, 2*time.Hour)
	next, in = w.continued(t, "24h")
	require.Equal(t, workflows.Deleted, next.resume(t, in).Outcome, "it stays accepted")
}

func TestAttentionDeadlineSurvivesContinuedRuns(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = rejects
	w.RegisterDelayedCallback(func() {
		w.isLongWith(workflows.ReconciliationSignal)
	}, 100*time.Hour)
	next, in := w.continued(t, "24h")
	next.ExecuteWorkflow(workflows.ImportScrapingJobName, in)
	require.ErrorContains(t, next.GetWorkflowError(), "rejected")
	require.InDelta(t, (168 * time.Hour).Seconds(), next.Now().Sub(w.start).Seconds(), 5)
}

func TestFailedReimportContinuesAsNewRun(t *testing.T) {
	w := newWorld(t, "finished")
	w.reimportFails()
	w.RegisterDelayedCallback(func() { w.isLongWith(workflows.AcceptSignal) }, 2*time.Hour) // unsolicited
	next, in := w.continued(t, "24h")
	require.Equal(t, workflows.Deleted, next.resume(t, in).Outcome)
	require.Len(t, next.imports, 2)
}

func TestThousandsOfNotificationsCostFewCalls(t *testing.T) {
	for name, onImport := range map[string]func(*activities.ImportRecordsResult) error{"in the hold": nil, "in attention": rejects} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.onImport = onImport
			left := 3000
			var send func()
			send = func() {
				w.SignalWorkflow(workflows.NotificationSignal, nil)
				if left--; left > 0 {
					w.RegisterDelayedCallback(send, 20*time.Millisecond) // a minute in all
				}
			}
			w.RegisterDelayedCallback(send, time.Hour)
			w.signalAfter(2*time.Hour, workflows.AcceptSignal)
			require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
			require.LessOrEqual(t, w.described, 10)
			require.Len(t, w.imports, 1)
		})
	}
}

func TestQuestionDuringNotificationsShowsNoPastDeadline(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = rejects
	for n := range 20 {
		w.signalAfter(time.Hour+time.Duration(n)*10*time.Second, workflows.NotificationSignal)
	}
	w.RegisterDelayedCallback(func() {
		answer, err := w.QueryWorkflow(workflows.ProgressQuery)
		require.NoError(t, err)
		var progress workflows.Progress
		require.NoError(t, answer.Get(&progress))
		require.Equal(t, workflows.StepNeedsAttention, progress.Step)
		require.Nil(t, progress.FailsAfter, "the question is asked again")
		w.SignalWorkflow(workflows.AcceptSignal, nil)
	}, time.Hour+195*time.Second)
	require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
}

func TestDecisionsDoNotWaitForMoreNotifications(t *testing.T) {
	w := newWorld(t, "finished")
	for n := range 20 {
		w.signalAfter(time.Hour+time.Duration(n)*10*time.Second, workflows.NotificationSignal)
	}
	w.signalAfter(time.Hour+201*time.Second, workflows.DeleteNowSignal)
	require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
	require.InDelta(t, (time.Hour + 201*time.Second).Seconds(), w.deletions[0].Seconds(), 1)
}
