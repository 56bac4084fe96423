package workflows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"
)

// signalWithin is how long one workflow may keep the others waiting.
const signalWithin = 20 * time.Second

// signalling is the heartbeat of an activity that signals to the workflows of many
// scraping jobs: how far it has come, for the attempt after it.
type signalling struct {
	// Through is the highest scraping job that was tried; they are in order.
	Through int64 `json:"through"`
	Sent    int   `json:"sent"`
	// Failed are those that are tried again.
	Failed []int64 `json:"failed,omitempty"`
	// Refused says why of those that are not.
	Refused []string `json:"refused,omitempty"`
}

// resumeSignalling has what the attempt before has come to.
func resumeSignalling(ctx context.Context) *signalling {
	var s signalling
	if err := activity.GetHeartbeatDetails(ctx, &s); err != nil {
		return &signalling{} // there is none, or of another version: signals that come twice do no harm
	}
	return &s
}

// each sends to each of the jobs that no earlier attempt has sent to, and then once
// more to those that have failed in one. send returns an error only if trying again
// can help. failures are those of this attempt; err is set when it was interrupted.
func (s *signalling) each(ctx context.Context, jobs []int64, send func(ctx context.Context, job int64) (sent bool, err error)) (failures []error, err error) {
	slices.Sort(jobs)
	jobs = slices.DeleteFunc(jobs, func(job int64) bool { return job <= s.Through })
	for _, job := range slices.Concat(jobs, s.Failed) {
		select {
		case <-activity.GetWorkerStopChannel(ctx):
			return nil, errors.New("the worker stops: another one goes on")
		default:
		}
		sending, cancel := context.WithTimeout(ctx, signalWithin)
		sent, err := send(sending, job)
		cancel()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		s.Through = max(s.Through, job)
		s.Failed = slices.DeleteFunc(s.Failed, func(failed int64) bool { return failed == job })
		if sent {
			s.Sent++
		}
		if err != nil {
			s.Failed = append(s.Failed, job)
			failures = append(failures, err)
		}
		activity.RecordHeartbeat(ctx, s)
	}
	return failures, nil
}

// someFailed is the error of an attempt in which some have failed.
func someFailed(failures []error) error {
	if len(failures) == 0 {
		return nil
	}
	return fmt.Errorf("%d signals have failed, and are sent again; the first: %w", len(failures), failures[0])
}
