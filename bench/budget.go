package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/workflows"
)

// The service's limit: so many calls in a window.
const (
	callsOfAWindow = 200
	windowOfCalls  = 15 * time.Minute
)

// jobsOfManyWindows need more calls than one window has.
const jobsOfManyWindows = 300

// measureBudget takes the times of jobs that finish at once, within the limit of
// the service's API and with default settings, but for the hold. Everything is
// new for each measurement: the servers, the window, and the worker.
func measureBudget(ctx context.Context, s *stage, r *result) error {
	t := r.burstTable(fmt.Sprintf("budget: jobs of %d records that finish at once, %d API calls in %s, default settings, no hold, one worker; medians, rounds: %d",
		smallJobRecords, callsOfAWindow, windowOfCalls, s.Rounds))
	measured := map[int]burst{}
	refused := 0.0
	for _, n := range []struct {
		jobs int
		key  string
	}{{1, "one"}, {40, "forty"}, {60, "sixty"}} {
		var rounds []burst
		for round := range s.Rounds {
			b, err := s.measureBurst(ctx, n.jobs, apiLimit{})
			if err != nil {
				return fmt.Errorf("%d jobs: %w", n.jobs, err)
			}
			s.step(fmt.Sprintf("round %d of %d: %d jobs are published after %.2f s, deleted after %.2f s",
				round+1, s.Rounds, n.jobs, b["published_s"], b["deleted_s"]))
			refused += b["refused"]
			rounds = append(rounds, b)
		}
		measured[n.jobs] = medianBurst(rounds)
		t.burstRow(measured[n.jobs])
		r.setBurst(n.key, measured[n.jobs])
	}

	many, err := s.measureBurst(ctx, jobsOfManyWindows, apiLimit{window: s.BudgetWindow})
	if err != nil {
		return fmt.Errorf("%d jobs: %w", jobsOfManyWindows, err)
	}
	refused += many["refused"]
	r.burstTable(fmt.Sprintf("budget: more such jobs than one window has calls for; the window is shortened to %s, a %gth",
		s.BudgetWindow, windowOfCalls.Seconds()/s.BudgetWindow.Seconds())).burstRow(many)
	r.setBurst("three_hundred", many)
	windows := math.Ceil(many["calls"]/callsOfAWindow) - 1
	floor := windows * s.BudgetWindow.Seconds()
	r.set("three_hundred_floor_s", floor)
	r.set("three_hundred_vs_floor", many["deleted_s"]/floor)
	r.set("window_s", s.BudgetWindow.Seconds())
	r.set("calls_per_job", measured[40].perJob("calls"))
	r.set("refused", refused)

	goals := r.table("budget: the goals", "", "goal", "here")
	goals.row("1 job deleted", "2 s", fmt.Sprintf("%.2f s", measured[1]["deleted_s"]))
	goals.row("40 jobs published", "5 s", fmt.Sprintf("%.2f s", measured[40]["published_s"]))
	goals.row("40 jobs deleted", "10 s", fmt.Sprintf("%.2f s", measured[40]["deleted_s"]))
	goals.row(fmt.Sprintf("%d jobs deleted, against the floor", jobsOfManyWindows), "1.1 ×", fmt.Sprintf("%.3f × (%.1f s)", many["deleted_s"]/floor, many["deleted_s"]))
	goals.row(fmt.Sprintf("the floor: %.0f calls begin the window after %.0f others", many["calls"], windows), "", fmt.Sprintf("%.0f s", floor))
	goals.row("calls a job, alone", "4", fmt.Sprintf("%.2f", measured[1].perJob("calls")))
	goals.row("calls a job, 40 together", "3", fmt.Sprintf("%.2f", measured[40].perJob("calls")))
	goals.row("calls refused, in all rounds", "0", fmt.Sprint(refused))
	return nil
}

// burst has what became of jobs that finished at once, by its name in the JSON:
// seconds since the first notification, by the database's clock, and numbers.
type burst map[string]float64

func (b burst) perJob(name string) float64 { return b[name] / b["jobs"] }

const secondsOfBurst = `
SELECT extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY published_at) - $3::timestamptz),
       extract(epoch FROM max(published_at) - $3::timestamptz),
       extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY cloud_deleted_at) - $3::timestamptz),
       extract(epoch FROM max(cloud_deleted_at) - $3::timestamptz)
FROM scrapehaul.scraping_jobs WHERE scrapingjob_id BETWEEN $1 AND $2`

func (s *stage) measureBurst(ctx context.Context, jobs int, limit apiLimit) (b burst, err error) {
	err = s.apart(fmt.Sprintf("jobs-%d", jobs), func(s *stage) error {
		sys, err := s.system(ctx, limit, nil)
		if err != nil {
			return err
		}
		if _, err := sys.startWorker(sys.temporal.HostPort); err != nil {
			return err
		}
		s.step(fmt.Sprintf("%d jobs finish", jobs))
		b, err = sys.burst(ctx, jobs)
		return err
	})
	return b, err
}

func (s *system) burst(ctx context.Context, jobs int) (burst, error) {
	ids := s.addJobs(jobs, smallJobRecords)
	var begun time.Time
	if err := s.db.GetContext(ctx, &begun, `SELECT clock_timestamp()`); err != nil {
		return nil, err
	}
	if err := s.notifyAll(ctx, ids); err != nil {
		return nil, err
	}
	if err := s.waitForDeleted(ctx, ids, smallJobRecords); err != nil {
		return nil, err
	}
	if err := s.checkOnce(ctx, ids, smallJobRecords); err != nil {
		return nil, err
	}
	var publishedMedian, published, deletedMedian, deleted float64
	err := s.db.QueryRowContext(ctx, secondsOfBurst, ids[0], ids[len(ids)-1], begun).Scan(&publishedMedian, &published, &deletedMedian, &deleted)
	if err != nil {
		return nil, fmt.Errorf("reading the times: %w", err)
	}
	b := burst{
		"lists": 0, "looks": 0, "downloads": 0, "deletions": 0, "refused": 0, // also when there were none
		"jobs": float64(jobs), "published_median_s": publishedMedian, "published_s": published,
		"deleted_median_s": deletedMedian, "deleted_s": deleted,
	}
	for _, request := range s.cloud.Requests() {
		b["calls"]++
		switch {
		case request.Status == http.StatusTooManyRequests:
			b["refused"]++
		case request.ID == 0:
			b["lists"]++
		case request.Method == http.MethodDelete:
			b["deletions"]++
		case strings.HasSuffix(request.Path, "/json"):
			b["downloads"]++
		default:
			b["looks"]++
		}
	}
	for _, id := range ids {
		run, err := history(ctx, s.temporal.Client(), workflows.WorkflowID(id))
		if err != nil {
			return nil, err
		}
		b["history_events"] += float64(len(run))
	}
	return b, nil
}

// medianBurst has the median of each figure.
func medianBurst(rounds []burst) burst {
	medians := burst{}
	for name := range rounds[0] {
		var values []float64
		for _, b := range rounds {
			values = append(values, b[name])
		}
		medians[name] = median(values)
	}
	return medians
}

func (r *result) burstTable(title string) *table {
	return r.table(title, "jobs", "published s: median", "last", "deleted s: median", "last",
		"calls a job", "lists, looks, downloads, deletions", "history events a job")
}

func (t *table) burstRow(b burst) {
	t.row(fmt.Sprint(b["jobs"]), fmt.Sprintf("%.2f", b["published_median_s"]), fmt.Sprintf("%.2f", b["published_s"]),
		fmt.Sprintf("%.2f", b["deleted_median_s"]), fmt.Sprintf("%.2f", b["deleted_s"]), fmt.Sprintf("%.2f", b.perJob("calls")),
		fmt.Sprintf("%g, %g, %g, %g", b["lists"], b["looks"], b["downloads"], b["deletions"]), fmt.Sprintf("%.1f", b.perJob("history_events")))
}

func (r *result) setBurst(key string, b burst) {
	for name, value := range b {
		r.set(key+"_"+name, value)
	}
}
