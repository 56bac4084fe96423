package workflows

import (
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/sink"
)

// maxBeginnings bounds how often an import begins again because a worker, its
// file or the job went away.
const maxBeginnings = 10

// Limits for the longest jobs; what hangs is found by the heartbeats.
const (
	downloadTimeout = 12 * time.Hour
	importTimeout   = 24 * time.Hour
)

// attempts are made with growing waits between them, of a minute at most. One that
// panics, as Go's nil pointers do, would do so again.
func attempts(most int32) *temporal.RetryPolicy {
	return &temporal.RetryPolicy{MaximumInterval: time.Minute, MaximumAttempts: most, NonRetryableErrorTypes: []string{"PanicError"}}
}

// cloudCall is for the small calls of the API. With the waits between them,
// the attempts last for about an hour of trouble; one that meets the rate limit
// waits for as long as the API says. Waiting for its turn has no limit: however
// many jobs finish at once, each has its turn.
func (s *settings) cloudCall(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    s.heartbeatTimeout,
		Summary:             summary,
		RetryPolicy:         attempts(60),
	})
}

// cloudDownload is a cloudCall that downloads too, which takes longer, on a worker
// that has room; what a person has asked for goes first. A cancelled import waits for
// its end: only the activity knows where the file is.
func (s *settings) cloudDownload(ctx workflow.Context, summary string, byHand bool) workflow.Context {
	ctx = workflow.WithTaskQueue(s.cloudCall(ctx, summary), DownloadTaskQueue(workflow.GetInfo(ctx).TaskQueueName))
	if byHand {
		ctx = workflow.WithPriority(ctx, temporal.Priority{PriorityKey: 1})
	}
	return workflow.WithWaitForCancellation(workflow.WithStartToCloseTimeout(ctx, downloadTimeout), true)
}

// turns is the priority of what is an account's: accounts take turns, where Temporal has
// fairness enabled. All tasks of a workflow, and of its children, inherit it.
func turns(account string) (priority temporal.Priority) {
	if sink.IsNamed(account) {
		priority.FairnessKey = account
	}
	return priority
}

// onWorker is for the steps that need the worker with the file: they wait on
// its own task queue, and not for ever.
func (w *importScrapingJob) onWorker(ctx workflow.Context, taskQueue string, startToClose time.Duration, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              taskQueue,
		ScheduleToStartTimeout: w.settings.workerGoneAfter,
		StartToCloseTimeout:    startToClose,
		HeartbeatTimeout:       w.settings.heartbeatTimeout,
		Summary:                summary,
		RetryPolicy:            attempts(40),
	})
}

// removal is for the file's removal, which also happens after a cancellation. A
// worker that is gone has taken its disk along.
func (w *importScrapingJob) removal(ctx workflow.Context, taskQueue string) workflow.Context {
	ctx = w.onWorker(ctx, taskQueue, time.Minute, "remove the downloaded file")
	return workflow.WithRetryPolicy(workflow.WithHeartbeatTimeout(ctx, 0), *attempts(10))
}

// mayBeginAgain reports whether the import can go on with another download,
// perhaps on another worker, after this error.
func mayBeginAgain(err error) bool {
	if timeout, ok := errors.AsType[*temporal.TimeoutError](err); ok {
		return timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START
	}
	failure, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok {
		return false
	}
	switch failure.Type() {
	case activities.ErrorFileGone, activities.ErrorJobGone, activities.ErrorSuperseded:
		return true
	case activities.ErrorDiskFull:
		return failure.NonRetryable() // of the one worker with the beginning; otherwise all have been tried for an hour
	}
	return false
}
