package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalcost"
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
		}, func(b figures) string {
			return fmt.Sprintf("%d jobs are published after %.2f s, deleted after %.2f s", n.jobs, b["published_s"], b["deleted_s"])
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
	windows := math.Ceil(many["calls"]/callsOfAWindow) - 1
	floor := windows * s.BudgetWindow.Seconds()
	r.set("window_s", s.BudgetWindow.Seconds())

	goals := r.table("budget: the goals", "", "goal", "here")
	goals.row("1 job deleted", "2 s", fmt.Sprintf("%.2f s", measured[1]["deleted_s"]))
	goals.row("40 jobs published", "5 s", fmt.Sprintf("%.2f s", measured[40]["published_s"]))
	goals.row("40 jobs deleted", "10 s", fmt.Sprintf("%.2f s", measured[40]["deleted_s"]))
	goals.row(fmt.Sprintf("%d jobs deleted, against the floor", jobsOfManyWindows), "1.1 ×",
		r.figure("three_hundred_vs_floor", "%.3f ×", many["deleted_s"]/floor)+fmt.Sprintf(" (%.1f s)", many["deleted_s"]))
	goals.row(fmt.Sprintf("the floor: %.0f calls begin the window after %.0f others", many["calls"], windows), "",
		r.figure("three_hundred_floor_s", "%.0f s", floor))
	goals.row("calls a job, alone", "4", fmt.Sprintf("%.2f", measured[1].perJob("calls")))
	goals.row("calls a job, 40 together", "3", r.figure("calls_per_job", "%.2f", measured[40].perJob("calls")))
	goals.row("calls refused, in all rounds", "0", r.figure("refused", "%g", refused))
	return nil
}

func (f figures) perJob(name string) float64 { return f[name] / f["jobs"] }

const secondsOfBurst = `
SELECT extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY published_at) - $3::timestamptz) AS published_median,
       extract(epoch FROM max(published_at) - $3::timestamptz) AS published,
       extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY cloud_deleted_at) - $3::timestamptz) AS deleted_median,
       extract(epoch FROM max(cloud_deleted_at) - $3::timestamptz) AS deleted
FROM scrapehaul.scraping_jobs WHERE scrapingjob_id BETWEEN $1 AND $2`

// burst are jobs that finish at once.
type burst struct {
	ids     []int64
	records int       // of each
	begun   time.Time // with the first notification, by the database's clock
}

func (s *system) notifyBurst(ctx context.Context, jobs, records int) (b burst, err error) {
	b.ids, b.records = s.addJobs(jobs, records), records
	if err := s.DB.GetContext(ctx, &b.begun, `SELECT clock_timestamp()`); err != nil {
		return b, err
	}
	return b, s.notifyAll(ctx, b.ids)
}

// seconds waits for the end of the jobs, makes sure that all of them are imported,
// and says when they were published and deleted.
func (s *system) seconds(ctx context.Context, b burst) (figures, error) {
	if err := s.waitForDeleted(ctx, b.ids, b.records); err != nil {
		return nil, err
	}
	if err := s.checkOnce(ctx, b.ids, b.records); err != nil {
		return nil, err
	}
	var seconds struct {
		PublishedMedian float64 `db:"published_median"`
		Published       float64
		DeletedMedian   float64 `db:"deleted_median"`
		Deleted         float64
	}
	if err := s.DB.GetContext(ctx, &seconds, secondsOfBurst, b.ids[0], b.ids[len(b.ids)-1], b.begun); err != nil {
		return nil, fmt.Errorf("reading the times: %w", err)
	}
	return figures{
		"published_median_s": seconds.PublishedMedian, "published_s": seconds.Published,
		"deleted_median_s": seconds.DeletedMedian, "deleted_s": seconds.Deleted,
	}, nil
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
		b, err = sys.importBurst(ctx, jobs)
		return err
	})
	return b, err
}

// importBurst returns the seconds of the jobs, and how many calls and events they
// took.
func (s *system) importBurst(ctx context.Context, jobs int) (figures, error) {
	burst, err := s.notifyBurst(ctx, jobs, smallJobRecords)
	if err != nil {
		return nil, err
	}
	b, err := s.seconds(ctx, burst)
	if err != nil {
		return nil, err
	}
	b["jobs"] = float64(jobs)
	for _, name := range []string{"lists", "looks", "downloads", "deletions", "refused"} {
		b[name] = 0 // also when there were none
	}
	for _, request := range s.Cloud.Requests() {
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
	for _, id := range burst.ids {
		run, err := temporalcost.History(ctx, s.Temporal.Client(), workflows.WorkflowID(id))
		if err != nil {
			return nil, err
		}
		b["history_events"] += float64(len(run))
	}
	return b, nil
}

func (r *result) burstTable(title string) *table {
	return r.table(title, "jobs", "published s: median", "last", "deleted s: median", "last",
		"calls a job", "lists, looks, downloads, deletions", "history events a job")
}

func (t *table) burstRow(b figures) {
	t.row(fmt.Sprint(b["jobs"]), fmt.Sprintf("%.2f", b["published_median_s"]), fmt.Sprintf("%.2f", b["published_s"]),
		fmt.Sprintf("%.2f", b["deleted_median_s"]), fmt.Sprintf("%.2f", b["deleted_s"]), fmt.Sprintf("%.2f", b.perJob("calls")),
		fmt.Sprintf("%g, %g, %g, %g", b["lists"], b["looks"], b["downloads"], b["deletions"]), fmt.Sprintf("%.1f", b.perJob("history_events")))
}
