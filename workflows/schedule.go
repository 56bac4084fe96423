package workflows

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/activities"
)

// ReconcileScheduleID is the ID of the Temporal Schedule that runs ReconcileScrapingJobs,
// and the prefix of the workflow IDs of its runs.
const ReconcileScheduleID = "scrapehaul-reconcile"

// ScheduleReconciliation schedules ReconcileScrapingJobs at the interval, one run at a time;
// 0 pauses it. It creates the schedule or updates the existing one, which stays paused if it
// was paused manually. If that is for another task queue, it returns an error: a namespace
// has only one.
func ScheduleReconciliation(ctx context.Context, c client.Client, namespace, taskQueue string, every time.Duration, settings Settings) error {
	wanted := Installation{TaskQueue: taskQueue, Every: every, Settings: settings.withDefaults()}
	refusal := func(there string) error {
		if there == taskQueue {
			return nil
		}
		return fmt.Errorf("the schedule %s of %s is for task queue %q, not %q: use one namespace per task queue, or delete the schedule first",
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

// replaceSchedule is for a client that encrypts payloads: only the SDK's own update does
// that.
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
		StaticSummary: reconciliationSummary,
	}
	options := client.ScheduleOptions{
		ID: ReconcileScheduleID, Action: action, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: time.Minute, // one run makes up for all missed ones
	}
	if i.Every == 0 {
		options.Paused, options.Note = true, neverNote
	} else {
		options.Spec.Intervals = []client.ScheduleIntervalSpec{{Every: i.Every}}
	}
	return options
}

// Reconcile runs ReconcileScrapingJobs now, independently of the schedule, or joins such a
// run that is already in progress.
func Reconcile(ctx context.Context, c client.Client, taskQueue string, in ReconcileScrapingJobsInput) (client.WorkflowRun, error) {
	id, summary := reconciliationID(in)
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: taskQueue, StaticSummary: summary, WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		Priority: activities.Turns(in.Account),
	}, ReconcileScrapingJobsName, in)
	if err != nil {
		return nil, fmt.Errorf("starting workflow %s: %w", id, err)
	}
	return run, nil
}

const reconciliationSummary = "find scraping jobs that are not imported"

// reconciliationID returns the workflow ID and the summary of a run. Only one run per ID
// exists at a time.
func reconciliationID(in ReconcileScrapingJobsInput) (id, summary string) {
	id, summary = ReconcileScheduleID, reconciliationSummary
	switch {
	case in.DryRun:
		id, summary = id+"-dry-run", summary+", dry run"
	case in.Manual:
		id, summary = id+"-by-hand", summary+", manual"
	}
	if in.Account != "" {
		id, summary = id+"-account-"+in.Account, summary+", account "+in.Account
	}
	return id, summary
}
