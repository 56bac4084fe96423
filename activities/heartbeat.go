package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Progress is the heartbeat of the activities that take long.
type Progress struct {
	// Waiting is set while the worker has no slot free for this step.
	Waiting bool  `json:"waiting,omitempty"`
	Bytes   int64 `json:"bytes"`
	OfBytes int64 `json:"of_bytes,omitempty"`
	sink.Counts
	// OfRecords is how many records the job has by its own account.
	OfRecords int64 `json:"of_records,omitempty"`
	// Removed counts the records of replaced imports that are gone.
	Removed int64 `json:"removed,omitempty"`
	// Archived counts the bytes of the file that the archive has taken.
	Archived int64 `json:"archived,omitempty"`
	// Partial names the spool file that holds the beginning of a download, and
	// Validator the content it is the beginning of. Without them the next
	// attempt begins anew.
	Partial   string `json:"partial,omitempty"`
	Validator string `json:"validator,omitempty"`
	// Compressed is set when a download was asked for compressed.
	Compressed bool `json:"compressed,omitempty"`
	// WorkerTaskQueue is that of the worker with a download's file.
	WorkerTaskQueue string `json:"worker_task_queue,omitempty"`
	// Sent is set when the creation of a scraping job may have been sent.
	Sent bool `json:"sent,omitempty"`
}

// lastProgress is what earlier attempts have told last; the zero value if they
// have told nothing.
func lastProgress(ctx context.Context) Progress {
	var last Progress
	if err := activity.GetHeartbeatDetails(ctx, &last); err != nil {
		return Progress{}
	}
	return last
}

// nothingToTell is the progress of the API's small calls: their heartbeats only
// say that the worker lives.
func nothingToTell() Progress { return Progress{} }

// keepHeartbeating sends progress as heartbeat several times within the
// heartbeat timeout, also while nothing moves, until it is stopped. It is for
// steps that notice by themselves when they hang.
//
// ctx has to be the activity's own, or that of endWhenSilent: the SDK sends a
// heartbeat later than it was recorded, with the context it was recorded with, and
// if that has ended in the meantime, it cancels the activity.
func keepHeartbeating(ctx context.Context, progress func() Progress) (stop func()) {
	timeout := activity.GetInfo(ctx).HeartbeatTimeout
	if timeout <= 0 {
		return func() {}
	}
	stopped := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(timeout / 4)
		defer ticker.Stop()
		for {
			select {
			case <-stopped:
				return
			case <-ctx.Done():
				return
			case <-ticker.C:
				recordHeartbeat(ctx, progress())
			}
		}
	})
	return func() {
		close(stopped)
		running.Wait()
	}
}

// silence is over an attempt: Temporal gives up one that does not heartbeat, and
// then it has to end, or it would hold its slot and its locks for as long as it hangs.
type silence struct {
	of    context.Context //nolint:containedctx // the activity's own
	after time.Duration
	timer *time.Timer
}

type silenceKey struct{}

// endWhenSilent returns a context that ends when there has been no recordHeartbeat
// with it for almost the heartbeat timeout: what the attempt then says is known
// before Temporal ends it without a word. stop adds that to the attempt's error.
func endWhenSilent(ctx context.Context) (watched context.Context, stop func(error) error) {
	timeout := activity.GetInfo(ctx).HeartbeatTimeout
	if timeout <= 0 {
		return ctx, func(err error) error { return err }
	}
	watched, cancel := context.WithCancelCause(ctx)
	silent := fmt.Errorf("no progress for %s (HEARTBEAT_TIMEOUT)", timeout)
	s := &silence{of: ctx, after: timeout * 9 / 10}
	s.timer = time.AfterFunc(s.after, func() { cancel(silent) })
	return context.WithValue(watched, silenceKey{}, s), func(err error) error {
		s.timer.Stop()
		if err != nil && errors.Is(context.Cause(watched), silent) {
			err = fmt.Errorf("%w: %w", silent, err)
		}
		cancel(nil)
		return err
	}
}

// recordHeartbeat is activity.RecordHeartbeat, also with a context of endWhenSilent.
func recordHeartbeat(ctx context.Context, progress Progress) {
	if s, ok := ctx.Value(silenceKey{}).(*silence); ok {
		s.timer.Reset(s.after)
		ctx = s.of
	}
	activity.RecordHeartbeat(ctx, progress)
}

// waitForSlot heartbeats while it waits, and repeats what earlier attempts have
// told: the last heartbeat is all that the next one gets. It ends when ctx does,
// or when the worker is asked to stop.
func waitForSlot(ctx context.Context, earlier Progress, take func(context.Context) (func(), error)) (release func(), err error) {
	waiting := earlier
	waiting.Waiting = true
	defer keepHeartbeating(ctx, func() Progress { return waiting })()
	ctx, cancel := cancelOnWorkerStop(ctx)
	defer cancel()
	return take(ctx)
}

// cancelOnWorkerStop returns a context that ends, with errWorkerStopping as its
// cause, as soon as the worker is asked to stop.
func cancelOnWorkerStop(ctx context.Context) (context.Context, context.CancelFunc) {
	stopping := activity.GetWorkerStopChannel(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-stopping:
			cancel(errWorkerStopping)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// untilWorkerStops does what ends with its context, and says when it is the worker's stop
// that has ended it.
func untilWorkerStops(ctx context.Context, do func(context.Context) error) error {
	if workerStopping(ctx) {
		return errWorkerStopping
	}
	ctx, cancel := cancelOnWorkerStop(ctx)
	defer cancel()
	err := do(ctx)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errWorkerStopping) {
		return cause
	}
	return err
}

func workerStopping(ctx context.Context) bool {
	select {
	case <-activity.GetWorkerStopChannel(ctx):
		return true
	default:
		return false
	}
}
