package workflows

import (
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// RemoveLeftoversName is the registered name of [RemoveLeftovers].
const RemoveLeftoversName = "RemoveLeftovers"

const leftoversID = ReconcileScheduleID + "-leftovers"

// waitsWithin is how long a reconciliation waits for the results of the removal and of the
// accounts' runs. With an operator waiting, it reports earlier that they are still running.
func (r *reconciliation) waitsWithin() time.Duration {
	if r.in.Manual {
		return time.Minute
	}
	return 10 * time.Minute
}

// removeLeftovers starts a separate workflow for the removal, one at a time. It outlives
// this one, so that removing millions of records delays no reconciliation.
func (r *reconciliation) removeLeftovers(ctx workflow.Context) error {
	in := RemoveLeftoversInput{activities.RemoveUnfinishedImportsInput{NeverDeleted: r.settings.neverDelete}}
	if workflow.GetVersion(ctx, "leftovers-beside", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		removed, err := RemoveLeftovers(ctx, in)
		r.result.count(removed)
		return err
	}
	removal := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: leftoversID, ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON, StaticSummary: "remove leftovers of ended runs",
	}), RemoveLeftoversName, in)
	err := removal.GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		r.result.Removing = true
		return nil
	}
	ended, err := workflow.AwaitWithTimeout(ctx, r.waitsWithin(), removal.IsReady)
	if err != nil || !ended {
		r.result.Removing = true
		return err
	}
	var removed activities.Removed
	err = removal.Get(ctx, &removed)
	r.result.count(removed)
	return err
}

func (r *ReconcileScrapingJobsResult) count(removed activities.Removed) {
	r.RemovedImports, r.RemovedFiles, r.RemovedArchivedFiles = removed.Imports, removed.Files, removed.ArchivedFiles
	r.RemovedOldImports, r.RemovedOldRecords = removed.OldImports, removed.OldRecords
}

// RemoveLeftoversInput is the input of RemoveLeftovers. In earlier builds, it had none.
type RemoveLeftoversInput struct {
	activities.RemoveUnfinishedImportsInput
}

// RemoveLeftovers removes the leftovers of runs that no longer exist, and what is older than
// its retention. A worker on each spool sweeps it; a spool without a worker is swept the
// next time.
func RemoveLeftovers(ctx workflow.Context, in RemoveLeftoversInput) (all activities.Removed, err error) {
	var spools activities.ListSpoolsResult
	if err := workflow.ExecuteActivity(shortStep(ctx, "list spools"), a.ListSpools).Get(ctx, &spools); err != nil {
		return all, err
	}
	var sweeps []workflow.Future
	for _, queue := range spools.TaskQueues {
		sweeps = append(sweeps, workflow.ExecuteActivity(sweep(ctx, queue), a.SweepSpool))
	}
	err = workflow.ExecuteActivity(longStep(ctx, "remove unfinished imports"), a.RemoveUnfinishedImports, in.RemoveUnfinishedImportsInput).Get(ctx, &all)
	for _, each := range sweeps {
		var swept activities.Removed
		if err := each.Get(ctx, &swept); err != nil {
			workflow.GetLogger(ctx).Info("Sweeping a spool failed; the next reconciliation retries", "error", err)
			continue
		}
		all.Files += swept.Files
	}
	return all, err
}

// sweep returns options for a step on a worker that may be gone.
func sweep(ctx workflow.Context, taskQueue string) workflow.Context {
	ctx = workflow.WithStartToCloseTimeout(shortStep(ctx, "sweep the spool"), 5*time.Minute)
	ctx = workflow.WithScheduleToStartTimeout(workflow.WithTaskQueue(ctx, taskQueue), 30*time.Second)
	return workflow.WithRetryPolicy(ctx, *attempts(3))
}
