package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func (d *doctor) checkTemporal(ctx context.Context) {
	var settings program.Settings
	s := settings.Temporal(discard())
	d.given().validate(&settings)
	if !d.validSettings(&settings) {
		d.line("hint", "Temporal, the schedule and the workers are checked once these settings are right")
		return
	}
	where := s.HostPort + throughProxy(s.HostPort)
	temporal, err := within(ctx, func(ctx context.Context) (client.Client, error) { return dial(ctx, s) })
	if err != nil {
		d.fix("Temporal at %s, and everything that depends on it: %v: check TEMPORAL_ADDRESS, TEMPORAL_API_KEY and TEMPORAL_TLS_…", where, err)
		return
	}
	defer temporal.Close()
	d.ok("Temporal at %s answers", where)
	_, err = within(ctx, func(ctx context.Context) (*workflowservice.DescribeNamespaceResponse, error) {
		return temporal.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: s.Namespace})
	})
	switch {
	case isNotFound(err):
		d.fix("namespace %s, and everything that depends on it: it does not exist: check TEMPORAL_NAMESPACE, or create it: temporal operator namespace create -n %s",
			s.Namespace, s.Namespace)
		return
	case err != nil:
		d.fix("namespace %s, and everything that depends on it: %v", s.Namespace, err)
		return
	}
	d.ok("namespace %s exists", s.Namespace)
	d.checkSignal(ctx, temporal, s.Namespace)
	d.checkSchedule(ctx, temporal, s.Namespace)
	d.checkSearchAttributes(ctx, temporal, s.Namespace)
	d.open, err = within(ctx, func(ctx context.Context) (map[string]workflows.OpenCount, error) {
		return workflows.CountOpenImports(ctx, temporal)
	})
	if err != nil {
		d.fix("counting the open imports: %v", err)
	}
	d.checkPollers(ctx, temporal, d.taskQueue, "")
	left := d.leftBehind()
	for _, queue := range slices.Sorted(maps.Keys(left)) {
		d.checkPollers(ctx, temporal, queue, fmt.Sprintf(" until its %s ended", english.Plural(left[queue], "open import has", "open imports have")))
	}
	d.checkAttention()
}

// checkAttention hints at open imports that need attention.
func (d *doctor) checkAttention() {
	all, kinds := 0, map[string]int{}
	for _, count := range d.open {
		for kind, n := range count.NeedAttention {
			if all += n; n > 0 {
				kinds[kind] += n
			}
		}
	}
	var texts []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		texts = append(texts, fmt.Sprintf("%s %d", kind, kinds[kind]))
	}
	switch {
	case all == 1:
		d.line("hint", "1 open import needs attention: %s (starter list --needs-attention)", texts[0])
	case all > 1:
		d.line("hint", "%d open imports need attention: %s (starter list --needs-attention)", all, strings.Join(texts, ", "))
	}
}

// throughProxy names the proxy that gRPC uses, chosen as net/http does for https; "" for
// none.
func throughProxy(hostPort string) string {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: hostPort}})
	if proxy == nil || err != nil {
		return ""
	}
	return ", through the proxy " + proxy.Host + " of HTTPS_PROXY"
}

// within calls do with the timeout of one check.
func within[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	result, err := do(ctx)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("no answer within %s: %w", checkTimeout, err)
	}
	return result, err
}

// checkSignal signals a workflow that does not exist: a caller with permission gets "not
// found".
func (d *doctor) checkSignal(ctx context.Context, temporal client.Client, namespace string) {
	id := "scrapehaul-doctor-" + rand.Text()
	_, err := within(ctx, func(ctx context.Context) (any, error) {
		return nil, temporal.SignalWorkflow(ctx, id, "", workflows.NotificationSignal, nil)
	})
	if isNotFound(err) {
		d.ok("workflows in namespace %s can be signaled", namespace)
		return
	}
	d.fix("signaling workflows in namespace %s: %v: give TEMPORAL_API_KEY or the certificate write access to it", namespace, err)
}

// maxPoll is Temporal's limit for a poll, 60 seconds, and a margin. Temporal lists each
// worker that polled within five minutes; a live one has started or ended a poll within
// this time.
const maxPoll = 70 * time.Second

// leftBehind returns the number of open imports on each other task queue.
func (d *doctor) leftBehind() map[string]int {
	queues := map[string]int{}
	for _, count := range d.open {
		for queue, n := range count.ByTaskQueue {
			if queue != d.taskQueue {
				queues[queue] += n
			}
		}
	}
	return queues
}

// checkPollers checks for workers on the task queues that imports on taskQueue need; until
// says how long they need them. Only a worker with room for a download polls the downloads
// queue.
func (d *doctor) checkPollers(ctx context.Context, temporal client.Client, taskQueue, until string) {
	running, keep := false, ""
	if until != "" {
		keep = "; keep one" + until
	}
	for _, each := range []struct {
		queue string
		kind  enumspb.TaskQueueType
	}{
		{taskQueue, enumspb.TASK_QUEUE_TYPE_WORKFLOW},
		{taskQueue, enumspb.TASK_QUEUE_TYPE_ACTIVITY},
		{workflows.DownloadTaskQueue(taskQueue), enumspb.TASK_QUEUE_TYPE_ACTIVITY},
	} {
		kind := strings.ToLower(each.kind.String())
		described, err := within(ctx, func(ctx context.Context) (*workflowservice.DescribeTaskQueueResponse, error) {
			return temporal.DescribeTaskQueue(ctx, each.queue, each.kind)
		})
		switch live := d.live(described.GetPollers()); {
		case err != nil:
			d.fix("asking for workers on task queue %s for %s tasks: %v", each.queue, kind, err)
		case live == 0 && running:
			d.line("hint", "no worker polls task queue %s for %s tasks: all slots of the running workers (MAX_CONCURRENT_IMPORTS) are in use, or they have just lost Temporal", each.queue, kind)
		case live == 0:
			d.fix("no worker polls task queue %s for %s tasks: start one (worker run), with TASK_QUEUE=%s", each.queue, kind, taskQueue+until)
		default:
			d.ok("workers that polled task queue %s for %s tasks in the last %.0f seconds: %d%s", each.queue, kind, d.maxPoll().Seconds(), live, keep)
			running = each.kind == enumspb.TASK_QUEUE_TYPE_ACTIVITY
		}
	}
}

// live counts the workers that polled recently. A worker keeps its identity across
// restarts.
func (d *doctor) live(pollers []*taskqueuepb.PollerInfo) (n int) {
	since := time.Now().Add(-d.maxPoll())
	for _, poller := range pollers {
		if poller.GetLastAccessTime().AsTime().After(since) {
			n++
		}
	}
	return n
}

func (d *doctor) maxPoll() time.Duration { return cmp.Or(d.settings.maxPoll, maxPoll) }

func (d *doctor) given() given {
	return givenBy(d.settings.importFlags, d.settings.filterFlags, d.settings.scheduleFlags)
}

// checkSchedule compares the schedule's settings with those given to the doctor.
func (d *doctor) checkSchedule(ctx context.Context, temporal client.Client, namespace string) {
	const id = workflows.ReconcileScheduleID
	d.taskQueue = d.settings.importFlags.taskQueue()
	there, err := within(ctx, func(ctx context.Context) (*workflows.Installation, error) {
		return workflows.ReadInstallation(ctx, temporal, namespace)
	})
	switch {
	case err != nil:
		d.fix("reading the import settings: %v", err)
		return
	case there == nil:
		d.fix("the schedule %s does not exist: run starter setup with the installation's settings; without any, it imports every job of the account and deletes it in the cloud 24 hours later (RECONCILE_EVERY=0 and HOLD_BEFORE_DELETE=never do neither)", id)
		return
	case there.PausedBecause != nil:
		d.fix("the schedule %s is paused (%s): temporal schedule toggle --unpause -s %s", id, *there.PausedBecause, id)
	case there.Every == 0:
		d.ok("the schedule %s exists and is paused, as RECONCILE_EVERY is 0", id)
	default:
		d.ok("the schedule %s runs every %s", id, there.Every)
	}
	if d.settings.TaskQueue == nil {
		d.taskQueue = there.TaskQueue
	}
	d.compareSettings(*there)
}

func (d *doctor) compareSettings(there workflows.Installation) {
	const id = workflows.ReconcileScheduleID
	changes := d.given().apply(&there)
	for _, each := range changes {
		if each.name == "TASK_QUEUE" {
			d.fix("TASK_QUEUE is %s here, but %s in the schedule %s: remove it from this environment, or, to move the installation there, run starter setup --move-task-queue",
				each.to, each.from, id)
			continue
		}
		d.fix("%s is %s here, but %s in the schedule %s: run starter setup here to apply it, or remove it from this environment",
			each.name, each.to, each.from, id)
	}
	if len(changes) == 0 {
		d.ok("the import settings in the schedule %s match those given here", id)
	}
}

// checkSearchAttributes only hints: imports work without them.
func (d *doctor) checkSearchAttributes(ctx context.Context, temporal client.Client, namespace string) {
	missing, err := within(ctx, func(ctx context.Context) ([]string, error) {
		return workflows.MissingSearchAttributes(ctx, temporal, namespace)
	})
	if err != nil {
		d.line("hint", "listing the search attributes of namespace %s: %v", namespace, err)
		return
	}
	if len(missing) > 0 {
		d.line("hint", "search attributes not registered as Keyword: %s: to find imports by them in Temporal, run starter setup, which also writes the schedule", strings.Join(missing, ", "))
		return
	}
	d.ok("the search attributes are registered")
}
