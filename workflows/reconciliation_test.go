package workflows_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// reconcileEvery makes reconciliation signal the job repeatedly.
func (w *world) reconcileEvery(every time.Duration, times int) {
	for i := range times {
		w.RegisterDelayedCallback(func() { w.SignalWorkflow(workflows.ReconciliationSignal, w.job) }, time.Duration(i+1)*every)
	}
}

func TestReconciliationRetriesWhatARetryCanFix(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = func(r *activities.ImportRecordsResult) error {
		if len(w.imports) < 3 {
			return refused(r)
		}
		return nil
	}
	w.reconcileEvery(15*time.Minute, 4)
	require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
	require.Len(t, w.imports, 3)
	require.InDelta(t, (24*time.Hour + 30*time.Minute).Seconds(), w.deletions[0].Seconds(), 60)
}

func TestReconciliationDoesNotAnswerForAnOperator(t *testing.T) {
	tableRefuses := func(*activities.ImportRecordsResult) error {
		return temporal.NewNonRetryableApplicationError("duplicate key", activities.ErrorMappedTable, nil)
	}
	for name, trouble := range map[string]func(*activities.ImportRecordsResult) error{
		"rejects": rejects, "short download": withheld, "a mapped table refuses": tableRefuses,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.onImport = trouble
			w.reconcileEvery(15*time.Minute, 10)
			w.execute("0")
			require.Error(t, w.GetWorkflowError())
			require.Equal(t, 1, w.described)
			require.Empty(t, w.deletions)
		})
	}
}

func TestAttentionDeadlineHoldsThoughReconciliationRetries(t *testing.T) {
	w := newWorld(t, "finished")
	w.onImport = refused
	w.reconcileEvery(24*time.Hour, 20)
	w.execute("0")
	require.ErrorContains(t, w.GetWorkflowError(), "no table")
	require.InDelta(t, (7 * 24 * time.Hour).Seconds(), w.Now().Sub(w.start).Seconds(), 60)
	require.Len(t, w.imports, 7)
}

func TestReconciliationIgnoresImportsOfTheSameContent(t *testing.T) {
	w := newWorld(t, "finished")
	w.onDownload = func() error {
		w.SignalWorkflow(workflows.ReconciliationSignal, w.job)
		return nil
	}
	w.reconcileEvery(15*time.Minute, 10)
	require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
	require.Equal(t, 1, w.described)
}

func TestReconciliationBringsNewContentIntoTheHold(t *testing.T) {
	w := newWorld(t, "finished")
	w.RegisterDelayedCallback(func() { w.job.StoredRecordCount = 30 }, 10*time.Minute)
	w.reconcileEvery(15*time.Minute, 10)
	require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
	require.Len(t, w.imports, 2)
	require.Equal(t, 2, w.described)
	require.InDelta(t, (24*time.Hour + 15*time.Minute).Seconds(), w.deletions[0].Seconds(), 60)
}

func TestReconciliationSignalWithoutInputIgnoresHolds(t *testing.T) {
	w := newWorld(t, "finished")
	w.signalAfter(time.Hour, workflows.ReconciliationSignal)
	require.Equal(t, workflows.Deleted, w.run(t, "24h").Outcome)
	require.Equal(t, 1, w.described)
}

func TestJobClosedBeforeItWasPublishedIsAbandoned(t *testing.T) {
	for _, test := range []struct {
		name, signal string
		trouble      func(*activities.ImportRecordsResult) error
		abandoned    bool
	}{
		{"abandoned unpublished", workflows.AbandonSignal, withheld, true},
		{"kept unpublished", workflows.KeepSignal, refused, true},
		{"abandoned published", workflows.AbandonSignal, rejects, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, "finished")
			w.onImport = test.trouble
			w.asks(t, func(string) { w.SignalWorkflow(test.signal, nil) })
			job := w.job
			w.run(t, "0")
			if test.abandoned {
				require.Equal(t, []sink.ScrapingJob{job}, w.abandons)
			} else {
				require.Empty(t, w.abandons)
			}
		})
	}
}

func TestFilterAppliesUnlessAReimportIsRequested(t *testing.T) {
	input := workflows.ImportScrapingJobInput{
		Settings: workflows.Settings{HoldBeforeDelete: "never", Filter: activities.Filter{Tag: "prices"}},
	}
	w := newWorld(t, "finished")
	w.outside = "the sitemap does not have the tag"
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, input)
	var result workflows.ImportScrapingJobResult
	require.NoError(t, w.GetWorkflowResult(&result))
	require.Equal(t, workflows.Filtered, result.Outcome)
	require.Equal(t, w.outside, result.Reason)
	require.Empty(t, w.imports)

	w = newWorld(t, "finished")
	w.outside = "the sitemap does not have the tag"
	w.signalAfter(0, workflows.ReimportSignal)
	w.ExecuteWorkflow(workflows.ImportScrapingJobName, input)
	require.NoError(t, w.GetWorkflowResult(&result))
	require.Equal(t, workflows.Kept, result.Outcome)
	require.Len(t, w.imports, 1)
}

// account fakes a cloud with pages of jobs as reconciliation's activities show it.
type account struct {
	*testsuite.TestWorkflowEnvironment
	pages   [][]activities.DueScrapingJob
	started [][]int64
	refused []string // for each page
	waits   []time.Duration
	lists   []activities.FindDueScrapingJobsInput
	// accounts are those of the workers; fails returns why the list of one cannot be read.
	accounts []string
	fails    func(account string) error
	waitsOf  map[string][]time.Duration
	onList   func(activities.FindDueScrapingJobsInput)
	removals int
	// neverDeleted is the input of the last removal.
	neverDeleted bool
	triedAgain   []string
	// temporal, if set, receives the signals of StartImports and TryAgain.
	temporal *signals

	onStart    func()
	listSpools func() (activities.ListSpoolsResult, error)
	sweep      func() (activities.Removed, error)
	remove     func() (activities.Removed, error)
	failed     map[string]int64 // failed lists, by account
}

// failedLists is a MetricsHandler that counts failed lists by account.
type failedLists struct {
	client.MetricsHandler
	account string
	counts  map[string]int64
}

func (f failedLists) WithTags(tags map[string]string) client.MetricsHandler {
	f.account = cmp.Or(tags["account"], f.account)
	return f
}

func (f failedLists) Counter(name string) client.MetricsCounter {
	if name != "scrapehaul_failed_lists" {
		return client.MetricsNopHandler.Counter(name)
	}
	return counter(func(n int64) { f.counts[f.account] += n })
}

type counter func(int64)

func (c counter) Inc(n int64) { c(n) }

func newAccount(pages ...[]activities.DueScrapingJob) *account {
	var suite testsuite.WorkflowTestSuite
	failed := map[string]int64{}
	suite.SetMetricsHandler(failedLists{client.MetricsNopHandler, "", failed})
	a := &account{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), pages: pages, accounts: []string{sink.DefaultAccount}, failed: failed}
	a.listSpools = func() (activities.ListSpoolsResult, error) {
		return activities.ListSpoolsResult{TaskQueues: []string{"queue@one", "queue@two"}}, nil
	}
	a.sweep = func() (activities.Removed, error) { return activities.Removed{Files: 2}, nil }
	a.remove = func() (activities.Removed, error) { return activities.Removed{Imports: 1}, nil }
	a.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: workflows.ReconcileScheduleID, TaskQueue: "queue"})
	a.RegisterWorkflowWithOptions(workflows.ReconcileScrapingJobs, workflow.RegisterOptions{Name: workflows.ReconcileScrapingJobsName})
	a.RegisterWorkflowWithOptions(workflows.RemoveLeftovers, workflow.RegisterOptions{Name: workflows.RemoveLeftoversName})
	for name, step := range map[string]any{
		"FindDueScrapingJobs": func(_ context.Context, in activities.FindDueScrapingJobsInput) (activities.FindDueScrapingJobsResult, error) {
			a.lists = append(a.lists, in)
			if a.onList != nil {
				a.onList(in)
			}
			if waits := a.waitsOf[in.Account]; len(waits) > 0 {
				a.waitsOf[in.Account] = waits[1:]
				return activities.FindDueScrapingJobsResult{Wait: waits[0]}, nil
			}
			if a.fails != nil {
				if err := a.fails(in.Account); err != nil {
					return activities.FindDueScrapingJobsResult{}, err
				}
			}
			if len(a.waits) > 0 {
				wait := a.waits[0]
				a.waits = a.waits[1:]
				return activities.FindDueScrapingJobsResult{Wait: wait}, nil
			}
			return activities.FindDueScrapingJobsResult{Listed: 100, Due: a.pages[in.Page-1], Last: in.Page == len(a.pages)}, nil
		},
		workflows.StartImportsName: func(ctx context.Context, in workflows.StartImportsInput) (workflows.StartImportsResult, error) {
			if a.temporal != nil {
				return workflows.StartEach(ctx, a.temporal, in)
			}
			var ids []int64
			for _, job := range in.Jobs {
				ids = append(ids, job.ScrapingJobID)
			}
			a.started = append(a.started, ids)
			if a.onStart != nil {
				a.onStart()
			}
			return workflows.StartImportsResult{Refused: a.refused}, nil
		},
		"ListSpools": func(context.Context) (activities.ListSpoolsResult, error) {
			return a.listSpools()
		},
		"SweepSpool": func(context.Context) (activities.Removed, error) { return a.sweep() },
		"RemoveUnfinishedImports": func(_ context.Context, in activities.RemoveUnfinishedImportsInput) (activities.Removed, error) {
			a.removals++
			a.neverDeleted = in.NeverDeleted
			return a.remove()
		},
		"ListAccounts": func(context.Context) ([]string, error) { return a.accounts, nil },
		workflows.TryAgainName: func(ctx context.Context, in workflows.TryAgainInput) (workflows.TryAgainResult, error) {
			a.triedAgain = append(a.triedAgain, in.Account)
			if a.temporal != nil {
				return workflows.TryEachAgain(ctx, a.temporal, in)
			}
			return workflows.TryAgainResult{Imports: 5}, nil
		},
		workflows.CountTryAgainName: func(ctx context.Context, in workflows.TryAgainInput) (workflows.TryAgainResult, error) {
			if a.temporal != nil {
				return workflows.CountEachTryAgain(ctx, a.temporal, in)
			}
			return workflows.TryAgainResult{Imports: 6}, nil
		},
	} {
		a.RegisterActivityWithOptions(step, activity.RegisterOptions{Name: name})
	}
	a.SetTestTimeout(time.Minute)
	return a
}

func due(ids ...int64) (jobs []activities.DueScrapingJob) {
	for _, id := range ids {
		jobs = append(jobs, activities.DueScrapingJob{Job: sink.ScrapingJob{ScrapingJobID: id}})
	}
	return jobs
}

func (a *account) reconcile(t *testing.T, in workflows.ReconcileScrapingJobsInput) (result workflows.ReconcileScrapingJobsResult) {
	t.Helper()
	a.ExecuteWorkflow(workflows.ReconcileScrapingJobsName, in)
	require.NoError(t, a.GetWorkflowError())
	require.NoError(t, a.GetWorkflowResult(&result))
	return result
}

func TestReconciliationStartsDueJobsOfEveryPage(t *testing.T) {
	a := newAccount(due(1, 2), nil, due(3))
	require.Equal(t, workflows.ReconcileScrapingJobsResult{
		Listed: 300, Due: 3, TriedAgain: 5, Jobs: due(1, 2, 3), RemovedImports: 1, RemovedFiles: 4,
	}, a.reconcile(t, workflows.ReconcileScrapingJobsInput{}))
	require.Equal(t, [][]int64{{1, 2}, {3}}, a.started)
}

func TestReconciliationCountsOldImportsAndPassesOnWhetherJobsAreDeleted(t *testing.T) {
	a := newAccount(nil)
	a.remove = func() (activities.Removed, error) { return activities.Removed{OldImports: 2, OldRecords: 40}, nil }
	result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{Settings: workflows.Settings{HoldBeforeDelete: "never"}})
	require.Equal(t, 2, result.RemovedOldImports)
	require.Equal(t, int64(40), result.RemovedOldRecords)
	require.True(t, a.neverDeleted)

	a = newAccount(nil)
	a.reconcile(t, workflows.ReconcileScrapingJobsInput{})
	require.False(t, a.neverDeleted)
}

func TestDryRunStartsAndRetriesNothing(t *testing.T) {
	a := newAccount(due(1))
	a.temporal = &signals{open: map[string]string{"7": activities.ErrorOther, "8": "", "10": activities.ErrorMappedTable}}
	require.Equal(t, workflows.ReconcileScrapingJobsResult{Listed: 100, Due: 1, Jobs: due(1), TriedAgain: 1},
		a.reconcile(t, workflows.ReconcileScrapingJobsInput{DryRun: true}))
	require.Empty(t, a.temporal.sent)
}

func TestResultListsAtMostAThousandJobs(t *testing.T) {
	var pages [][]activities.DueScrapingJob
	for page := range int64(11) {
		var ids []int64
		for i := range int64(100) {
			ids = append(ids, page*100+i+1)
		}
		pages = append(pages, due(ids...))
	}
	a := newAccount(pages...)
	result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{})
	require.Equal(t, 1100, result.Due)
	require.Len(t, result.Jobs, 1000)
	require.Len(t, a.started, 11)
}

func TestReconciliationWaitsWhileTheAccountHasNoCallLeft(t *testing.T) {
	a := newAccount(due(1), due(2))
	started := a.Now()
	a.waits = []time.Duration{7 * time.Minute, 20 * time.Second}
	var timers, shown []string
	a.SetOnTimerScheduledListener(func(_ string, wait time.Duration) {
		timers = append(timers, wait.String())
		a.RegisterDelayedCallback(func() {
			details, err := a.QueryWorkflow("__temporal_workflow_metadata")
			require.NoError(t, err)
			var metadata sdkpb.WorkflowMetadata
			require.NoError(t, details.Get(&metadata))
			shown = append(shown, metadata.GetCurrentDetails())
		}, time.Second)
	})
	result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{Manual: true, DryRun: true})
	require.Equal(t, workflows.ReconcileScrapingJobsResult{Listed: 200, Due: 2, TriedAgain: 6, Jobs: due(1, 2)}, result)
	require.Equal(t, []activities.FindDueScrapingJobsInput{
		{Account: "default", Page: 1, Manual: true}, {Account: "default", Page: 1, Manual: true},
		{Account: "default", Page: 1, Manual: true}, {Account: "default", Page: 2, Manual: true},
	}, a.lists)
	require.Equal(t, []string{"7m0s", "20s"}, timers)
	require.WithinRange(t, a.Now(), started.Add(440*time.Second), started.Add(450*time.Second))
	require.Equal(t, "page 1; 0 jobs listed, 0 due; waiting for the API's rate limit until "+
		started.Add(7*time.Minute).UTC().Format("2006-01-02 15:04:05 UTC"), shown[0])
}

func TestLongReconciliationContinuesAsNewRun(t *testing.T) {
	a := newAccount(due(1), due(2))
	a.SetContinueAsNewSuggested(true)
	a.ExecuteWorkflow(workflows.ReconcileScrapingJobsName, workflows.ReconcileScrapingJobsInput{})
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, a.GetWorkflowError(), &again)

	a = newAccount(due(1), due(2))
	result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{
		Page: 2, Result: workflows.ReconcileScrapingJobsResult{Listed: 100, Due: 1, Jobs: due(1), RemovedFiles: 4},
	})
	require.Equal(t, workflows.ReconcileScrapingJobsResult{Listed: 200, Due: 2, TriedAgain: 5, Jobs: due(1, 2), RemovedFiles: 4}, result)
	require.Equal(t, [][]int64{{2}}, a.started)
}

func TestFailedRemovalIsReportedByTheContinuedRun(t *testing.T) {
	a := newAccount(due(1), due(2))
	a.listSpools = func() (activities.ListSpoolsResult, error) {
		return activities.ListSpoolsResult{}, errors.New("the database is down")
	}
	a.onStart = func() { a.SetContinueAsNewSuggested(true) }
	in := workflows.ReconcileScrapingJobsInput{}
	for _, run := range [][][]int64{{{1}}, nil} { // the second one continues immediately
		a.ExecuteWorkflow(workflows.ReconcileScrapingJobsName, in)
		var again *workflow.ContinueAsNewError
		require.ErrorAs(t, a.GetWorkflowError(), &again)
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in))
		require.Equal(t, run, a.started)
		a = newAccount(due(1), due(2))
		a.SetContinueAsNewSuggested(true)
	}
	a.SetContinueAsNewSuggested(false)
	a.ExecuteWorkflow(workflows.ReconcileScrapingJobsName, in)
	require.ErrorContains(t, a.GetWorkflowError(), "the database is down")
	require.Equal(t, [][]int64{{2}}, a.started)
}

func TestFailingRemovalDelaysNoImport(t *testing.T) {
	t.Run("a spool without a worker", func(t *testing.T) {
		a := newAccount(due(1))
		a.sweep = func() (activities.Removed, error) {
			return activities.Removed{}, temporal.NewNonRetryableApplicationError("gone", "Gone", nil)
		}
		require.Zero(t, a.reconcile(t, workflows.ReconcileScrapingJobsInput{}).RemovedFiles)
		require.Len(t, a.started, 1)
	})
	t.Run("a slow removal", func(t *testing.T) {
		a := newAccount(due(1))
		imported := make(chan struct{})
		a.onStart = func() { close(imported) }
		a.sweep = func() (activities.Removed, error) {
			<-imported
			return activities.Removed{Files: 1}, nil
		}
		require.Equal(t, 2, a.reconcile(t, workflows.ReconcileScrapingJobsInput{}).RemovedFiles)
	})
	t.Run("no list of spools", func(t *testing.T) {
		a := newAccount(due(1))
		a.listSpools = func() (activities.ListSpoolsResult, error) {
			return activities.ListSpoolsResult{}, errors.New("the database is down")
		}
		a.ExecuteWorkflow(workflows.ReconcileScrapingJobsName, workflows.ReconcileScrapingJobsInput{})
		require.ErrorContains(t, a.GetWorkflowError(), "the database is down")
		require.Len(t, a.started, 1)
	})
}

func TestLongRemovalOutlivesTheReconciliation(t *testing.T) {
	for name, test := range map[string]struct {
		manual   bool
		within   time.Duration
		reported bool
	}{
		"in time":         {false, 9 * time.Minute, true},
		"later":           {false, 3 * time.Hour, false},
		"manual":          {true, 9 * time.Minute, false},
		"manual, in time": {true, 50 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(due(1))
			a.remove = func() (activities.Removed, error) {
				a.remove = func() (activities.Removed, error) { return activities.Removed{Imports: 7}, nil }
				return activities.Removed{}, temporal.NewApplicationErrorWithOptions("not done", "Later",
					temporal.ApplicationErrorOptions{NextRetryDelay: test.within})
			}
			result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{Manual: test.manual})
			require.Len(t, a.started, 1)
			require.Equal(t, !test.reported, result.Removing)
			require.Equal(t, test.reported, result.RemovedImports == 7)
		})
	}
}

func TestRefusedStartsAreReported(t *testing.T) {
	a := newAccount(due(1), due(2), due(3), due(4))
	a.refused = []string{"one", "two", "three"}
	result := a.reconcile(t, workflows.ReconcileScrapingJobsInput{})
	require.Equal(t, 12, result.Refused)
	require.Len(t, result.WhyRefused, 10)
	require.Len(t, a.started, 4)
}

func TestWrongSettingsOfAReconciliationAreRefused(t *testing.T) {
	a := newAccount(nil)
	a.ExecuteWorkflow(workflows.ReconcileScrapingJobsName, workflows.ReconcileScrapingJobsInput{
		Settings: workflows.Settings{HoldBeforeDelete: "soon", Filter: activities.Filter{Statuses: []string{"done"}}},
	})
	err := fmt.Sprint(a.GetWorkflowError())
	require.Contains(t, err, `hold_before_delete is "soon"`)
	require.Contains(t, err, `"done" is none of finished, stopped, failed and shelved`)
}
