package workflows

import (
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/scrapehaul/scrapehaul/activities"
)

// maxStarts limits how often a round starts over because a worker, its file or the job
// went away.
const maxStarts = 10

// Limits for the longest jobs; heartbeats detect hanging ones.
const (
	downloadTimeout = 12 * time.Hour
	importTimeout   = 24 * time.Hour
)

// maxRetryInterval bounds Temporal's intervals of 1, 2, 4, … seconds.
const maxRetryInterval = time.Minute

// attempts returns a retry policy with growing intervals of up to a minute. Panics are not
// retried: they would recur.
func attempts(most int32) *temporal.RetryPolicy {
	return &temporal.RetryPolicy{MaximumInterval: maxRetryInterval, MaximumAttempts: most, NonRetryableErrorTypes: []string{"PanicError"}}
}

// RetriesEndAt returns when the last of most attempts starts if the given one starts at next
// and all fail immediately.
func RetriesEndAt(next time.Time, attempt, most int32) time.Time {
	for ; attempt < most; attempt++ {
		next = next.Add(min(time.Second<<min(attempt-1, 6), maxRetryInterval))
	}
	return next
}

// cloudCall returns options for short API calls. The attempts span about an hour; one that
// hits the rate limit waits as long as the API says. Waiting for a turn has no limit: however
// many jobs finish together, each gets one.
func (s *settings) cloudCall(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		HeartbeatTimeout:    s.heartbeatTimeout,
		Summary:             summary,
		RetryPolicy:         attempts(60),
	})
}

// cloudDownload returns options for a cloudCall that also downloads, on a worker that has
// room; manual requests go first. A canceled import waits for the activity, because only
// that knows where the file is.
func (s *settings) cloudDownload(ctx workflow.Context, summary string, manual bool) workflow.Context {
	ctx = workflow.WithTaskQueue(s.cloudCall(ctx, summary), DownloadTaskQueue(workflow.GetInfo(ctx).TaskQueueName))
	if manual {
		ctx = workflow.WithPriority(ctx, temporal.Priority{PriorityKey: 1})
	}
	return workflow.WithWaitForCancellation(workflow.WithStartToCloseTimeout(ctx, downloadTimeout), true)
}

// onWorker returns options for steps that need the worker with the file: they wait on its
// own task queue, for a limited time.
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

// removal returns options for removing the file.
func (w *importScrapingJob) removal(ctx workflow.Context, taskQueue string) workflow.Context {
	ctx = w.onWorker(ctx, taskQueue, time.Minute, "remove the downloaded file")
	return workflow.WithRetryPolicy(workflow.WithHeartbeatTimeout(ctx, 0), *attempts(10))
}

// mayRestart reports whether the import can continue after this error with another
// download, perhaps on another worker.
func mayRestart(err error) bool {
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
		return failure.NonRetryable() // on the one worker that has part of the file; else all workers failed for an hour
	}
	return false
}
