package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
)

// workerCounts are the numbers of workers that share one task queue.
var workerCounts = []int{1, 2, 4}

// measureScale imports the same number of jobs, all notified at the same time, with more and
// more workers, each of them a process with a spool of its own. Everything is on
// one machine: the servers and the fake cloud take their part of its
// cores, so that more workers are faster only as long as there are cores left.
func measureScale(ctx context.Context, s *stage, r *result) error {
	sys, err := s.system(ctx, lifted, noReconciliation)
	if err != nil {
		return err
	}
	t := r.table(fmt.Sprintf("scale: %s jobs of %s records notified at the same time, one task queue; medians, rounds: %d"+limitIsLifted,
		thousands(float64(s.ScaleJobs)), thousands(float64(s.ScaleRecords)), s.Rounds),
		"workers", "seconds", "jobs/minute", "records/s", "against one", "jobs of each", "peak memory of one")
	all, alone := figures{}, 0.0
	for _, n := range workerCounts {
		measured, err := s.medians(func(int) (figures, error) { return sys.importByFleet(ctx, n) })
		if err != nil {
			return fmt.Errorf("%d workers: %w", n, err)
		}
		for name, value := range measured {
			all[name] += value
		}
		key, took := fmt.Sprintf("workers_%d.", n), measured["published_s"]
		if n == 1 {
			alone = took
		}
		var shares []string
		for i := range n {
			shares = append(shares, fmt.Sprintf("%.0f %%", measured.perJob(fmt.Sprintf("imports_of_worker_%d", i+1))*100))
		}
		r.set(key+"busiest_share", measured.perJob("imports_of_worker_1"))
		t.row(strconv.Itoa(n), r.figure(key+"seconds", "%.1f", took), r.count(key+"jobs_per_minute", measured["jobs"]/took*60),
			r.count(key+"records_per_second", measured["jobs"]*measured["records"]/took), r.figure(key+"vs_one_worker", "%.2f ×", alone/took),
			strings.Join(shares, ", "), r.setPeakRSS(key+"worker_rss_mib", measured["worker_rss_mib"]))
	}
	r.costs(all, s.ScaleRecords)
	if err := sys.measureFairness(ctx, r); err != nil {
		return fmt.Errorf("fairness: %w", err)
	}
	return nil
}

// importByFleet imports the jobs with n workers, which it starts and stops.
func (s *system) importByFleet(ctx context.Context, n int) (figures, error) {
	if err := emptyTables(ctx, s.DB); err != nil {
		return nil, err
	}
	s.workers = nil
	for i := range n {
		if _, err := s.startWorker(filepath.Join(s.dir, fmt.Sprintf("spool-%d", i+1))); err != nil {
			return nil, err
		}
	}
	f, err := s.importJobs(ctx, s.ScaleJobs, s.ScaleRecords)
	if err != nil {
		return nil, err
	}
	var stops []error
	for _, worker := range s.workers {
		f["worker_rss_mib"] = max(f["worker_rss_mib"], childprocess.PeakRSS(worker.PID()))
		stops = append(stops, worker.Stop())
	}
	return f, errors.Join(stops...)
}

// costs reports what jobs have cost, with any number of workers.
func (r *result) costs(all figures, records int) {
	t := r.table(fmt.Sprintf("scale: what a job of %s records costs, on average over %s", thousands(float64(records)), thousands(all["jobs"])),
		"", "a job", "a record")
	for _, cost := range []struct {
		key, title string
		perRecord  bool
	}{
		{"history_events", "history events", false},
		{"history_bytes", "bytes of history", false},
		{"state_transitions", "state transitions of Temporal", false},
		{"api_calls", "API calls", false},
		{"api_bytes", "bytes from the API, not compressed", true},
		{"wal_bytes", "bytes of WAL", true},
		{"worker_cpu_ms", "milliseconds of a worker's CPU", true},
		{"postgresql_cpu_ms", "milliseconds of PostgreSQL's CPU", true},
	} {
		perJob, perRecord := all.perJob(cost.key), ""
		if perJob == 0 {
			t.row(cost.title, r.notMeasured("job."+cost.key, "only Linux reports the CPU time of processes, and only of those on this machine"))
			continue
		}
		if cost.perRecord {
			perRecord = strconv.FormatFloat(perJob/float64(records), 'g', 4, 64)
		}
		digits := r.count("job."+cost.key, perJob)
		if perJob < 10 {
			digits = fmt.Sprintf("%.1f", perJob)
		}
		t.row(cost.title, digits, perRecord)
	}
}
