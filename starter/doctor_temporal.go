package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func (d *doctor) checkTemporal(ctx context.Context) {
	s := d.temporalSettings()
	if s == nil {
		return
	}
	temporal, err := within(ctx, func(ctx context.Context) (client.Client, error) { return dial(ctx, *s) })
	if err != nil {
		d.fix("Temporal at %s, and all that depends on it: %v: see TEMPORAL_ADDRESS, TEMPORAL_API_KEY and TEMPORAL_TLS_…", s.HostPort, err)
		return
	}
	defer temporal.Close()
	d.ok("Temporal at %s answers", s.HostPort)
	_, err = within(ctx, func(ctx context.Context) (*workflowservice.DescribeNamespaceResponse, error) {
		return temporal.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: s.Namespace})
	})
	switch {
	case isNotFound(err):
		d.fix("namespace %s, and all that depends on it: it does not exist: see TEMPORAL_NAMESPACE, or make it: temporal operator namespace create -n %s",
			s.Namespace, s.Namespace)
		return
	case err != nil:
		d.fix("namespace %s, and all that depends on it: %v", s.Namespace, err)
		return
	}
	d.ok("namespace %s exists", s.Namespace)
	d.checkMaySignal(ctx, temporal, s.Namespace)
	d.checkTemporalClock(ctx, temporal, s.Namespace)
	d.checkPollers(ctx, temporal)
	d.checkSchedule(ctx, temporal)
	d.checkSearchAttributes(ctx, temporal, s.Namespace)
}

// temporalSettings returns nil when they are wrong.
func (d *doctor) temporalSettings() *client.Options {
	var s program.Settings
	options := s.Temporal(discard())
	s.Required("TASK_QUEUE", d.settings.TaskQueue, "the same as the workers'")
	if !d.settingsAreRight(&s) {
		return nil
	}
	return &options
}

// within does something within the time of one check.
func within[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	result, err := do(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("no answer within %s: %w", checkTimeout, err)
	}
	return result, err
}

// checkMaySignal signals a workflow that does not exist: whoever may, is told
// so.
func (d *doctor) checkMaySignal(ctx context.Context, temporal client.Client, namespace string) {
	id := "scrapehaul-doctor-" + uuid.NewString()
	_, err := within(ctx, func(ctx context.Context) (any, error) {
		return nil, temporal.SignalWorkflow(ctx, id, "", workflows.NotificationSignal, nil)
	})
	if isNotFound(err) {
		d.ok("workflows of namespace %s may be signalled", namespace)
		return
	}
	d.fix("signalling workflows of namespace %s: %v: give TEMPORAL_API_KEY or the certificate the right to write there", namespace, err)
}

// checkTemporalClock polls a task queue of its own, where there is never
// anything to do, because Temporal notes by its clock when somebody last did.
func (d *doctor) checkTemporalClock(ctx context.Context, temporal client.Client, namespace string) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	queue := &taskqueuepb.TaskQueue{Name: d.settings.TaskQueue + "@doctor", Kind: enumspb.TASK_QUEUE_KIND_NORMAL}
	identity := uuid.NewString()
	before := d.now()
	var refused error // read after ended
	ended := make(chan struct{})
	polling, stop := context.WithCancel(ctx)
	defer func() { stop(); <-ended }()
	go func() {
		defer close(ended)
		_, refused = temporal.WorkflowService().PollActivityTaskQueue(polling, &workflowservice.PollActivityTaskQueueRequest{
			Namespace: namespace, TaskQueue: queue, Identity: identity,
		})
	}()
	for {
		described, err := temporal.DescribeTaskQueue(ctx, queue.GetName(), enumspb.TASK_QUEUE_TYPE_ACTIVITY)
		if err != nil {
			d.fix("the clock of Temporal: %v", err)
			return
		}
		for _, poller := range described.GetPollers() {
			if poller.GetIdentity() == identity {
				d.checkClock("Temporal", poller.GetLastAccessTime().AsTime(), before, d.now())
				return
			}
		}
		select {
		case <-ended:
			d.fix("the clock of Temporal: polling task queue %s: %v", queue.GetName(), refused)
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// checkPollers looks for workers on the task queues that imports need.
func (d *doctor) checkPollers(ctx context.Context, temporal client.Client) {
	for _, each := range []struct {
		queue string
		kind  enumspb.TaskQueueType
	}{
		{d.settings.TaskQueue, enumspb.TASK_QUEUE_TYPE_WORKFLOW},
		{d.settings.TaskQueue, enumspb.TASK_QUEUE_TYPE_ACTIVITY},
		{workflows.CloudTaskQueue(d.settings.TaskQueue), enumspb.TASK_QUEUE_TYPE_ACTIVITY},
	} {
		kind := strings.ToLower(each.kind.String())
		described, err := within(ctx, func(ctx context.Context) (*workflowservice.DescribeTaskQueueResponse, error) {
			return temporal.DescribeTaskQueue(ctx, each.queue, each.kind)
		})
		switch {
		case err != nil:
			d.fix("workers on task queue %s for %s tasks: %v", each.queue, kind, err)
		case len(described.GetPollers()) == 0:
			d.fix("no worker polls task queue %s for %s tasks: start one (worker run), with TASK_QUEUE=%s", each.queue, kind, d.settings.TaskQueue)
		default:
			d.ok("workers poll task queue %s for %s tasks: %d", each.queue, kind, len(described.GetPollers()))
		}
	}
}

func (d *doctor) checkSchedule(ctx context.Context, temporal client.Client) {
	var s program.Settings
	every := d.settings.every(&s)
	if !d.settingsAreRight(&s) {
		return
	}
	const id = workflows.ReconcileScheduleID
	there, err := within(ctx, func(ctx context.Context) (*client.ScheduleDescription, error) {
		return temporal.ScheduleClient().GetHandle(ctx, id).Describe(ctx)
	})
	switch {
	case isNotFound(err) && every == 0:
		d.ok("there is no schedule %s, as RECONCILE_EVERY is 0", id)
	case isNotFound(err):
		d.fix("the schedule %s is not there: run starter setup, or start the starter", id)
	case err != nil:
		d.fix("the schedule %s: %v", id, err)
	case every == 0:
		d.fix("the schedule %s is there, though RECONCILE_EVERY is 0: run starter setup, or set RECONCILE_EVERY", id)
	default:
		d.checkScheduleIs(there, every)
	}
}

func (d *doctor) checkScheduleIs(there *client.ScheduleDescription, every time.Duration) {
	const id = workflows.ReconcileScheduleID
	action, _ := there.Schedule.Action.(*client.ScheduleWorkflowAction)
	intervals := there.Schedule.Spec.Intervals
	switch {
	case there.Schedule.State.Paused:
		d.fix("the schedule %s is paused (%s): temporal schedule toggle --unpause -s %s", id, there.Schedule.State.Note, id)
	case action == nil || action.TaskQueue != d.settings.TaskQueue:
		d.fix("the schedule %s is for another task queue than %s: see TASK_QUEUE, or run starter setup", id, d.settings.TaskQueue)
	case len(intervals) != 1 || intervals[0].Every != every:
		d.fix("the schedule %s is not every %s, as RECONCILE_EVERY says: run starter setup", id, every)
	default:
		d.ok("the schedule %s is there, every %s", id, every)
	}
}

// checkSearchAttributes only gives a hint: imports do without.
func (d *doctor) checkSearchAttributes(ctx context.Context, temporal client.Client, namespace string) {
	registered, err := within(ctx, func(ctx context.Context) (map[string]enumspb.IndexedValueType, error) {
		return workflows.RegisteredSearchAttributes(ctx, temporal, namespace)
	})
	if err != nil {
		d.line("hint", "%v", err)
		return
	}
	var missing []string
	for _, attribute := range workflows.SearchAttributes() {
		if registered[attribute.GetName()] != attribute.GetValueType() {
			missing = append(missing, attribute.GetName())
		}
	}
	if len(missing) > 0 {
		d.line("hint", "search attributes that are not registered as Keyword, which helps to find imports in Temporal: %s: run starter setup", strings.Join(missing, ", "))
		return
	}
	d.ok("the search attributes are registered")
}
