package main

import (
	"context"
	"fmt"
	"math"
	"time"
)

// The service's limit: calls in a window.
const (
	callsOfAWindow = 200
	windowOfCalls  = 15 * time.Minute
)

// jobsOfManyWindows need more calls than one window has.
const jobsOfManyWindows = 300

// measureBudget times jobs that finish at the same time, within the limit of
// the service's API and with default settings, but for the hold. Everything is
// new for each measurement: the servers, the window, and the worker.
func measureBudget(ctx context.Context, s *stage, r *result) error {
	t := r.burstTable(fmt.Sprintf("budget: jobs of %d records that finish at the same time, %d API calls in %s, default settings, no hold, one worker; medians, rounds: %d",
		smallJobRecords, callsOfAWindow, windowOfCalls, s.Rounds))
	measured := map[int]figures{}
	refused := 0.0
	for _, n := range []struct {
		jobs int
		key  string
	}{{1, "one"}, {40, "forty"}, {60, "sixty"}} {
		medians, err := s.medians(func(int) (figures, error) {
			b, err := s.measureBurst(ctx, n.jobs, apiLimit{})
			refused += b["refused"]
			return b, err
		})
		if err != nil {
			return fmt.Errorf("%d jobs: %w", n.jobs, err)
		}
		measured[n.jobs] = medians
		t.burstRow(medians)
		r.setAll(n.key+"_", medians)
	}

	many, err := s.measureBurst(ctx, jobsOfManyWindows, apiLimit{window: s.BudgetWindow})
	if err != nil {
		return fmt.Errorf("%d jobs: %w", jobsOfManyWindows, err)
	}
	refused += many["refused"]
	r.burstTable(fmt.Sprintf("budget: more such jobs than one window has calls for; the window is shortened to %s, a %gth",
		s.BudgetWindow, windowOfCalls.Seconds()/s.BudgetWindow.Seconds())).burstRow(many)
	r.setAll("three_hundred_", many)
	windows := math.Ceil(many["api_calls"]/callsOfAWindow) - 1
	floor := windows * s.BudgetWindow.Seconds()
	r.set("window_s", s.BudgetWindow.Seconds())

	goals := r.table("budget: the goals", "", "goal", "here")
	goals.row("1 job deleted", "2 s", fmt.Sprintf("%.2f s", measured[1]["deleted_s"]))
	goals.row("40 jobs published", "5 s", fmt.Sprintf("%.2f s", measured[40]["published_s"]))
	goals.row("40 jobs deleted", "10 s", fmt.Sprintf("%.2f s", measured[40]["deleted_s"]))
	goals.row(fmt.Sprintf("%d jobs deleted, against the floor", jobsOfManyWindows), "1.1 ×",
		r.figure("three_hundred_vs_floor", "%.3f ×", many["deleted_s"]/floor)+fmt.Sprintf(" (%.1f s)", many["deleted_s"]))
	goals.row(fmt.Sprintf("the floor: %.0f calls start the window after %.0f others", many["api_calls"], windows), "",
		r.figure("three_hundred_floor_s", "%.0f s", floor))
	goals.row("calls a job, alone", "4", fmt.Sprintf("%.2f", measured[1].perJob("api_calls")))
	goals.row("calls a job, 40 together", "3", r.figure("calls_per_job", "%.2f", measured[40].perJob("api_calls")))
	goals.row("calls refused, in all rounds", "0", r.figure("refused", "%g", refused))
	return nil
}

func (s *stage) measureBurst(ctx context.Context, jobs int, limit apiLimit) (b figures, err error) {
	err = s.apart(fmt.Sprintf("jobs-%d", jobs), func(s *stage) error {
		sys, err := s.system(ctx, limit, nil)
		if err != nil {
			return err
		}
		if _, err := sys.startWorker(sys.spool); err != nil {
			return err
		}
		s.step(fmt.Sprintf("%d jobs finish", jobs))
		b, err = sys.importJobs(ctx, jobs, smallJobRecords)
		return err
	})
	return b, err
}

func (r *result) burstTable(title string) *table {
	return r.table(title, "jobs", "published s: median", "last", "deleted s: median", "last",
		"calls a job", "lists, checks, downloads, deletions", "history events a job")
}

func (t *table) burstRow(b figures) {
	t.row(fmt.Sprint(b["jobs"]), fmt.Sprintf("%.2f", b["published_median_s"]), fmt.Sprintf("%.2f", b["published_s"]),
		fmt.Sprintf("%.2f", b["deleted_median_s"]), fmt.Sprintf("%.2f", b["deleted_s"]), fmt.Sprintf("%.2f", b.perJob("api_calls")),
		fmt.Sprintf("%g, %g, %g, %g", b["lists"], b["checks"], b["downloads"], b["deletions"]), fmt.Sprintf("%.1f", b.perJob("history_events")))
}
