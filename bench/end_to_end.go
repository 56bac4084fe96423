package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalcost"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

const (
	smallJobRecords = 100
	// largeJobTimes the records of the other parts make the large job.
	largeJobTimes = 5
	// countedJobs are small jobs whose Actions and API calls are counted.
	countedJobs = 40
	// notificationsAtATime is how many webhooks the cloud sends at once.
	notificationsAtATime = 16
)

// measureEndToEnd takes the time from the first notification until the last
// job is published, with one worker and one starter as they are in production.
func measureEndToEnd(ctx context.Context, s *stage, r *result) error {
	t := r.table(fmt.Sprintf("end-to-end: from the notification until the records are published; small jobs have %d; medians, rounds: %d"+limitIsLifted,
		smallJobRecords, s.Rounds), "jobs", "seconds", "jobs/minute", "records/s")
	err := s.apart("times", func(s *stage) error {
		sys, err := s.system(ctx, lifted, noReconciliation)
		if err != nil {
			return err
		}
		if _, err := sys.startWorker(sys.spool); err != nil {
			return err
		}
		for _, n := range s.Jobs {
			if err := sys.measureSmallJobs(ctx, n, r, t); err != nil {
				return fmt.Errorf("%d small jobs: %w", n, err)
			}
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
	sys.Env.TemporalAddress = proxy.Address
	worker, err := sys.startWorker(sys.spool)
	if err != nil {
		return err
	}
	costs := r.table("end-to-end: what a job costs",
		"", "history events", "billable actions", "API calls")
	if err := sys.measureCosts(ctx, proxy, countedJobs, smallJobRecords, "", r, t, costs); err != nil {
		return fmt.Errorf("counting: %w", err)
	}
	if err := sys.measureCosts(ctx, proxy, 1, s.Records*largeJobTimes, "large_job.", r, t, costs); err != nil {
		return fmt.Errorf("the large job: %w", err)
	}
	costs.row("the worker's peak memory: " + r.setPeakRSS("large_job.worker_rss_mib", childprocess.PeakRSS(worker.PID())))
	return nil
}

func (s *system) measureSmallJobs(ctx context.Context, n int, r *result, t *table) error {
	measured, err := s.medians(func(int) (figures, error) {
		_, took, err := s.importJobs(ctx, n, smallJobRecords)
		return figures{"seconds": took.Seconds()}, err
	}, func(f figures) string {
		return fmt.Sprintf("%s small jobs: %.2f s", thousands(float64(n)), f["seconds"])
	})
	if err != nil {
		return err
	}
	r.set("jobs_per_minute", float64(n)/measured["seconds"]*60) // the last and usually largest number's
	r.timeRow(t, fmt.Sprintf("jobs_%d.", n), n, smallJobRecords, measured["seconds"])
	return nil
}

// timeRow adds how long jobs took. Keys of the JSON begin with prefix.
func (r *result) timeRow(t *table, prefix string, jobs, records int, seconds float64) {
	t.row(fmt.Sprintf("%s of %s records", thousands(float64(jobs)), thousands(float64(records))), r.figure(prefix+"seconds", "%.2f", seconds),
		r.count(prefix+"jobs_per_minute", float64(jobs)/seconds*60), r.count(prefix+"records_per_second", float64(jobs*records)/seconds))
}

// measureCosts imports jobs with the worker behind the proxy, once, and says
// what each of them costs on average.
func (s *system) measureCosts(ctx context.Context, proxy *temporalcost.Proxy, n, records int, key string, r *result, times, costs *table) error {
	callsBefore, actionsBefore := len(s.Cloud.Requests()), proxy.Actions()
	ids, took, err := s.importJobs(ctx, n, records)
	if err != nil {
		return err
	}
	s.step(fmt.Sprintf("%d jobs of %s records: %.2f s", n, thousands(float64(records)), took.Seconds()))
	calls, actions, events := len(s.Cloud.Requests())-callsBefore, proxy.Actions()-actionsBefore, 0
	for _, id := range ids {
		run, err := temporalcost.History(ctx, s.Temporal.Client(), workflows.WorkflowID(id))
		if err != nil {
			return err
		}
		events += len(run)
		actions += temporalcost.Actions(run)
	}
	perJob := func(name string, count int) (cell string) {
		return r.figure(key+name, "%.1f", float64(count)/float64(n))
	}
	costs.row(fmt.Sprintf("a job of %s records, %d at once", thousands(float64(records)), n),
		perJob("history_events", events), perJob("actions", actions), perJob("api_calls", calls))
	if n == 1 {
		r.set(key+"records", float64(records))
		r.timeRow(times, key, n, records, took.Seconds())
	}
	return nil
}

// importJobs has jobs finish at the same time and returns when all workflows
// have ended, but takes only the time until all imports are published.
func (s *system) importJobs(ctx context.Context, n, records int) (ids []int64, took time.Duration, err error) {
	ids = s.addJobs(n, records)
	begun := time.Now()
	if err := s.notifyAll(ctx, ids); err != nil {
		return nil, 0, err
	}
	if err := s.waitForPublished(ctx, ids); err != nil {
		return nil, 0, err
	}
	took = time.Since(begun)
	return ids, took, s.waitForDeleted(ctx, ids, records)
}

// addJobs returns the IDs of new jobs, one after the other.
func (s *system) addJobs(n, records int) (ids []int64) {
	for i := range n {
		ids = append(ids, s.Cloud.AddJob(webscrapertest.Job{SitemapName: "my-sitemap", Records: webscrapertest.Products(records, int64(i))}))
	}
	return ids
}

func (s *system) notifyAll(ctx context.Context, ids []int64) error {
	return inParallel(notificationsAtATime, len(ids), func(i int) error { return s.notify(ctx, ids[i]) })
}

// waitForPublished waits until the jobs, which were added together, are published.
func (s *system) waitForPublished(ctx context.Context, ids []int64) error {
	err := waitFor(ctx, 10*time.Millisecond, func() (bool, error) {
		var published int
		err := s.DB.GetContext(ctx, &published, `SELECT count(published_at) FROM scrapehaul.scraping_jobs WHERE scrapingjob_id BETWEEN $1 AND $2`,
			ids[0], ids[len(ids)-1])
		return published == len(ids), err
	})
	if err != nil {
		return fmt.Errorf("waiting for the imports: %w", err)
	}
	return nil
}

// waitForDeleted waits for the ends of the workflows, which have to have imported
// so many records each.
func (s *system) waitForDeleted(ctx context.Context, ids []int64, records int) error {
	for _, id := range ids {
		var result workflows.ImportScrapingJobResult
		if err := s.Temporal.Client().GetWorkflow(ctx, workflows.WorkflowID(id), "").Get(ctx, &result); err != nil {
			return err
		}
		if result.Outcome != workflows.Deleted || result.Records != int64(records) {
			return fmt.Errorf("job %d: %s with %d records, not %d: %s", id, result.Outcome, result.Records, records, result.Reason)
		}
	}
	return nil
}

func (s *system) notify(ctx context.Context, id int64) error {
	delivery, err := s.Cloud.SendWebhook(ctx, id)
	if err == nil && !delivery.Delivered {
		err = fmt.Errorf("the webhook did not take the notification of job %d: %s", id,
			strings.TrimSpace(delivery.Attempts[len(delivery.Attempts)-1].Body))
	}
	return err
}
