package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// ReconcileScheduleID is the ID of the Temporal Schedule that runs
// ReconcileScrapingJobs, and the beginning of the IDs of its runs.
const ReconcileScheduleID = "scrapehaul-reconcile"

// ScheduleReconciliation has ReconcileScrapingJobs run every so often, one run
// at a time. It creates the schedule or updates the one that is there, which
// stays paused if somebody has paused it; 0 removes it.
func ScheduleReconciliation(ctx context.Context, c client.ScheduleClient, taskQueue string, every time.Duration, settings Settings) error {
	if every == 0 {
		err := c.GetHandle(ctx, ReconcileScheduleID).Delete(ctx)
		if _, ok := errors.AsType[*serviceerror.NotFound](err); err != nil && !ok {
			return fmt.Errorf("removing the schedule %s: %w", ReconcileScheduleID, err)
		}
		return nil
	}
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}}
	action := &client.ScheduleWorkflowAction{
		ID:            ReconcileScheduleID,
		Workflow:      ReconcileScrapingJobsName,
		TaskQueue:     taskQueue,
		Args:          []any{ReconcileScrapingJobsInput{Settings: settings}},
		StaticSummary: "find scraping jobs that are not imported",
	}
	_, err := c.Create(ctx, client.ScheduleOptions{
		ID: ReconcileScheduleID, Spec: spec, Action: action, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: time.Minute, // one look is as good as the ones that were missed
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		err = c.GetHandle(ctx, ReconcileScheduleID).Update(ctx, client.ScheduleUpdateOptions{
			DoUpdate: func(there client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
				schedule := there.Description.Schedule
				schedule.Spec, schedule.Action = &spec, action
				return &client.ScheduleUpdate{Schedule: &schedule}, nil
			},
		})
	}
	if err != nil {
		return fmt.Errorf("putting up the schedule %s: %w", ReconcileScheduleID, err)
	}
	return nil
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
