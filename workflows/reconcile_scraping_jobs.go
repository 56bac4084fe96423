package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// Names under which reconciliation is known to Temporal.
const (
	// ReconcileScrapingJobsName is the workflow's registered name.
	ReconcileScrapingJobsName = "ReconcileScrapingJobs"
	startImportsName          = "StartImports"
)

// maxListedJobs bounds the jobs that the result of a reconciliation lists, for
// Temporal's limit on payloads.
const maxListedJobs = 1000

// ReconcileScrapingJobsInput is the input of ReconcileScrapingJobs.
type ReconcileScrapingJobsInput struct {
	// Settings shape the imports that are started; their filter says of which
	// jobs.
	Settings Settings `json:"settings"`
	// DryRun only looks: nothing is started, nothing removed.
	DryRun bool `json:"dry_run,omitempty"`
	// Page and Result are set when a run goes on where the one before ended, because
	// of the length of its history.
	Page   int                         `json:"page,omitempty"`
	Result ReconcileScrapingJobsResult `json:"result,omitzero"`
}

// ReconcileScrapingJobsResult is the result of ReconcileScrapingJobs.
type ReconcileScrapingJobsResult struct {
	// Listed counts the jobs of the account that were looked at, Due those that
	// have ended and are not published as they are.
	Listed int `json:"listed"`
	Due    int `json:"due"`
	// TriedAgain counts the imports that needed attention and were asked to try again.
	TriedAgain int `json:"tried_again,omitempty"`
	// Jobs are the due ones, the first 1000 of them.
	Jobs []activities.DueScrapingJob `json:"jobs,omitempty"`
	// RemovedImports and RemovedFiles count what runs that no longer exist had
	// left: unpublished imports and spool files.
	RemovedImports int `json:"removed_imports"`
	RemovedFiles   int `json:"removed_files"`
	// RemovedArchivedFiles counts the archived files whose retention was over.
	RemovedArchivedFiles int `json:"removed_archived_files,omitempty"`
}

// ReconcileScrapingJobs starts the import of every scraping job of the account
// that has ended and is not published with its present content, so that a job
// whose notifications were all lost is imported all the same. Beside that it
// removes what runs that no longer exist have left.
func ReconcileScrapingJobs(ctx workflow.Context, in ReconcileScrapingJobsInput) (ReconcileScrapingJobsResult, error) {
	settings, problems := in.Settings.parse()
	if len(problems) > 0 {
		return ReconcileScrapingJobsResult{}, invalidInput(errors.Join(problems...))
	}
	r := reconciliation{in: in, settings: settings, page: max(in.Page, 1), result: in.Result}
	// What takes long to remove, or cannot be, keeps no job waiting.
	removed, setRemoved := workflow.NewFuture(ctx)
	if in.Page > 0 || in.DryRun {
		setRemoved.SetValue(nil)
	} else {
		workflow.Go(ctx, func(ctx workflow.Context) { setRemoved.SetError(r.removeLeftovers(ctx)) })
	}
	more, err := r.startDueImports(ctx)
	if !in.DryRun && !more && err == nil {
		err = r.tryAgain(ctx)
	}
	leftovers := removed.Get(ctx, nil)
	switch {
	case err != nil:
		return r.result, err
	case more:
		in.Page, in.Result = r.page, r.result
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

// startDueImports goes through the account's jobs page by page; more is set when
// another run has to go on. A job that moves to an earlier page while another one
// is deleted is looked at by the next reconciliation.
func (r *reconciliation) startDueImports(ctx workflow.Context) (more bool, err error) {
	for last := false; !last; r.page++ {
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return true, nil
		}
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("page %d; %d jobs listed, %d of them due", r.page, r.result.Listed, r.result.Due))
		var page activities.FindDueScrapingJobsResult
		err := workflow.ExecuteActivity(r.settings.cloudCall(ctx, fmt.Sprintf("list scraping jobs, page %d", r.page)), a.FindDueScrapingJobs,
			activities.FindDueScrapingJobsInput{Page: r.page, Filter: r.in.Settings.Filter}).Get(ctx, &page)
		if err != nil {
			return false, err
		}
		last = page.Last
		r.result.Listed += page.Listed
		r.result.Due += len(page.Due)
		r.result.Jobs = append(r.result.Jobs, page.Due[:min(len(page.Due), maxListedJobs-len(r.result.Jobs))]...)
		if r.in.DryRun || len(page.Due) == 0 {
			continue
		}
		start := startImportsInput{TaskQueue: workflow.GetInfo(ctx).TaskQueueName, Settings: r.in.Settings}
		for _, due := range page.Due {
			start.Jobs = append(start.Jobs, due.Job)
		}
		summary := fmt.Sprintf("start %d imports", len(start.Jobs))
		if err := workflow.ExecuteActivity(shortStep(ctx, summary), startImportsName, start).Get(ctx, nil); err != nil {
			return false, err
		}
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("%d jobs listed, %d of them due", r.result.Listed, r.result.Due))
	return false, nil
}

// removeLeftovers has every spool swept by a worker on it. One that has no
// worker now is swept another time.
func (r *reconciliation) removeLeftovers(ctx workflow.Context) error {
	var spools activities.ListSpoolsResult
	err := workflow.ExecuteActivity(shortStep(ctx, "list spools"), a.ListSpools).Get(ctx, &spools)
	if err != nil {
		return err
	}
	var sweeps []workflow.Future
	for _, queue := range spools.TaskQueues {
		sweeps = append(sweeps, workflow.ExecuteActivity(sweep(ctx, queue), a.SweepSpool))
	}
	var removed activities.Removed
	err = workflow.ExecuteActivity(longStep(ctx, "remove imports that nobody finishes"), a.RemoveUnfinishedImports).Get(ctx, &removed)
	r.result.RemovedImports, r.result.RemovedArchivedFiles = removed.Imports, removed.ArchivedFiles
	for _, each := range sweeps {
		var swept activities.Removed
		if err := each.Get(ctx, &swept); err != nil {
			workflow.GetLogger(ctx).Info("A spool was not swept", "Error", err)
			continue
		}
		r.result.RemovedFiles += swept.Files
	}
	return err
}

// shortStep is for steps of a minute that need neither the API nor a file.
func shortStep(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		Summary:             summary,
		RetryPolicy:         attempts(10),
	})
}

// longStep is for one that may remove millions of records; it heartbeats.
func longStep(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithHeartbeatTimeout(workflow.WithStartToCloseTimeout(shortStep(ctx, summary), 12*time.Hour), time.Minute)
}

// sweep is for a step on a worker that may be gone.
func sweep(ctx workflow.Context, taskQueue string) workflow.Context {
	ctx = workflow.WithStartToCloseTimeout(shortStep(ctx, "sweep the spool"), 5*time.Minute)
	ctx = workflow.WithScheduleToStartTimeout(workflow.WithTaskQueue(ctx, taskQueue), 30*time.Second)
	return workflow.WithRetryPolicy(ctx, *attempts(3))
}

// startImportsInput names the jobs to import.
type startImportsInput struct {
	TaskQueue string             `json:"task_queue"`
	Settings  Settings           `json:"settings"`
	Jobs      []sink.ScrapingJob `json:"jobs"`
}

// startImports is an activity: it tells the workflow of each job, starting it
// if it is not running, that reconciliation has found the job due. Jobs told
// twice are imported once.
func startImports(ctx context.Context, in startImportsInput) error {
	for _, job := range in.Jobs {
		_, err := signalWithStart(ctx, activity.GetClient(ctx), in.TaskQueue, reconciliationSignal, job,
			Notification{ScrapingJobID: job.ScrapingJobID, Status: job.Status, SitemapName: job.SitemapName, CustomID: job.CustomID},
			job.SitemapName+" · "+job.Status, in.Settings)
		if err != nil {
			return err
		}
	}
	return nil
}

// RegisterActivities registers the activities of reconciliation that reach
// Temporal and not the cloud or the database. All others are activities.Activities'.
func RegisterActivities(registry interface {
	RegisterActivityWithOptions(a any, options activity.RegisterOptions)
}) {
	registry.RegisterActivityWithOptions(startImports, activity.RegisterOptions{Name: startImportsName})
	registry.RegisterActivityWithOptions(tryAgain, activity.RegisterOptions{Name: tryAgainName})
}
