package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
)

// Progress is the heartbeat of the activities that take long.
type Progress struct {
	// Waiting is set while the worker has no slot free for this step.
	Waiting  bool  `json:"waiting,omitempty"`
	Bytes    int64 `json:"bytes"`
	OfBytes  int64 `json:"of_bytes,omitempty"`
	Records  int64 `json:"records,omitempty"`
	Rejected int64 `json:"rejected,omitempty"`
	// Removed counts the records of replaced imports that are gone.
	Removed int64 `json:"removed,omitempty"`
}

// keepHeartbeating sends progress as heartbeat several times within the
// heartbeat timeout, also while nothing moves, until it is stopped. It is for
// steps that notice by themselves when they hang.
func keepHeartbeating(ctx context.Context, progress func() Progress) (stop func()) {
	timeout := activity.GetInfo(ctx).HeartbeatTimeout
	if timeout <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(timeout / 4)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				activity.RecordHeartbeat(ctx, progress())
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// waitForSlot heartbeats while it waits. It ends when ctx does, or when the
// worker is asked to stop.
func waitForSlot(ctx context.Context, take func(context.Context) (func(), error)) (release func(), err error) {
	ctx, cancel := cancelOnWorkerStop(ctx)
	defer cancel()
	defer keepHeartbeating(ctx, func() Progress { return Progress{Waiting: true} })()
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

func workerStopping(ctx context.Context) bool {
	select {
	case <-activity.GetWorkerStopChannel(ctx):
		return true
	default:
		return false
	}
}
