package workflows_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/workflows"
)

const noCallFor = 10 * time.Minute

// noCallLeft delays API calls by noCallFor: times of them, starting with the given one.
func (w *world) noCallLeft(call, times int) {
	calls := 0
	w.onCall = func() time.Duration {
		if calls++; calls >= call && calls < call+times {
			return noCallFor
		}
		return 0
	}
}

func (w *world) progress(t *testing.T) (progress workflows.Progress) {
	t.Helper()
	answer, err := w.QueryWorkflow(workflows.ProgressQuery)
	require.NoError(t, err)
	require.NoError(t, answer.Get(&progress))
	return progress
}

// notify sends a notification like Web Scraper Cloud's.
func (w *world) notify(after time.Duration) {
	w.RegisterDelayedCallback(func() {
		w.SignalWorkflow(workflows.NotificationSignal, workflows.Notification{ScrapingJobID: jobID, Status: "finished"})
	}, after)
}

func requireAfter(t *testing.T, want, got time.Duration) {
	t.Helper()
	require.InDelta(t, want.Seconds(), got.Seconds(), 1)
}

func TestImportWaitsForAnAPICallAndShowsIt(t *testing.T) {
	for name, c := range map[string]struct {
		call int
		step workflows.Step
	}{"before the download": {1, workflows.StepDownload}, "before the deletion": {2, workflows.StepDelete}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.noCallLeft(c.call, 1)
			timers, shown := 0, false
			w.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })
			w.RegisterDelayedCallback(func() {
				progress := w.progress(t)
				require.Equal(t, c.step, progress.Step)
				require.Equal(t, "the API's rate limit", progress.WaitsFor)
				require.WithinDuration(t, w.start.Add(noCallFor), *progress.WaitsUntil, time.Second)
				require.Contains(t, w.details(t), "**"+string(c.step)+"**: waits for the API's rate limit, until ")
				shown = true
			}, time.Minute)
			require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
			require.True(t, shown)
			require.Equal(t, 1, timers)
			require.Equal(t, 1, w.described)
			require.Len(t, w.imports, 1)
			requireAfter(t, noCallFor, w.deletions[0])
			require.Empty(t, w.progress(t).WaitsFor)
		})
	}
}

func TestManualRequestDoesNotWaitForAnAutomaticCall(t *testing.T) {
	for _, signal := range []string{workflows.ReimportSignal, workflows.NotificationSignal} {
		t.Run(signal, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.noCallLeft(1, 2)
			w.notify(0)
			w.signalAfter(time.Minute, signal)
			require.Equal(t, workflows.Deleted, w.run(t, "0").Outcome)
			require.Len(t, w.downloads, 3)
			require.False(t, w.downloads[0].Manual)
			require.True(t, w.downloads[1].Manual)
			require.True(t, w.downloads[2].Manual, "it has a call reserved, and waits")
			require.Equal(t, signal == workflows.ReimportSignal, w.downloads[2].IfDue.Again)
			require.Len(t, w.imports, 1)
			requireAfter(t, time.Minute+noCallFor, w.deletions[0])
		})
	}
}

func TestDecisionsCountWhileADeletionWaitsForACall(t *testing.T) {
	for signal, c := range map[string]struct {
		outcome workflows.Outcome
		deleted time.Duration // after the start
		imports int
	}{
		workflows.KeepSignal:         {workflows.Kept, 0, 1},
		workflows.AbandonSignal:      {workflows.Abandoned, 0, 1},
		workflows.ReimportSignal:     {workflows.Deleted, time.Minute, 2},
		workflows.DeleteNowSignal:    {workflows.Deleted, time.Minute, 1},
		workflows.AcceptSignal:       {workflows.Deleted, noCallFor, 1},
		workflows.NotificationSignal: {workflows.Deleted, noCallFor, 1},
	} {
		t.Run(signal, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.noCallLeft(2, 1)
			w.notify(0)
			w.RegisterDelayedCallback(func() {
				if offered := w.progress(t).Signals; c.deleted != noCallFor {
					require.Contains(t, offered, signal)
				}
				w.SignalWorkflow(signal, nil)
			}, time.Minute)
			require.Equal(t, c.outcome, w.run(t, "0").Outcome)
			require.Len(t, w.imports, c.imports)
			if c.deleted == 0 {
				require.Empty(t, w.deletions)
				return
			}
			requireAfter(t, c.deleted, w.deletions[0])
			require.Equal(t, signal == workflows.DeleteNowSignal, w.deletes[len(w.deletes)-1].Manual)
		})
	}
}

func TestCancellationEndsTheWaitForACall(t *testing.T) {
	for name, call := range map[string]int{"before the download": 1, "before the deletion": 2} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.noCallLeft(call, 1)
			w.RegisterDelayedCallback(w.CancelWorkflow, time.Minute)
			w.execute("0")
			require.True(t, temporal.IsCanceledError(w.GetWorkflowError()), "%v", w.GetWorkflowError())
			requireAfter(t, time.Minute, w.Now().Sub(w.start))
			require.Empty(t, w.deletions)
			require.Empty(t, w.files)
		})
	}
}

func TestWaitForACallContinuesAsNewRun(t *testing.T) {
	for name, call := range map[string]int{"before the download": 1, "before the deletion": 2} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.noCallLeft(call, 1)
			w.signalAfter(0, workflows.ReimportSignal)
			w.RegisterDelayedCallback(func() { w.isLongWith(workflows.NotificationSignal) }, time.Minute)
			next, in := w.continued(t, "0")
			require.Equal(t, workflows.Deleted, next.resume(t, in).Outcome)
			require.Len(t, next.imports, 1)
			require.Equal(t, call == 1, next.downloads[0].IfDue.Again, "the rest is requested again")
			require.True(t, next.downloads[0].Manual)
		})
	}
}

func TestManualRequestsAreFlagged(t *testing.T) {
	for name, c := range map[string]struct {
		setup            func(*world)
		download, delete bool // the last ones
	}{
		"a notification":  {func(w *world) { w.notify(0) }, false, false},
		"reconciliation":  {func(w *world) { w.signalAfter(0, workflows.ReconciliationSignal) }, false, false},
		"a manual import": {func(w *world) { w.signalAfter(0, workflows.NotificationSignal) }, true, false},
		"a re-import":     {func(w *world) { w.signalAfter(0, workflows.ReimportSignal) }, true, false},
		"delete-now":      {func(w *world) { w.signalAfter(time.Hour, workflows.DeleteNowSignal) }, false, true},
		"delete-now, a notification": {func(w *world) {
			w.RegisterDelayedCallback(func() { w.together(workflows.NotificationSignal, workflows.DeleteNowSignal) }, time.Hour)
		}, true, true},
		"accept": {func(w *world) {
			w.onImport = rejects
			w.signalAfter(time.Hour, workflows.AcceptSignal)
		}, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			c.setup(w)
			require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
			require.Equal(t, c.download, w.downloads[len(w.downloads)-1].Manual)
			require.Equal(t, c.delete, w.deletes[len(w.deletes)-1].Manual)
		})
	}
}

// checksAt records when the job is checked, since the start.
func (w *world) checksAt() *[]time.Duration {
	var checks []time.Duration
	w.onDescribe = func() { checks = append(checks, w.Now().Sub(w.start).Round(time.Second)) }
	return &checks
}

func TestJobReportedAsRunningIsCheckedAgain(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		setup   func(*world)
		checks  []time.Duration
		outcome workflows.Outcome
	}{
		"it stays so": {func(w *world) { w.notify(0) }, []time.Duration{0, 5 * s, 30 * s, 120 * s}, workflows.StillRunning},
		"it has ended after 20 s": {func(w *world) {
			w.notify(0)
			w.RegisterDelayedCallback(func() {
				progress := w.progress(t)
				require.Equal(t, workflows.StepDownload, progress.Step)
				require.Equal(t, "Web Scraper Cloud to report the job's end", progress.WaitsFor)
				require.WithinDuration(t, w.start.Add(30*s), *progress.WaitsUntil, s)
				w.job.Status = "finished"
			}, 20*s)
		}, []time.Duration{0, 5 * s, 30 * s}, workflows.Deleted},
		"another notification": {func(w *world) {
			w.notify(0)
			w.notify(60 * s)
		}, []time.Duration{0, 5 * s, 30 * s, 60 * s, 65 * s, 90 * s, 180 * s}, workflows.StillRunning},
		"a re-import": {func(w *world) {
			w.notify(0)
			w.signalAfter(60*s, workflows.ReimportSignal)
		}, []time.Duration{0, 5 * s, 30 * s, 60 * s, 120 * s}, workflows.StillRunning},
		"manual": {func(w *world) { w.signalAfter(0, workflows.NotificationSignal) }, []time.Duration{0}, workflows.StillRunning},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "started")
			checks := w.checksAt()
			c.setup(w)
			require.Equal(t, c.outcome, w.run(t, "0").Outcome)
			require.Equal(t, c.checks, *checks)
		})
	}
}

func TestCancellationEndsTheWaitForTheEndOfTheJob(t *testing.T) {
	w := newWorld(t, "started")
	w.notify(0)
	w.RegisterDelayedCallback(w.CancelWorkflow, 10*time.Second)
	w.execute("0")
	require.True(t, temporal.IsCanceledError(w.GetWorkflowError()), "%v", w.GetWorkflowError())
	require.Equal(t, 2, w.described)
}

func TestWaitForTheEndOfTheJobContinuesAsNewRun(t *testing.T) {
	w := newWorld(t, "started")
	w.notify(0)
	w.RegisterDelayedCallback(func() {
		w.SetContinueAsNewSuggested(true)
		w.SignalWorkflow(workflows.AcceptSignal, nil) // unsolicited
	}, 10*time.Second)
	next, in := w.continued(t, "0")
	checks := next.checksAt()
	require.Equal(t, workflows.StillRunning, next.resume(t, in).Outcome)
	require.Equal(t, []time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute}, *checks)
}

// As many signals per run as Temporal's server allows before it suggests continue-as-new.
func TestFloodOfNotificationsCostsFewChecks(t *testing.T) {
	const (
		perRun = 1000
		every  = 50 * time.Millisecond
		lasts  = 20 * time.Minute
	)
	for name, c := range map[string]struct {
		status   string
		onImport func(*activities.ImportRecordsResult) error
		outcome  workflows.Outcome
	}{
		"in the hold":                  {"finished", nil, workflows.Kept},
		"in attention":                 {"finished", rejects, workflows.Kept},
		"of a job reported as running": {"started", nil, workflows.StillRunning},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.status)
			w.onImport = c.onImport
			start, checks, timers, last := w.start, []time.Duration{}, 0, time.Duration(0)
			flood := func(w *world) {
				w.onDescribe = func() { checks = append(checks, w.Now().Sub(start)) }
				w.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })
				left := perRun
				var send func()
				send = func() {
					if last = w.Now().Sub(start); last > lasts {
						return
					}
					if left--; left == 0 {
						w.SetContinueAsNewSuggested(true)
					}
					w.SignalWorkflow(workflows.NotificationSignal, workflows.Notification{Status: "finished"})
					w.RegisterDelayedCallback(send, every)
				}
				w.RegisterDelayedCallback(send, 0)
				w.signalAfter(lasts+time.Hour, workflows.KeepSignal)
			}
			flood(w)
			w.execute("24h")
			runs := 1
			for again := new(workflow.ContinueAsNewError); errors.As(w.GetWorkflowError(), &again); runs++ {
				next, in := w.next(t, again)
				flood(next)
				next.ExecuteWorkflow(workflows.ImportScrapingJobName, in)
				w = next
			}
			var result workflows.ImportScrapingJobResult
			require.NoError(t, w.GetWorkflowError())
			require.NoError(t, w.GetWorkflowResult(&result))
			require.Equal(t, c.outcome, result.Outcome)
			require.Greater(t, runs, int(lasts/every)/perRun)

			require.Less(t, checks[1], 5*time.Second, "the first is checked")
			require.Condition(t, func() bool {
				return slices.ContainsFunc(checks, func(at time.Duration) bool { return at >= last && at < last+20*time.Second })
			}, "the last is checked: %v after %v", checks, last)
			for n := range checks[2:] { // after the first
				require.Greater(t, checks[n+2]-checks[n+1], 1900*time.Millisecond, "checks %v", checks)
			}
			require.Less(t, len(checks), int(lasts/time.Minute)+15)
			require.Less(t, timers, 8*len(checks))
		})
	}
}

func TestLastOfSeveralNotificationsIsCheckedSoon(t *testing.T) {
	w := newWorld(t, "finished")
	checks := w.checksAt()
	for n := range 10 {
		w.notify(time.Hour + time.Duration(n)*time.Second)
	}
	w.notify(3 * time.Hour)
	require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
	since := func(s int) time.Duration { return time.Hour + time.Duration(s)*time.Second }
	require.Equal(t, []time.Duration{0, since(0), since(2), since(6), since(14), 3 * time.Hour}, *checks)
}
