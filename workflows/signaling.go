package workflows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"
)

// signalWithin is the timeout of one signal: the others wait for it.
const signalWithin = 20 * time.Second

// signaling is the heartbeat of an activity that signals the workflows of many scraping
// jobs: its progress, for the next attempt.
type signaling struct {
	// Through is the highest scraping job tried so far; they are tried in order.
	Through int64 `json:"through"`
	Sent    int   `json:"sent"`
	// Failed are the jobs to be retried.
	Failed []int64 `json:"failed,omitempty"`
	// Refused has the reasons of those that are not retried.
	Refused []string `json:"refused,omitempty"`
}

// resumeSignaling returns the progress of the previous attempt.
func resumeSignaling(ctx context.Context) *signaling {
	var s signaling
	if err := activity.GetHeartbeatDetails(ctx, &s); err != nil {
		return &signaling{} // none, or from another version: repeated signals do no harm
	}
	return &s
}

// each calls send for each job that no earlier attempt has tried, then again for those
// that failed in one. send returns an error only if a retry can help. failures are those of
// this attempt; err is set if it was interrupted.
func (s *signaling) each(ctx context.Context, jobs []int64, send func(ctx context.Context, job int64) (sent bool, err error)) (failures []error, err error) {
	slices.Sort(jobs)
	jobs = slices.DeleteFunc(jobs, func(job int64) bool { return job <= s.Through })
	for _, job := range slices.Concat(jobs, s.Failed) {
		select {
		case <-activity.GetWorkerStopChannel(ctx):
			return nil, errors.New("the worker is stopping; another one continues")
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

// refusals returns the reasons of the jobs that are not retried, after an attempt with these
// failures: after the last one, they are reasons, too.
func (s *signaling) refusals(ctx context.Context, failures []error) ([]string, error) {
	if len(failures) > 0 && activity.GetInfo(ctx).Attempt < stepAttempts {
		return nil, fmt.Errorf("%d signals failed and will be retried; the first: %w", len(failures), failures[0])
	}
	for _, failure := range failures {
		s.Refused = append(s.Refused, failure.Error())
	}
	return s.Refused, nil
}
