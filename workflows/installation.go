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

// Installation is what the schedule of the reconciliation keeps for all starters
// of a namespace: the one home of the settings that shape imports.
type Installation struct {
	TaskQueue string
	// Every is how often reconciliation runs; 0 for never: the schedule is there,
	// and paused.
	Every    time.Duration
	Settings Settings
	// PausedBecause is set when somebody has paused the schedule; it only is read.
	PausedBecause *string
}

// DefaultInstallation is the one in force where nothing was given yet.
func DefaultInstallation() Installation {
	return Installation{TaskQueue: DefaultTaskQueue, Every: 15 * time.Minute, Settings: DefaultSettings()}
}

const (
	// neverNote is the note of a schedule that nobody has paused but RECONCILE_EVERY.
	neverNote = "RECONCILE_EVERY is 0"
	// maxChanges bounds how often a change is made again because of another one.
	maxChanges = 10
)

// errUnreadable is for the schedule of a host whose client encrypts payloads.
var errUnreadable = errors.New("whoever has put it up encrypts them")

var payloads = converter.GetDefaultDataConverter()

// ReadInstallation returns nil when the namespace has none yet.
func ReadInstallation(ctx context.Context, c client.Client, namespace string) (*Installation, error) {
	there, err := describeSchedule(ctx, c, namespace)
	if there == nil || err != nil {
		return nil, err
	}
	return installationOf(there.GetSchedule())
}

// installationSettings is an activity: it returns the settings of imports.
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

// ChangeInstallation lets change alter what the schedule keeps, or, where there is
// none yet, the defaults with which it is created. When others change it at the
// same time, change is called again with what they have made of it.
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
				return fmt.Errorf("putting up the schedule %s: %w", ReconcileScheduleID, err)
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
		// Temporal drops, without a word, an update with a token that is not the
		// latest: so the schedule is read again until it is as wanted.
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
	return fmt.Errorf("updating the schedule %s: others change it all the time", ReconcileScheduleID)
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

// retryFor is how long a schedule may not be there to be read.
const retryFor = 30 * time.Second

// retry makes a call as the SDK makes its own, and again while Temporal is away, works
// on another description of the schedule, or has just begun, so that none of its own
// workers answers.
func retry[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	until := time.Now().Add(retryFor)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		calling, stop := context.WithTimeout(ctx, 10*time.Second)
		answer, err := call(calling)
		stop()
		_, busy := errors.AsType[*serviceerror.ResourceExhausted](err)
		_, away := errors.AsType[*serviceerror.Unavailable](err)
		_, begun := errors.AsType[*serviceerror.FailedPrecondition](err)
		if !busy && !away && !begun || time.Now().After(until) {
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

// writeTo reports whether the schedule was another one. It writes nothing else
// than what differs: a schedule may have what a later version knows.
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

// writeEvery leaves a schedule paused that somebody has paused.
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
