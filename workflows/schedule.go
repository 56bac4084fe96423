package workflows

import (
	"context"
	"errors"
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
	wanted := Installation{TaskQueue: taskQueue, Every: every, Settings: settings.withDefaults()}
	refusal := func(there string) error {
		if there == taskQueue {
			return nil
		}
		return fmt.Errorf("the schedule %s of %s is for task queue %q, and not %q: give each its namespace, or remove the schedule first",
			ReconcileScheduleID, namespace, there, taskQueue)
	}
	err := ChangeInstallation(ctx, c, namespace, func(i *Installation, isNew bool) error {
		if !isNew {
			if err := refusal(i.TaskQueue); err != nil {
				return err
			}
		}
		i.TaskQueue, i.Every, i.Settings = wanted.TaskQueue, wanted.Every, wanted.Settings
		return nil
	})
	if errors.Is(err, errUnreadable) {
		return replaceSchedule(ctx, c.ScheduleClient(), wanted, refusal)
	}
	return err
}

// replaceSchedule is for a client that encrypts payloads: only the SDK's own update
// does.
func replaceSchedule(ctx context.Context, c client.ScheduleClient, wanted Installation, refusal func(taskQueue string) error) error {
	options := scheduleOptions(wanted)
	err := c.GetHandle(ctx, ReconcileScheduleID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(there client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := there.Description.Schedule
			if action, ok := schedule.Action.(*client.ScheduleWorkflowAction); ok {
				if err := refusal(action.TaskQueue); err != nil {
					return nil, err
				}
			}
			schedule.Action, schedule.Spec = options.Action, &options.Spec
			if schedule.State.Note == neverNote || !schedule.State.Paused {
				schedule.State.Paused, schedule.State.Note = options.Paused, options.Note
			}
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	})
	if err != nil {
		return fmt.Errorf("updating the schedule %s: %w", ReconcileScheduleID, err)
	}
	return nil
}

func scheduleOptions(i Installation) client.ScheduleOptions {
	action := &client.ScheduleWorkflowAction{
		ID:            ReconcileScheduleID,
		Workflow:      ReconcileScrapingJobsName,
		TaskQueue:     i.TaskQueue,
		Args:          []any{ReconcileScrapingJobsInput{Settings: i.Settings}},
		StaticSummary: "find scraping jobs that are not imported",
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
	id, summary := reconciliationID(in)
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: taskQueue, StaticSummary: summary, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		Priority: turns(in.Account),
	}, ReconcileScrapingJobsName, in)
	if err != nil {
		return nil, fmt.Errorf("starting workflow %s: %w", id, err)
	}
	return run, nil
}

// reconciliationID is the ID of the run, and its summary. There is one of each at a time.
func reconciliationID(in ReconcileScrapingJobsInput) (id, summary string) {
	id, summary = ReconcileScheduleID, "find scraping jobs that are not imported"
	switch {
	case in.DryRun:
		id, summary = id+"-dry-run", summary+", and only look"
	case in.ByHand:
		id, summary = id+"-by-hand", summary+", by hand"
	}
	if in.Account != "" {
		id, summary = id+"-account-"+in.Account, summary+", account "+in.Account
	}
	return id, summary
}
