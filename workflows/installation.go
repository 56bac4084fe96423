package workflows

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"time"

	schedulepb "go.temporal.io/api/schedule/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Installation is stored in the reconciliation schedule for all starters of a namespace. It
// is the only place that keeps the settings of imports.
type Installation struct {
	TaskQueue string
	// Every is the interval of the reconciliation; with 0 the schedule exists but is
	// paused.
	Every    time.Duration
	Settings Settings
	// PausedBecause is the note of a manually paused schedule, nil otherwise. It is never
	// written.
	PausedBecause *string
}

// DefaultInstallation returns the installation that applies until one is stored.
func DefaultInstallation() Installation {
	return Installation{TaskQueue: DefaultTaskQueue, Every: 15 * time.Minute, Settings: DefaultSettings()}
}

const (
	// neverNote is the note of a schedule paused by RECONCILE_EVERY alone.
	neverNote = "RECONCILE_EVERY is 0"
	// maxChanges limits how often a change is retried after a concurrent one.
	maxChanges = 10
)

// errUnreadable is for the schedule of a host whose client encrypts payloads.
var errUnreadable = errors.New("the client that created it encrypts payloads")

var payloads = converter.GetDefaultDataConverter()

// ReadInstallation returns the installation of the namespace, or nil if it has none yet.
func ReadInstallation(ctx context.Context, c client.Client, namespace string) (*Installation, error) {
	there, err := describeSchedule(ctx, c, namespace)
	if there == nil || err != nil {
		return nil, err
	}
	return installationOf(there.GetSchedule())
}

// installationSettings is an activity that returns the settings of imports.
func installationSettings(ctx context.Context) (Settings, error) {
	return readSettings(ctx, activity.GetClient(ctx), activity.GetInfo(ctx).Namespace)
}

func readSettings(ctx context.Context, c client.Client, namespace string) (Settings, error) {
	i, err := ReadInstallation(ctx, c, namespace)
	if errors.Is(err, errUnreadable) {
		return Settings{}, temporal.NewNonRetryableApplicationError("set settings in the input of "+RunSitemapName+": "+err.Error(), "InvalidInput", nil)
	}
	if i == nil || err != nil {
		return Settings{}, err
	}
	return i.Settings, nil
}

// ChangeInstallation calls change on the stored installation, or on the defaults if there
// is none yet, and stores the result. After a concurrent change by others, change is called
// again with theirs.
func ChangeInstallation(ctx context.Context, c client.Client, namespace string, change func(i *Installation, isNew bool) error) error {
	for range maxChanges {
		there, err := describeSchedule(ctx, c, namespace)
		if err != nil {
			return err
		}
		if there == nil {
			i := DefaultInstallation()
			if err := change(&i, true); err != nil {
				return err
			}
			_, err := c.ScheduleClient().Create(ctx, scheduleOptions(i))
			if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
				continue // by another starter
			}
			if err != nil {
				return fmt.Errorf("creating the schedule %s: %w", ReconcileScheduleID, err)
			}
			return nil
		}
		i, err := installationOf(there.GetSchedule())
		if err != nil {
			return err
		}
		if err := change(i, false); err != nil {
			return err
		}
		// Temporal silently drops an update with an outdated token, so read the schedule
		// again until nothing is left to change.
		changed, err := i.writeTo(there.GetSchedule())
		if err != nil || !changed {
			return err
		}
		update := &workflowservice.UpdateScheduleRequest{
			Namespace: namespace, ScheduleId: ReconcileScheduleID, Schedule: there.GetSchedule(),
			ConflictToken: there.GetConflictToken(), RequestId: rand.Text(),
		}
		_, err = retry(ctx, func(ctx context.Context) (*workflowservice.UpdateScheduleResponse, error) {
			return c.WorkflowService().UpdateSchedule(ctx, update)
		})
		if err != nil {
			return fmt.Errorf("updating the schedule %s: %w", ReconcileScheduleID, err)
		}
	}
	return fmt.Errorf("updating the schedule %s: too many concurrent changes", ReconcileScheduleID)
}

// describeSchedule returns nil when there is none.
func describeSchedule(ctx context.Context, c client.Client, namespace string) (*workflowservice.DescribeScheduleResponse, error) {
	there, err := retry(ctx, func(ctx context.Context) (*workflowservice.DescribeScheduleResponse, error) {
		return c.WorkflowService().DescribeSchedule(ctx, &workflowservice.DescribeScheduleRequest{Namespace: namespace, ScheduleId: ReconcileScheduleID})
	})
	if _, missing := errors.AsType[*serviceerror.NotFound](err); missing {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the schedule %s: %w", ReconcileScheduleID, err)
	}
	return there, nil
}

// retryFor is how long calls about a schedule are retried.
const retryFor = 30 * time.Second

// retry makes a call with the SDK's timeout. It retries while Temporal is unavailable, is
// busy with another call about the schedule, or has only just started, so that its own
// workers do not answer yet.
func retry[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	until := time.Now().Add(retryFor)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		calling, stop := context.WithTimeout(ctx, 10*time.Second)
		answer, err := call(calling)
		stop()
		_, busy := errors.AsType[*serviceerror.ResourceExhausted](err)
		_, unavailable := errors.AsType[*serviceerror.Unavailable](err)
		_, starting := errors.AsType[*serviceerror.FailedPrecondition](err)
		if !busy && !unavailable && !starting || time.Now().After(until) {
			return answer, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return answer, err
		}
	}
}

func installationOf(schedule *schedulepb.Schedule) (*Installation, error) {
	action := schedule.GetAction().GetStartWorkflow()
	if kind := action.GetWorkflowType().GetName(); kind != ReconcileScrapingJobsName {
		return nil, fmt.Errorf("the schedule %s starts workflows of type %q, not %q: remove it, or use another namespace",
			ReconcileScheduleID, kind, ReconcileScrapingJobsName)
	}
	var in ReconcileScrapingJobsInput
	if err := payloads.FromPayloads(action.GetInput(), &in); err != nil {
		return nil, fmt.Errorf("reading the settings in the schedule %s: %w: %w", ReconcileScheduleID, errUnreadable, err)
	}
	i := &Installation{TaskQueue: action.GetTaskQueue().GetName(), Settings: in.Settings.withDefaults()}
	if intervals := schedule.GetSpec().GetInterval(); len(intervals) > 0 {
		i.Every = intervals[0].GetInterval().AsDuration()
	}
	if note := schedule.GetState().GetNotes(); schedule.GetState().GetPaused() && note != neverNote {
		i.PausedBecause = &note
	}
	return i, nil
}

// writeTo reports whether it changed the schedule. It writes only what differs: a later
// version may have stored more.
func (i *Installation) writeTo(schedule *schedulepb.Schedule) (changed bool, err error) {
	before := proto.CloneOf(schedule)
	was, err := installationOf(schedule)
	if err != nil {
		return false, err
	}
	action := schedule.GetAction().GetStartWorkflow()
	action.TaskQueue = &taskqueuepb.TaskQueue{Name: i.TaskQueue, Kind: action.GetTaskQueue().GetKind()}
	if !reflect.DeepEqual(was.Settings, i.Settings) {
		if action.Input, err = payloads.ToPayloads(ReconcileScrapingJobsInput{Settings: i.Settings}); err != nil {
			return false, err
		}
	}
	if was.Every != i.Every {
		i.writeEvery(schedule)
	}
	return !proto.Equal(before, schedule), nil
}

// writeEvery leaves a manually paused schedule paused.
func (i *Installation) writeEvery(schedule *schedulepb.Schedule) {
	schedule.Spec = &schedulepb.ScheduleSpec{}
	if i.Every > 0 {
		schedule.Spec.Interval = []*schedulepb.IntervalSpec{{Interval: durationpb.New(i.Every)}}
	}
	switch state := schedule.GetState(); {
	case i.Every == 0 && !state.GetPaused():
		state.Paused, state.Notes = true, neverNote
	case i.Every > 0 && state.GetNotes() == neverNote:
		state.Paused, state.Notes = false, ""
	}
}
