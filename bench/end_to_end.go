package main

import (
	"context"
	"fmt"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/networkproxy"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalcost"
)

const (
	smallJobRecords = 100
	// largeJobTimes the records of the other parts make the large job.
	largeJobTimes = 5
	// countedJobs are small jobs whose Actions and API calls are counted.
	countedJobs = 40
)

// measureEndToEnd takes the time from the first notification until the last
// job is published, with one worker and one starter as they are in production.
func measureEndToEnd(ctx context.Context, s *stage, r *result) error {
	t := r.table(fmt.Sprintf("end-to-end: from the notification until the records are published; small jobs have %d; medians, rounds: %d"+limitIsLifted,
		smallJobRecords, s.Rounds), "jobs", "seconds", "jobs/minute", "records/s", "CPU a job: worker", "PostgreSQL", "Temporal")
	err := s.apart("times", func(s *stage) error {
		sys, err := s.system(ctx, lifted, noReconciliation)
		if err != nil {
			return err
		}
		if _, err := sys.startWorker(sys.spool); err != nil {
			return err
		}
		for _, n := range s.Jobs {
			measured, err := s.medians(func(int) (figures, error) { return sys.importJobs(ctx, n, smallJobRecords) })
			if err != nil {
				return fmt.Errorf("%d small jobs: %w", n, err)
			}
			r.set("jobs_per_minute", float64(n)/measured["published_s"]*60) // the last and usually largest number's
			r.setCPU("", measured)
			r.timeRow(t, fmt.Sprintf("jobs_%d.", n), measured)
		}
		return nil
	})
	if err != nil {
		return err
	}
	sys, err := s.system(ctx, apiLimit{}, noReconciliation)
	if err != nil {
		return err
	}
	proxy, err := temporalcost.NewProxy(sys.Temporal.Client())
	if err != nil {
		return err
	}
	s.OnStop(proxy.Stop)
	network, through, err := networkproxy.Start(sys.Env.DatabaseURL)
	if err != nil {
		return err
	}
	s.OnStop(network.Stop)
	sys.Env.TemporalAddress, sys.Env.DatabaseURL = proxy.Address, through
	worker, err := sys.startWorker(sys.spool)
	if err != nil {
		return err
	}
	costs := r.table("end-to-end: what a job costs",
		"", "history events", "billable actions", "API calls", "calls of Temporal", "round trips to PostgreSQL")
	for _, of := range []struct {
		key           string
		jobs, records int
	}{{"", countedJobs, smallJobRecords}, {"large_job.", 1, s.Records * largeJobTimes}} {
		actions, calls, roundTrips := proxy.Actions(), proxy.Calls(), network.RoundTrips()
		measured, err := sys.importJobs(ctx, of.jobs, of.records)
		if err != nil {
			return fmt.Errorf("counting, with %d records a job: %w", of.records, err)
		}
		measured["actions"] += float64(proxy.Actions() - actions)
		measured["temporal_calls"], measured["round_trips"] = float64(proxy.Calls()-calls), float64(network.RoundTrips()-roundTrips)
		costs.row(fmt.Sprintf("a job of %s records, %d at a time", thousands(measured["records"]), of.jobs),
			r.figure(of.key+"history_events", "%.1f", measured.perJob("history_events")),
			r.figure(of.key+"actions", "%.1f", measured.perJob("actions")),
			r.figure(of.key+"api_calls", "%.1f", measured.perJob("api_calls")),
			r.figure(of.key+"temporal_calls", "%.1f", measured.perJob("temporal_calls")),
			r.figure(of.key+"postgresql_round_trips", "%.1f", measured.perJob("round_trips")))
		if of.jobs == 1 {
			r.set(of.key+"records", measured["records"])
			r.timeRow(t, of.key, measured)
		}
	}
	costs.row("the worker's peak memory: " + r.setPeakRSS("large_job.worker_rss_mib", childprocess.PeakRSS(worker.PID())))
	return nil
}

// timeRow adds how long jobs took. Keys of the JSON start with prefix.
func (r *result) timeRow(t *table, prefix string, f figures) {
	t.row(append([]string{
		fmt.Sprintf("%s of %s records", thousands(f["jobs"]), thousands(f["records"])), r.figure(prefix+"seconds", "%.2f", f["published_s"]),
		r.count(prefix+"jobs_per_minute", f["jobs"]/f["published_s"]*60), r.count(prefix+"records_per_second", f["jobs"]*f["records"]/f["published_s"]),
	}, r.setCPU(prefix, f)...)...)
}

// setCPU keeps the milliseconds of CPU time that a job has cost, until its end, and
// returns the table's cells.
func (r *result) setCPU(prefix string, f figures) (cells []string) {
	for _, of := range []string{"worker", "postgresql", "temporal"} {
		key := of + "_cpu_ms"
		if f[key] == 0 {
			cells = append(cells, r.notMeasured(prefix+key, "only Linux reports the CPU time of processes"))
			continue
		}
		cells = append(cells, r.figure(prefix+key, "%.1f ms", f.perJob(key)))
	}
	return cells
}
