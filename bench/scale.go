package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
)

// workerCounts are the numbers of workers that share one task queue.
var workerCounts = []int{1, 2, 4}

// scalePart imports the same number of jobs, all notified at once, with more and
// more workers, each of them a process with a spool of its own. Everything is on
// one machine: the servers and the stand-in of the cloud take their part of its
// cores, so that more workers are faster only as long as there are cores left.
type scalePart struct {
	*system
	fleets map[int]*fleet // by the number of workers
	costs  jobCosts
}

// fleet is what a number of workers has done, in all rounds.
type fleet struct {
	workers []*childprocess.Process // those that run now
	// jobs are those that each worker has imported, in each round the most first.
	jobs []float64
	// peakRSSMiB is the most memory that one of the workers has had, or 0.
	peakRSSMiB float64
}

func measureScale(ctx context.Context, s *stage, r *result) error {
	sys, err := s.system(ctx, lifted, noReconciliation)
	if err != nil {
		return err
	}
	p := &scalePart{system: sys, fleets: map[int]*fleet{}, costs: jobCosts{total: figures{}}}
	if err := p.measureFleets(ctx, r); err != nil {
		return err
	}
	p.costs.report(p.stage, r)
	if err := sys.measureFairness(ctx, r); err != nil {
		return fmt.Errorf("fairness: %w", err)
	}
	return nil
}

func (p *scalePart) measureFleets(ctx context.Context, r *result) error {
	var contenders []contender
	for _, n := range workerCounts {
		p.fleets[n] = &fleet{jobs: make([]float64, n)}
		contenders = append(contenders, contender{
			name: fleetKey(n), title: fmt.Sprintf("workers: %d", n),
			prepare: func(ctx context.Context) error { return p.startFleet(ctx, n) },
			run:     func(ctx context.Context) (time.Duration, error) { return p.importAll(ctx, n) },
		})
	}
	seconds, err := p.compare(ctx, contenders)
	if err != nil {
		return err
	}
	jobs, records := float64(p.ScaleJobs), float64(p.ScaleRecords)
	t := r.table(fmt.Sprintf("scale: %s jobs of %s records notified at once, one task queue; medians, rounds: %d"+limitIsLifted,
		thousands(jobs), thousands(records), p.Rounds),
		"workers", "seconds", "jobs/minute", "records/s", "against one", "jobs of each", "peak memory of one")
	for _, n := range workerCounts {
		key, fleet, took := fleetKey(n)+".", p.fleets[n], seconds[fleetKey(n)]
		var shares []string
		for _, imported := range fleet.jobs {
			shares = append(shares, fmt.Sprintf("%.0f %%", imported/jobs/float64(p.Rounds)*100))
		}
		r.set(key+"busiest_share", fleet.jobs[0]/jobs/float64(p.Rounds))
		t.row(fmt.Sprint(n), r.figure(key+"seconds", "%.1f", took), r.count(key+"jobs_per_minute", jobs/took*60),
			r.count(key+"records_per_second", jobs*records/took), r.figure(key+"vs_one_worker", "%.2f ×", seconds[fleetKey(1)]/took),
			strings.Join(shares, ", "), r.setPeakRSS(key+"worker_rss_mib", fleet.peakRSSMiB))
	}
	return nil
}

func fleetKey(workers int) string { return fmt.Sprintf("workers_%d", workers) }

func (p *scalePart) startFleet(ctx context.Context, n int) error {
	if err := emptyTables(ctx, p.DB); err != nil {
		return err
	}
	fleet := p.fleets[n]
	fleet.workers = nil
	for i := range n {
		worker, err := p.startWorker(filepath.Join(p.dir, fmt.Sprintf("spool-%d", i+1)))
		if err != nil {
			return err
		}
		fleet.workers = append(fleet.workers, worker)
	}
	return nil
}

// importAll imports the jobs and stops the workers.
func (p *scalePart) importAll(ctx context.Context, n int) (time.Duration, error) {
	fleet := p.fleets[n]
	before, err := p.spent(ctx)
	if err != nil {
		return 0, err
	}
	ids, took, err := p.importJobs(ctx, p.ScaleJobs, p.ScaleRecords)
	if err != nil {
		return 0, err
	}
	var stops []error
	for _, worker := range fleet.workers {
		fleet.peakRSSMiB = max(fleet.peakRSSMiB, childprocess.PeakRSS(worker.PID()))
		seconds, _ := childprocess.CPUSeconds(worker.PID()) // 0 if it is not known
		p.costs.total["worker_cpu_ms"] += seconds * 1000
		stops = append(stops, worker.Stop())
	}
	if err := errors.Join(stops...); err != nil {
		return 0, err
	}
	after, err := p.spent(ctx)
	if err != nil {
		return 0, err
	}
	p.costs.add(before, after, len(ids))
	if err := p.checkOnce(ctx, ids, p.ScaleRecords); err != nil {
		return 0, err
	}
	byWorker, err := p.costs.addHistories(ctx, p.Temporal.Client(), ids)
	if err != nil {
		return 0, err
	}
	if len(byWorker) > n {
		return 0, fmt.Errorf("%d workers have imported, but only %d were started", len(byWorker), n)
	}
	slices.SortFunc(byWorker, func(a, b int) int { return b - a })
	for i, imported := range byWorker {
		fleet.jobs[i] += float64(imported)
	}
	return took, nil
}

const wholeJobs = `
SELECT count(*) FROM (
    SELECT FROM scrapehaul.scraped_records WHERE scrapingjob_id BETWEEN $1 AND $2
    GROUP BY scrapingjob_id
    HAVING count(*) = $3 AND count(DISTINCT web_scraper_order) = $3 AND max(record_number) = $3
) AS whole`

// checkOnce makes sure that the database has every record of every job exactly
// once. The jobs are those added together.
func (s *system) checkOnce(ctx context.Context, ids []int64, records int) error {
	var whole int
	if err := s.DB.GetContext(ctx, &whole, wholeJobs, ids[0], ids[len(ids)-1], records); err != nil {
		return fmt.Errorf("counting the records: %w", err)
	}
	if whole != len(ids) {
		return fmt.Errorf("only %d of %d jobs have each of their %d records exactly once", whole, len(ids), records)
	}
	return nil
}
