package workflows

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// Registered names of the workflow and its activities.
const (
	// ReconcileScrapingJobsName is the registered name of [ReconcileScrapingJobs].
	ReconcileScrapingJobsName = "ReconcileScrapingJobs"
	startImportsName          = "StartImports"
	installationSettingsName  = "ReadInstallationSettings"
)

// Limits of the lists in a result, because Temporal limits payloads.
const (
	maxListedJobs     = 1000
	maxListedRefusals = 10
)

// ReconcileScrapingJobsInput is the input of ReconcileScrapingJobs.
type ReconcileScrapingJobsInput struct {
	// Settings are those of the imports that are started; the filter selects the jobs.
	Settings Settings `json:"settings"`
	// DryRun starts and removes nothing.
	DryRun bool `json:"dry_run,omitempty"`
	// Manual is set when an operator waits for the result: its API calls go first.
	Manual bool `json:"by_hand,omitempty"`
	// Account limits the run to one account. Default: all that the workers have, each in its
	// own run if there are several.
	Account string `json:"account,omitempty"`
	// Page, Result and NotRemoved, why removing leftovers failed, are set by continue-as-new.
	Page       int                         `json:"page,omitempty"`
	Result     ReconcileScrapingJobsResult `json:"result,omitzero"`
	NotRemoved string                      `json:"not_removed,omitempty"`
}

// ReconcileScrapingJobsResult is the result of ReconcileScrapingJobs.
type ReconcileScrapingJobsResult struct {
	// Listed counts the jobs that were checked, Due those that have ended and whose
	// current content is not published.
	Listed int `json:"listed"`
	Due    int `json:"due"`
	// TriedAgain counts the imports in need of attention that were signaled to retry, or
	// would be in a dry run.
	TriedAgain int `json:"tried_again,omitempty"`
	// Jobs are the first 1000 due jobs.
	Jobs []activities.DueScrapingJob `json:"jobs,omitempty"`
	// Refused counts the imports that failed to start or to be signaled, and WhyRefused has
	// the first 10 reasons. The next reconciliation tries again.
	Refused    int      `json:"refused,omitempty"`
	WhyRefused []string `json:"why_refused,omitempty"`
	// FailedAccounts are those whose jobs were not checked. UnderWay are those whose own run,
	// named after the account, is still running: their jobs are not counted.
	FailedAccounts []FailedAccount `json:"failed_accounts,omitempty"`
	UnderWay       []string        `json:"under_way,omitempty"`
	// Removing is set when another workflow is still removing leftovers, which are not
	// counted here.
	Removing bool `json:"removing,omitempty"`
	// RemovedImports and RemovedFiles count leftovers of runs that no longer exist:
	// unpublished imports and spool files.
	RemovedImports int `json:"removed_imports"`
	RemovedFiles   int `json:"removed_files"`
	// RemovedOldImports and RemovedOldRecords count published imports past their retention,
	// and their records.
	RemovedOldImports int   `json:"removed_old_imports,omitempty"`
	RemovedOldRecords int64 `json:"removed_old_records,omitempty"`
	// RemovedArchivedFiles counts archived files past their retention.
	RemovedArchivedFiles int `json:"removed_archived_files,omitempty"`
}

// FailedAccount says in one sentence why an account's jobs were not checked.
type FailedAccount struct {
	Account string `json:"account"`
	Reason  string `json:"reason"`
}

// ReconcileScrapingJobs starts the import of every finished scraping job of the accounts
// whose current content is not published yet, so that a job is imported even if all its
// notifications were missed. In parallel, it removes the leftovers of runs that no longer
// exist.
//
// No account waits for another: if there are several, each has its own run.
func ReconcileScrapingJobs(ctx workflow.Context, in ReconcileScrapingJobsInput) (ReconcileScrapingJobsResult, error) {
	settings, problems := in.Settings.parse()
	if len(problems) > 0 {
		return ReconcileScrapingJobsResult{}, invalidInput(errors.Join(problems...))
	}
	r := reconciliation{in: in, settings: settings, page: max(in.Page, 1), result: in.Result}
	// A slow or failing removal delays no job.
	removed, setRemoved := workflow.NewFuture(ctx)
	switch {
	case in.NotRemoved != "":
		setRemoved.SetError(errors.New(in.NotRemoved))
	case in.Page > 0 || in.DryRun || in.Account != "":
		setRemoved.SetValue(nil)
	default:
		workflow.Go(ctx, func(ctx workflow.Context) { setRemoved.SetError(r.removeLeftovers(ctx)) })
	}
	runs, err := r.startRuns(ctx)
	more := false
	switch {
	case err != nil:
	case len(runs) > 0:
		err = r.awaitRuns(ctx, runs)
	default:
		more, err = r.readList(ctx)
	}
	leftovers := removed.Get(ctx, nil)
	switch {
	case err != nil:
		return r.result, err
	case more:
		if leftovers != nil {
			in.NotRemoved = Sentence(leftovers)
		}
		in.Account, in.Page, in.Result = r.in.Account, r.page, r.result
		return r.result, workflow.NewContinueAsNewError(ctx, ReconcileScrapingJobsName, in)
	}
	return r.result, leftovers
}

type reconciliation struct {
	in       ReconcileScrapingJobsInput
	settings settings
	page     int
	result   ReconcileScrapingJobsResult
}

type accountRun struct {
	account string
	workflow.ChildWorkflowFuture
}

// startRuns starts a run for each account, if there are several. In runs of earlier builds,
// there are no accounts.
func (r *reconciliation) startRuns(ctx workflow.Context) (runs []accountRun, err error) {
	if r.in.Account != "" || workflow.GetVersion(ctx, "accounts", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return nil, nil
	}
	var accounts []string
	if err := workflow.ExecuteActivity(shortStep(ctx, "list the accounts"), a.ListAccounts).Get(ctx, &accounts); err != nil {
		return nil, err
	}
	if len(accounts) == 1 {
		r.in.Account = accounts[0]
		return nil, nil
	}
	for _, account := range accounts {
		in := ReconcileScrapingJobsInput{Settings: r.in.Settings, DryRun: r.in.DryRun, Manual: r.in.Manual, Account: account}
		id, summary := reconciliationID(in)
		options := workflow.ChildWorkflowOptions{
			WorkflowID: id, ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON, StaticSummary: summary, Priority: activities.Turns(account),
		}
		runs = append(runs, accountRun{account, workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), ReconcileScrapingJobsName, in)})
	}
	return runs, nil
}

// awaitRuns adds up the results of the accounts' runs. It does not wait for one that waits
// for its window of API calls: that would delay the other accounts' next runs.
func (r *reconciliation) awaitRuns(ctx workflow.Context, runs []accountRun) error {
	_, err := workflow.AwaitWithTimeout(ctx, r.waitsWithin(), func() bool {
		return !slices.ContainsFunc(runs, func(run accountRun) bool { return !run.IsReady() })
	})
	if err != nil {
		return err
	}
	for _, run := range runs {
		if !run.IsReady() {
			r.result.UnderWay = append(r.result.UnderWay, run.account)
			continue
		}
		var result ReconcileScrapingJobsResult
		err := run.Get(ctx, &result)
		switch {
		case temporal.IsWorkflowExecutionAlreadyStartedError(err):
			r.result.UnderWay = append(r.result.UnderWay, run.account)
		case err != nil:
			r.failed(ctx, run.account, err)
		}
		r.add(result)
	}
	return nil
}

func (r *reconciliation) failed(ctx workflow.Context, account string, err error) {
	workflow.GetLogger(ctx).Warn("Reconciling an account failed", "account", account, "error", err)
	r.result.FailedAccounts = append(r.result.FailedAccounts, FailedAccount{account, Sentence(err)})
}

func (r *reconciliation) readList(ctx workflow.Context) (more bool, err error) {
	if more, err = r.startDueImports(ctx); err != nil && ctx.Err() == nil {
		workflow.GetMetricsHandler(ctx).WithTags(activities.AccountTags(r.in.Account)).Counter(failedListsMetric).Inc(1)
	}
	if err == nil && !more {
		err = r.tryAgain(ctx)
	}
	return more, err
}

// startDueImports reads an account's jobs page by page; more is set when a new run must
// continue. A job that moves to an earlier page, because another one is deleted meanwhile,
// is left to the next reconciliation.
func (r *reconciliation) startDueImports(ctx workflow.Context) (more bool, err error) {
	for last := false; !last; {
		if isLong(ctx) {
			return true, nil
		}
		r.show(ctx, "")
		var page activities.FindDueScrapingJobsResult
		err := workflow.ExecuteActivity(r.settings.cloudCall(ctx, fmt.Sprintf("list scraping jobs, page %d", r.page)), a.FindDueScrapingJobs,
			activities.FindDueScrapingJobsInput{Account: r.in.Account, Page: r.page, Filter: r.in.Settings.Filter, Manual: r.in.Manual}).Get(ctx, &page)
		switch {
		case err != nil:
		case page.Wait > 0:
			what := "waiting for the API's rate limit until " + workflow.Now(ctx).Add(page.Wait).UTC().Format("2006-01-02 15:04:05 UTC")
			r.show(ctx, "; "+what)
			err = workflow.NewTimerWithOptions(ctx, page.Wait, workflow.TimerOptions{Summary: what}).Get(ctx, nil)
		default:
			last = page.Last
			r.page++
			err = r.startImports(ctx, page)
		}
		if err != nil {
			return false, err
		}
	}
	workflow.SetCurrentDetails(ctx, r.counts())
	return false, nil
}

func (r *reconciliation) show(ctx workflow.Context, note string) {
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("page %d; %s%s", r.page, r.counts(), note))
}

func (r *reconciliation) counts() string {
	return fmt.Sprintf("%d jobs listed, %d due", r.result.Listed, r.result.Due)
}

func (r *reconciliation) startImports(ctx workflow.Context, page activities.FindDueScrapingJobsResult) error {
	r.add(ReconcileScrapingJobsResult{Listed: page.Listed, Due: len(page.Due), Jobs: page.Due})
	if r.in.DryRun || len(page.Due) == 0 {
		return nil
	}
	start := startImportsInput{TaskQueue: workflow.GetInfo(ctx).TaskQueueName, Settings: r.in.Settings}
	for _, due := range page.Due {
		start.Jobs = append(start.Jobs, due.Job)
	}
	summary := fmt.Sprintf("start %d imports", len(start.Jobs))
	var started startImportsResult
	if err := workflow.ExecuteActivity(longStep(ctx, summary), startImportsName, start).Get(ctx, &started); err != nil {
		return err
	}
	r.refused(ctx, started.Refused)
	return nil
}

func (r *reconciliation) refused(ctx workflow.Context, reasons []string) {
	for _, reason := range reasons {
		workflow.GetLogger(ctx).Warn("Starting or signaling an import failed; the next reconciliation tries again", "reason", reason)
	}
	r.add(ReconcileScrapingJobsResult{Refused: len(reasons), WhyRefused: reasons})
}

func (r *reconciliation) add(more ReconcileScrapingJobsResult) {
	all := &r.result
	all.Listed += more.Listed
	all.Due += more.Due
	all.Jobs = append(all.Jobs, more.Jobs[:min(len(more.Jobs), maxListedJobs-len(all.Jobs))]...)
	all.TriedAgain += more.TriedAgain
	all.Refused += more.Refused
	all.WhyRefused = append(all.WhyRefused, more.WhyRefused[:min(len(more.WhyRefused), maxListedRefusals-len(all.WhyRefused))]...)
}

// stepAttempts is the number of attempts at a step of reconciliation, about five minutes.
const stepAttempts = 10

// shortStep returns options for steps of up to a minute that need neither the API nor a
// file.
func shortStep(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		Summary:             summary,
		RetryPolicy:         attempts(stepAttempts),
	})
}

// longStep returns options for a heartbeating step that may remove millions of records or
// signal thousands of workflows.
func longStep(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithHeartbeatTimeout(workflow.WithStartToCloseTimeout(shortStep(ctx, summary), 12*time.Hour), time.Minute)
}

type startImportsInput struct {
	TaskQueue string             `json:"task_queue"`
	Settings  Settings           `json:"settings"`
	Jobs      []sink.ScrapingJob `json:"jobs"`
}

// startImportsResult has the reasons of the imports that were not started: the next
// reconciliation finds their jobs due again.
type startImportsResult struct {
	Refused []string `json:"refused,omitempty"`
}

// startImports is an activity that signals the workflow of each job, starting it if
// needed, that reconciliation has found the job due. A repeated signal imports nothing
// twice.
func startImports(ctx context.Context, in startImportsInput) (startImportsResult, error) {
	return startEach(ctx, activity.GetClient(ctx), in)
}

// startEach starts each job whatever happens to the others. A job that fails in the last
// attempt counts as refused.
func startEach(ctx context.Context, c client.Client, in startImportsInput) (startImportsResult, error) {
	jobs := map[int64]sink.ScrapingJob{}
	for _, job := range in.Jobs {
		jobs[job.ScrapingJobID] = job
	}
	progress := resumeSignaling(ctx)
	failures, err := progress.each(ctx, slices.Collect(maps.Keys(jobs)), func(ctx context.Context, id int64) (bool, error) {
		job := jobs[id]
		_, err := signalWithStart(ctx, c, in.TaskQueue, reconciliationSignal, job,
			Notification{ScrapingJobID: id, Account: job.Account, Status: job.Status, SitemapName: job.SitemapName, CustomID: job.CustomID},
			job.SitemapName+" · "+job.Status, in.Settings)
		if isRefusal(err) {
			progress.Refused = append(progress.Refused, err.Error())
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return startImportsResult{}, err
	}
	refused, err := progress.refusals(ctx, failures)
	return startImportsResult{Refused: refused}, err
}

// isRefusal reports whether Temporal refuses to signal this one workflow, for instance
// after too many signals.
func isRefusal(err error) bool {
	_, invalid := errors.AsType[*serviceerror.InvalidArgument](err)
	_, precondition := errors.AsType[*serviceerror.FailedPrecondition](err)
	return invalid || precondition || errors.Is(err, ErrOtherWorkflow)
}

// RegisterActivities registers the activities that call only Temporal. All others belong
// to [activities.Activities].
func RegisterActivities(registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}) {
	registry.RegisterActivityWithOptions(startImports, activity.RegisterOptions{Name: startImportsName})
	registry.RegisterActivityWithOptions(installationSettings, activity.RegisterOptions{Name: installationSettingsName})
	registry.RegisterActivityWithOptions(tryAgain, activity.RegisterOptions{Name: tryAgainName})
	registry.RegisterActivityWithOptions(countTryAgain, activity.RegisterOptions{Name: countTryAgainName})
}
