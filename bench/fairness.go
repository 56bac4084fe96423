package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fairJobRecords is how many records each of the small jobs has that come while
// a large one is imported.
const fairJobRecords = 1000

// measureFairness takes the time until small jobs are published that finish just
// after a large one has begun to be imported, by one worker with its default
// settings, and until they are published without the large one.
func (s *system) measureFairness(ctx context.Context, r *result) error {
	worker, err := s.startWorker(s.temporal.HostPort)
	if err != nil {
		return err
	}
	// seconds of the median and of the last small job, by round.
	var medianAlone, lastAlone, medianBeside, lastBeside []float64
	var largeDone, largeSeconds []float64
	for round := range s.Rounds {
		alone, err := s.smallJobsAlone(ctx)
		if err != nil {
			return fmt.Errorf("alone: %w", err)
		}
		beside, large, err := s.smallJobsBesideLarge(ctx)
		if err != nil {
			return fmt.Errorf("beside the large one: %w", err)
		}
		s.step(fmt.Sprintf("round %d of %d: %d small jobs are published after %.2f s, beside a large one after %.2f s",
			round+1, s.Rounds, s.FairJobs, alone.last, beside.last))
		medianAlone, lastAlone = append(medianAlone, alone.median), append(lastAlone, alone.last)
		medianBeside, lastBeside = append(medianBeside, beside.median), append(lastBeside, beside.last)
		largeDone, largeSeconds = append(largeDone, large.done), append(largeSeconds, large.seconds)
	}
	t := r.table(fmt.Sprintf("scale: %d jobs of %s records notified when a job of %s has begun to be imported, one worker; medians, rounds: %d"+limitIsLifted,
		s.FairJobs, thousands(fairJobRecords), thousands(float64(s.Records*largeJobTimes)), s.Rounds),
		"seconds until it is published", "without the large job", "beside it", "ratio")
	for _, row := range []struct {
		key, title    string
		alone, beside []float64
	}{
		{"median", "the median small job", medianAlone, medianBeside},
		{"last", "the last small job", lastAlone, lastBeside},
	} {
		alone, beside := median(row.alone), median(row.beside)
		t.row(row.title, fmt.Sprintf("%.2f", alone), fmt.Sprintf("%.2f", beside), fmt.Sprintf("%.2f ×", beside/alone))
		r.set("fair."+row.key+"_seconds_alone", alone)
		r.set("fair."+row.key+"_seconds", beside)
		r.set("fair."+row.key+"_vs_alone", beside/alone)
	}
	t.row("the large job", "", fmt.Sprintf("%.2f", median(largeSeconds)))
	t.row("committed of it when the last small job was", "", fmt.Sprintf("%.0f %%", median(largeDone)*100))
	r.set("fair.large_seconds", median(largeSeconds))
	r.set("fair.large_done", median(largeDone))
	return worker.Stop()
}

// published says after how many seconds the median and the last of some jobs
// were published.
type published struct{ median, last float64 }

func (s *system) smallJobsAlone(ctx context.Context) (published, error) {
	if err := emptyTables(ctx, s.db); err != nil {
		return published{}, err
	}
	return s.importSmallJobs(ctx, func() error { return nil })
}

// largeJob is how the large job fared.
type largeJob struct {
	done    float64 // the part of its records that were committed when the last small job was published
	seconds float64 // from its notification until it is published
}

func (s *system) smallJobsBesideLarge(ctx context.Context) (small published, large largeJob, err error) {
	if err := emptyTables(ctx, s.db); err != nil {
		return small, large, err
	}
	records := s.Records * largeJobTimes
	id := s.addJobs(1, records)
	begun := time.Now()
	if err := s.notify(ctx, id[0]); err != nil {
		return small, large, err
	}
	if _, err := s.waitForRecords(ctx, id[0], 1); err != nil {
		return small, large, err
	}
	small, err = s.importSmallJobs(ctx, func() error {
		committed, err := s.waitForRecords(ctx, id[0], 0)
		large.done = committed / float64(records)
		if err == nil && large.done >= 1 {
			err = errors.New("the large job had ended before the last small one was published: let it have more --records")
		}
		return err
	})
	if err != nil {
		return small, large, err
	}
	if err := s.waitForPublished(ctx, id, 1); err != nil {
		return small, large, err
	}
	large.seconds = time.Since(begun).Seconds()
	if err := s.waitForDeleted(ctx, id, records); err != nil {
		return small, large, err
	}
	return small, large, s.checkOnce(ctx, id, records)
}

// importSmallJobs calls atLast when the last of them is published.
func (s *system) importSmallJobs(ctx context.Context, atLast func() error) (small published, err error) {
	ids := s.addJobs(s.FairJobs, fairJobRecords)
	begun := time.Now()
	if err := s.notifyAll(ctx, ids); err != nil {
		return small, err
	}
	if err := s.waitForPublished(ctx, ids, (len(ids)+1)/2); err != nil {
		return small, err
	}
	small.median = time.Since(begun).Seconds()
	if err := s.waitForPublished(ctx, ids, len(ids)); err != nil {
		return small, err
	}
	small.last = time.Since(begun).Seconds()
	if err := atLast(); err != nil {
		return small, err
	}
	if err := s.waitForDeleted(ctx, ids, fairJobRecords); err != nil {
		return small, err
	}
	return small, s.checkOnce(ctx, ids, fairJobRecords)
}
