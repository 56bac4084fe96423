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

// Progress is the heartbeat of long-running activities.
type Progress struct {
	// Waiting is set while the worker has no free slot for this step.
	Waiting bool  `json:"waiting,omitempty"`
	Bytes   int64 `json:"bytes"`
	OfBytes int64 `json:"of_bytes,omitempty"`
	sink.Counts
	// OfRecords is how many records the job has, as reported by the API.
	OfRecords int64 `json:"of_records,omitempty"`
	// Removed counts the records of replaced, abandoned and removed imports that
	// RemoveUnneeded has processed.
	Removed int64 `json:"removed,omitempty"`
	// Archived counts the bytes of the file that were written to the archive.
	Archived int64 `json:"archived,omitempty"`
	// Partial names the spool file with the beginning of a download, Validator its
	// content. Without them the next attempt starts over.
	Partial   string `json:"partial,omitempty"`
	Validator string `json:"validator,omitempty"`
	// Compressed is set if a compressed download was requested.
	Compressed bool `json:"compressed,omitempty"`
	// WorkerTaskQueue is the task queue of the worker with a download's file.
	WorkerTaskQueue string `json:"worker_task_queue,omitempty"`
	// Sent is set if the request to create a scraping job may have been sent.
	Sent bool `json:"sent,omitempty"`
}

// lastProgress returns the last heartbeat of earlier attempts, the zero value if there
// is none.
func lastProgress(ctx context.Context) Progress {
	var last Progress
	if err := activity.GetHeartbeatDetails(ctx, &last); err != nil {
		return Progress{}
	}
	return last
}

// noProgress is the progress of small API calls: their heartbeats only show that the
// worker is alive.
func noProgress() Progress { return Progress{} }

// keepHeartbeating sends progress as the heartbeat several times per heartbeat timeout
// until stopped, even if there is no progress. It is for steps that detect by themselves
// that they hang.
//
// ctx must be the activity's own, that of endWhenSilent or one that never ends. The SDK
// sends a heartbeat some time after it was recorded, with the same context, and cancels the
// activity if that context has ended.
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

// silence ends an attempt that sends no heartbeats: Temporal times it out, and it must not
// keep its slot and its locks while it hangs.
type silence struct {
	of    context.Context //nolint:containedctx // the activity's own
	after time.Duration
	timer *time.Timer
}

type silenceKey struct{}

// endWhenSilent returns a context that ends after almost the heartbeat timeout without a
// recordHeartbeat, so that the attempt can report its error before Temporal times it out.
// stop adds the reason to the attempt's error.
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

// recordHeartbeat is activity.RecordHeartbeat that also takes a context of endWhenSilent.
func recordHeartbeat(ctx context.Context, progress Progress) {
	if s, ok := ctx.Value(silenceKey{}).(*silence); ok {
		s.timer.Reset(s.after)
		ctx = s.of
	}
	activity.RecordHeartbeat(ctx, progress)
}

// waitForSlot sends heartbeats while it waits. They repeat the progress of earlier
// attempts, as the next attempt gets only the last heartbeat. It returns an error if ctx
// ends or the worker is asked to stop.
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

// untilWorkerStops runs do with a context that ends when the worker stops, and then
// returns errWorkerStopping.
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
