package main

import (
	"context"
	"errors"
	"fmt"
)

// fairJobRecords is how many records each of the small jobs has that come while
// a large one is imported.
const fairJobRecords = 1000

// measureFairness takes the time until small jobs are published that finish just
// after the import of a large one has started, by one worker with its default
// settings, and until they are published without the large one.
func (s *system) measureFairness(ctx context.Context, r *result) error {
	worker, err := s.startWorker(s.spool)
	if err != nil {
		return err
	}
	measured, err := s.medians(func(int) (figures, error) { return s.fairnessOnce(ctx) })
	if err != nil {
		return err
	}
	t := r.table(fmt.Sprintf("scale: %d jobs of %s records notified once the import of a job of %s has started, one worker; medians, rounds: %d"+limitIsLifted,
		s.FairJobs, thousands(fairJobRecords), thousands(float64(s.Records*largeJobTimes)), s.Rounds),
		"seconds until it is published", "without the large job", "with it", "ratio")
	for _, row := range []struct{ key, title string }{{"median", "the median small job"}, {"last", "the last small job"}} {
		alone, during := measured[row.key+"_seconds_alone"], measured[row.key+"_seconds"]
		t.row(row.title, fmt.Sprintf("%.2f", alone), fmt.Sprintf("%.2f", during), r.figure("fair."+row.key+"_vs_alone", "%.2f ×", during/alone))
	}
	t.row("the large job", "", fmt.Sprintf("%.2f", measured["large_seconds"]))
	t.row("committed of it when the last small job was deleted", "", fmt.Sprintf("%.0f %%", measured["large_done"]*100))
	r.setAll("fair.", measured)
	return worker.Stop()
}

// fairnessOnce imports the small jobs, and then a large one and as many small ones
// with it.
func (s *system) fairnessOnce(ctx context.Context) (figures, error) {
	if err := emptyTables(ctx, s.DB); err != nil {
		return nil, err
	}
	alone, err := s.importJobs(ctx, s.FairJobs, fairJobRecords)
	if err != nil {
		return nil, fmt.Errorf("alone: %w", err)
	}
	if err := emptyTables(ctx, s.DB); err != nil {
		return nil, err
	}
	large, err := s.begin(ctx, 1, s.Records*largeJobTimes)
	if err != nil {
		return nil, err
	}
	if _, err := s.waitForRecords(ctx, large.ids[0], 1); err != nil {
		return nil, err
	}
	small, err := s.begin(ctx, s.FairJobs, fairJobRecords)
	if err != nil {
		return nil, err
	}
	if err := s.waitForEnds(ctx, small); err != nil {
		return nil, fmt.Errorf("with the large one: %w", err)
	}
	committed, err := s.waitForRecords(ctx, large.ids[0], 0)
	if err != nil {
		return nil, err
	}
	done := committed / float64(large.records)
	if done >= 1 {
		return nil, errors.New("the large job had ended before the last small one: let it have more --records")
	}
	during, err := s.finish(ctx, small)
	if err != nil {
		return nil, fmt.Errorf("with the large one: %w", err)
	}
	took, err := s.finish(ctx, large)
	return figures{
		"median_seconds_alone": alone["published_median_s"], "last_seconds_alone": alone["published_s"],
		"median_seconds": during["published_median_s"], "last_seconds": during["published_s"],
		"large_done": done, "large_seconds": took["published_s"],
	}, err
}
