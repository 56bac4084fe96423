package workflows

import (
	"context"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
)

// ReconcileScheduleID is the ID of the Temporal Schedule that runs
// ReconcileScrapingJobs, and the beginning of the IDs of its runs.
const ReconcileScheduleID = "scrapehaul-reconcile"

// ScheduleReconciliation has ReconcileScrapingJobs run every so often, one run
// at a time. It creates the schedule or changes the one that is there, which
// stays paused if somebody has paused it; 0 pauses it. The schedule of another
// task queue is refused: there is one in a namespace.
func ScheduleReconciliation(ctx context.Context, c client.Client, namespace, taskQueue string, every time.Duration, settings Settings) error {
	return ChangeInstallation(ctx, c, namespace, func(i *Installation, isNew bool) error {
		if i.TaskQueue != taskQueue && !isNew {
			return fmt.Errorf("the schedule %s of %s is for task queue %q, and not %q: give each its namespace, or remove the schedule first",
				ReconcileScheduleID, namespace, i.TaskQueue, taskQueue)
		}
		i.TaskQueue, i.Every, i.Settings = taskQueue, every, settings.withDefaults()
		return nil
	})
}

func scheduleOptions(i Installation) client.ScheduleOptions {
	action := &client.ScheduleWorkflowAction{
		ID:            ReconcileScheduleID,
		Workflow:      ReconcileScrapingJobsName,
		TaskQueue:     i.TaskQueue,
		Args:          []any{ReconcileScrapingJobsInput{Settings: i.Settings}},
		StaticSummary: "find scraping jobs that are not imported",
	}
	if len(i.Starters) > 0 {
		action.Memo = map[string]any{startersMemo: i.Starters}
	}
	options := client.ScheduleOptions{
		ID: ReconcileScheduleID, Action: action, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: time.Minute, // one look is as good as the ones that were missed
	}
	if i.Every == 0 {
		options.Paused, options.Note = true, neverNote
	} else {
		options.Spec.Intervals = []client.ScheduleIntervalSpec{{Every: i.Every}}
	}
	return options
}

// Reconcile runs ReconcileScrapingJobs now, beside the schedule, or joins the
// run that is on its way.
func Reconcile(ctx context.Context, c client.Client, taskQueue string, in ReconcileScrapingJobsInput) (client.WorkflowRun, error) {
	id, summary := ReconcileScheduleID+"-by-hand", "find scraping jobs that are not imported, by hand"
	if in.DryRun {
		id, summary = ReconcileScheduleID+"-dry-run", "find scraping jobs that are not imported, and only look"
	}
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: taskQueue, StaticSummary: summary, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, ReconcileScrapingJobsName, in)
	if err != nil {
		return nil, fmt.Errorf("starting workflow %s: %w", id, err)
	}
	return run, nil
}
