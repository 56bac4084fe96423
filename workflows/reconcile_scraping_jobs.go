package workflows

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// Names under which reconciliation is known to Temporal.
const (
	// ReconcileScrapingJobsName is the workflow's registered name.
	ReconcileScrapingJobsName = "ReconcileScrapingJobs"
	startImportsName          = "StartImports"
	installationSettingsName  = "ReadInstallationSettings"
)

// maxListedJobs bounds the jobs that the result of a reconciliation lists, for
// Temporal's limit on payloads.
const maxListedJobs = 1000

// maxListedRefusals bounds the reasons that it lists.
const maxListedRefusals = 10

// ReconcileScrapingJobsInput is the input of ReconcileScrapingJobs.
type ReconcileScrapingJobsInput struct {
	// Settings shape the imports that are started; their filter says of which
	// jobs.
	Settings Settings `json:"settings"`
	// DryRun only looks: nothing is started, nothing removed.
	DryRun bool `json:"dry_run,omitempty"`
	// ByHand is set when a person waits for the result: calls of the API go first.
	ByHand bool `json:"by_hand,omitempty"`
	// Accounts are those to look at. Default: all that the workers have.
	Accounts []string `json:"accounts,omitempty"`
	// Lists and Result are set when a run goes on where the one before ended, because
	// of the length of its history; Page in place of Lists if that was one of an earlier
	// build.
	Lists  []AccountList               `json:"lists,omitempty"`
	Page   int                         `json:"page,omitempty"`
	Result ReconcileScrapingJobsResult `json:"result,omitzero"`
}

// ReconcileScrapingJobsResult is the result of ReconcileScrapingJobs.
type ReconcileScrapingJobsResult struct {
	// Listed counts the jobs of the accounts that were looked at, Due those that
	// have ended and are not published as they are.
	Listed int `json:"listed"`
	Due    int `json:"due"`
	// TriedAgain counts the imports that needed attention and were asked to try again.
	TriedAgain int `json:"tried_again,omitempty"`
	// Jobs are the due ones, the first 1000 of them.
	Jobs []activities.DueScrapingJob `json:"jobs,omitempty"`
	// Refused counts the imports of due jobs that Temporal has refused to start, and
	// WhyRefused says why of the first 10. The next reconciliation tries again.
	Refused    int      `json:"refused,omitempty"`
	WhyRefused []string `json:"why_refused,omitempty"`
	// FailedAccounts are those whose jobs could not be looked at; the others' were.
	FailedAccounts []FailedAccount `json:"failed_accounts,omitempty"`
	// Removing is set when leftovers are still being removed, by a workflow of its
	// own: they are not counted here.
	Removing bool `json:"removing,omitempty"`
	// RemovedImports and RemovedFiles count what runs that no longer exist had
	// left: unpublished imports and spool files.
	RemovedImports int `json:"removed_imports"`
	RemovedFiles   int `json:"removed_files"`
	// RemovedArchivedFiles counts the archived files whose retention was over.
	RemovedArchivedFiles int `json:"removed_archived_files,omitempty"`
}

// FailedAccount says in one sentence why an account's jobs could not be looked at.
type FailedAccount struct {
	Account string `json:"account"`
	Reason  string `json:"reason"`
}

// ReconcileScrapingJobs starts the import of every scraping job of the accounts
// that has ended and is not published with its present content, so that a job
// whose notifications were all lost is imported all the same. Beside that it
// removes what runs that no longer exist have left.
//
// No account waits for another. It fails if no account's list can be read.
func ReconcileScrapingJobs(ctx workflow.Context, in ReconcileScrapingJobsInput) (ReconcileScrapingJobsResult, error) {
	settings, problems := in.Settings.parse()
	if len(problems) > 0 {
		return ReconcileScrapingJobsResult{}, invalidInput(errors.Join(problems...))
	}
	r := reconciliation{in: in, settings: settings, lists: in.Lists, result: in.Result}
	// What takes long to remove, or cannot be, keeps no job waiting.
	removed, setRemoved := workflow.NewFuture(ctx)
	if in.Page > 0 || len(in.Lists) > 0 || in.DryRun {
		setRemoved.SetValue(nil)
	} else {
		workflow.Go(ctx, func(ctx workflow.Context) { setRemoved.SetError(r.removeBeside(ctx)) })
	}
	more, err := r.readLists(ctx)
	if !in.DryRun && !more && err == nil {
		err = r.tryAgain(ctx, r.readAccounts())
	}
	leftovers := removed.Get(ctx, nil)
	switch {
	case err != nil:
		return r.result, err
	case more:
		in.Page, in.Lists, in.Result = 0, r.lists, r.result
		return r.result, workflow.NewContinueAsNewError(ctx, ReconcileScrapingJobsName, in)
	}
	return r.result, leftovers
}

type reconciliation struct {
	in       ReconcileScrapingJobsInput
	settings settings
	lists    []AccountList
	result   ReconcileScrapingJobsResult
}

// AccountList is how far reconciliation has read the list of an account's jobs.
type AccountList struct {
	Account string `json:"account,omitempty"`
	// Page is the next one.
	Page int `json:"page"`
	// Read is set when there is no further one, Failed, in one sentence, when the list
	// could not be read.
	Read   bool   `json:"read,omitempty"`
	Failed string `json:"failed,omitempty"`
}

// readLists goes through the lists of all accounts at once; more is set when another run
// has to go on.
func (r *reconciliation) readLists(ctx workflow.Context) (more bool, err error) {
	if err := r.listAccounts(ctx); err != nil {
		return false, err
	}
	failures := make([]error, len(r.lists))
	all := workflow.NewWaitGroup(ctx)
	for i := range r.lists {
		list := &r.lists[i]
		switch {
		case list.Read || list.Failed != "":
			continue
		case len(r.lists) == 1: // as earlier builds, in this order with what is removed
			failures[i] = r.startDueImports(ctx, list)
			continue
		}
		all.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer all.Done()
			failures[i] = r.startDueImports(ctx, list)
		})
	}
	all.Wait(ctx)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	for i, failure := range failures {
		if list := &r.lists[i]; failure != nil {
			list.Failed = Sentence(failure)
			workflow.GetLogger(ctx).Warn("The scraping jobs of an account were not looked at", "account", list.Account, "Error", failure)
		}
		more = more || !r.lists[i].Read && r.lists[i].Failed == ""
	}
	if more {
		return true, nil
	}
	return false, r.failed(failures)
}

// failed notes the accounts whose list could not be read, and is an error when there is no
// other.
func (r *reconciliation) failed(failures []error) error {
	r.result.FailedAccounts = nil
	var sentences []string
	for _, list := range r.lists {
		if list.Failed != "" {
			r.result.FailedAccounts = append(r.result.FailedAccounts, FailedAccount{list.Account, list.Failed})
			sentences = append(sentences, list.Failed)
		}
	}
	switch {
	case len(sentences) < max(len(r.lists), 1):
		return nil
	case len(failures) == 1 && failures[0] != nil:
		return failures[0]
	}
	return temporal.NewApplicationError(strings.Join(sentences, "; "), activities.ErrorOther)
}

// listAccounts finds out whose lists there are, unless an earlier run has.
func (r *reconciliation) listAccounts(ctx workflow.Context) error {
	accounts := r.in.Accounts
	switch {
	case len(r.lists) > 0:
		return nil
	case workflow.GetVersion(ctx, "accounts", workflow.DefaultVersion, 1) == workflow.DefaultVersion:
		accounts = []string{""}
	case len(accounts) == 0:
		if err := workflow.ExecuteActivity(shortStep(ctx, "list the accounts"), a.ListAccounts).Get(ctx, &accounts); err != nil {
			return err
		}
	}
	for _, account := range accounts {
		list := AccountList{Account: account, Page: 1}
		if !isNamed(account) {
			list.Page = max(r.in.Page, 1) // where a run of an earlier build has stopped
		}
		r.lists = append(r.lists, list)
	}
	return nil
}

// readAccounts are those whose lists were read.
func (r *reconciliation) readAccounts() (accounts []string) {
	for _, list := range r.lists {
		if list.Read && list.Account != "" {
			accounts = append(accounts, list.Account)
		}
	}
	return accounts
}

// startDueImports goes through an account's jobs page by page, until another run has to go
// on. A job that moves to an earlier page while another one is deleted is looked at by the
// next reconciliation.
func (r *reconciliation) startDueImports(ctx workflow.Context, list *AccountList) error {
	what := "list scraping jobs"
	if isNamed(list.Account) {
		what += " of account " + list.Account
	}
	for !list.Read && !isLong(ctx) {
		r.show(ctx, "")
		var page activities.FindDueScrapingJobsResult
		err := workflow.ExecuteActivity(r.settings.cloudCall(ctx, fmt.Sprintf("%s, page %d", what, list.Page)), a.FindDueScrapingJobs,
			activities.FindDueScrapingJobsInput{Account: list.Account, Page: list.Page, Filter: r.in.Settings.Filter, ByHand: r.in.ByHand}).Get(ctx, &page)
		switch {
		case err != nil:
		case page.Wait > 0:
			err = r.awaitCall(ctx, page.Wait)
		default:
			if err = r.startImports(ctx, page); err == nil {
				list.Page, list.Read = list.Page+1, page.Last
			}
		}
		if err != nil {
			return err
		}
	}
	workflow.SetCurrentDetails(ctx, r.counts())
	return nil
}

// awaitCall waits for the call that the account has promised to this workflow, or until
// another run has to go on, for which other accounts wait.
func (r *reconciliation) awaitCall(ctx workflow.Context, wait time.Duration) error {
	what := "wait for the API's limit of calls until " + workflow.Now(ctx).Add(wait).UTC().Format("2006-01-02 15:04:05 UTC")
	r.show(ctx, "; "+what)
	if len(r.lists) > 1 {
		return await(ctx, wait, what, func() bool { return isLong(ctx) })
	}
	return workflow.NewTimerWithOptions(ctx, wait, workflow.TimerOptions{Summary: what}).Get(ctx, nil)
}

func (r *reconciliation) show(ctx workflow.Context, note string) {
	at := ""
	for _, list := range r.lists {
		if at += ", page " + strconv.Itoa(list.Page); len(r.lists) > 1 {
			at += " of " + list.Account
		}
	}
	workflow.SetCurrentDetails(ctx, at[len(", "):]+"; "+r.counts()+note)
}

func (r *reconciliation) counts() string {
	return fmt.Sprintf("%d jobs listed, %d of them due", r.result.Listed, r.result.Due)
}

// startImports starts those of a page that are due.
func (r *reconciliation) startImports(ctx workflow.Context, page activities.FindDueScrapingJobsResult) error {
	r.result.Listed += page.Listed
	r.result.Due += len(page.Due)
	r.result.Jobs = append(r.result.Jobs, page.Due[:min(len(page.Due), maxListedJobs-len(r.result.Jobs))]...)
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
		workflow.GetLogger(ctx).Warn("An import was not started", "Reason", reason)
	}
	r.result.Refused += len(reasons)
	r.result.WhyRefused = append(r.result.WhyRefused, reasons[:min(len(reasons), maxListedRefusals-len(r.result.WhyRefused))]...)
}

// stepAttempts are how often a step of reconciliation is tried, for about five minutes.
const stepAttempts = 10

// shortStep is for steps of a minute that need neither the API nor a file.
func shortStep(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		Summary:             summary,
		RetryPolicy:         attempts(stepAttempts),
	})
}

// longStep is for one that may remove millions of records, or signal to thousands
// of workflows; it heartbeats.
func longStep(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithHeartbeatTimeout(workflow.WithStartToCloseTimeout(shortStep(ctx, summary), 12*time.Hour), time.Minute)
}

// startImportsInput names the jobs to import.
type startImportsInput struct {
	TaskQueue string             `json:"task_queue"`
	Settings  Settings           `json:"settings"`
	Jobs      []sink.ScrapingJob `json:"jobs"`
}

// startImportsResult says which of the jobs could not be started: the next
// reconciliation finds them due again.
type startImportsResult struct {
	Refused []string `json:"refused,omitempty"`
}

// startImports is an activity: it tells the workflow of each job, starting it
// if it is not running, that reconciliation has found the job due. Jobs told
// twice are imported once.
func startImports(ctx context.Context, in startImportsInput) (startImportsResult, error) {
	return startEach(ctx, activity.GetClient(ctx), in)
}

// startEach lets no job keep another from starting. One that fails in the last attempt
// too counts as refused.
func startEach(ctx context.Context, c Client, in startImportsInput) (startImportsResult, error) {
	jobs := map[int64]sink.ScrapingJob{}
	for _, job := range in.Jobs {
		jobs[job.ScrapingJobID] = job
	}
	progress := resumeSignalling(ctx)
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
	if activity.GetInfo(ctx).Attempt < stepAttempts {
		return startImportsResult{Refused: progress.Refused}, someFailed(failures)
	}
	for _, failure := range failures {
		progress.Refused = append(progress.Refused, failure.Error())
	}
	return startImportsResult{Refused: progress.Refused}, nil
}

// isRefusal reports whether Temporal refuses to signal this one workflow, such as
// one that has had too many signals.
func isRefusal(err error) bool {
	_, invalid := errors.AsType[*serviceerror.InvalidArgument](err)
	_, precondition := errors.AsType[*serviceerror.FailedPrecondition](err)
	return invalid || precondition || errors.Is(err, ErrOtherWorkflow)
}

// RegisterActivities registers the activities that reach
// Temporal and not the cloud or the database. All others are activities.Activities'.
func RegisterActivities(registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}) {
	registry.RegisterActivityWithOptions(startImports, activity.RegisterOptions{Name: startImportsName})
	registry.RegisterActivityWithOptions(installationSettings, activity.RegisterOptions{Name: installationSettingsName})
	registry.RegisterActivityWithOptions(tryAgain, activity.RegisterOptions{Name: tryAgainName})
}
