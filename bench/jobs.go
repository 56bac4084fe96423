package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	historypb "go.temporal.io/api/history/v1"

	"github.com/scrapehaul/scrapehaul/internal/testbed/childprocess"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalcost"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// notificationsAtATime is how many webhooks the cloud sends concurrently.
const notificationsAtATime = 16

// burst is a set of jobs that finish at the same time.
type burst struct {
	ids     []int64   // one after the other
	records int       // of each
	started time.Time // with the first notification, by the database's clock
	before  figures   // what had been spent then
}

// importJobs has jobs finish at the same time, and returns what their imports have taken.
func (s *system) importJobs(ctx context.Context, jobs, records int) (figures, error) {
	b, err := s.begin(ctx, jobs, records)
	if err != nil {
		return nil, err
	}
	return s.finish(ctx, b)
}

func (s *system) begin(ctx context.Context, jobs, records int) (b burst, err error) {
	b.records = records
	for i := range jobs {
		b.ids = append(b.ids, s.Cloud.AddJob(webscrapertest.Job{SitemapName: "my-sitemap", Records: webscrapertest.Products(records, int64(i))}))
	}
	if b.before, err = s.spent(ctx); err != nil {
		return b, err
	}
	if err := s.DB.GetContext(ctx, &b.started, `SELECT clock_timestamp()`); err != nil {
		return b, err
	}
	return b, inParallel(notificationsAtATime, jobs, func(i int) error { return s.notify(ctx, b.ids[i]) })
}

func (s *system) notify(ctx context.Context, id int64) error {
	delivery, err := s.Cloud.SendWebhook(ctx, id)
	if err == nil && !delivery.Delivered {
		err = fmt.Errorf("the webhook did not take the notification of job %d: %s", id,
			strings.TrimSpace(delivery.Attempts[len(delivery.Attempts)-1].Body))
	}
	return err
}

const secondsOfBurst = `
SELECT extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY published_at) - $3::timestamptz) AS published_median,
       extract(epoch FROM max(published_at) - $3::timestamptz) AS published,
       extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY cloud_deleted_at) - $3::timestamptz) AS deleted_median,
       extract(epoch FROM max(cloud_deleted_at) - $3::timestamptz) AS deleted
FROM scrapehaul.scraping_jobs WHERE scrapingjob_id BETWEEN $1 AND $2`

// waitForEnds waits for the workflows to end, and checks that each has imported its job.
func (s *system) waitForEnds(ctx context.Context, b burst) error {
	for _, id := range b.ids {
		var result workflows.ImportScrapingJobResult
		if err := s.Temporal.Client().GetWorkflow(ctx, workflows.WorkflowID(id), "").Get(ctx, &result); err != nil {
			return err
		}
		if result.Outcome != workflows.Deleted || result.Records != int64(b.records) {
			return fmt.Errorf("job %d: %s with %d records, not %d: %s", id, result.Outcome, result.Records, b.records, result.Reason)
		}
	}
	return nil
}

// finish waits for the ends of the jobs' workflows, makes sure that the database has
// every record of every job exactly once, and returns when the jobs were published and
// deleted, in seconds, and what all of them together have cost since the burst began.
func (s *system) finish(ctx context.Context, b burst) (figures, error) {
	if err := s.waitForEnds(ctx, b); err != nil {
		return nil, err
	}
	f, err := s.spent(ctx)
	if err != nil {
		return nil, err
	}
	for name := range f {
		f[name] -= b.before[name]
	}
	first, last := b.ids[0], b.ids[len(b.ids)-1]
	var seconds struct {
		PublishedMedian float64 `db:"published_median"`
		Published       float64
		DeletedMedian   float64 `db:"deleted_median"`
		Deleted         float64
	}
	if err := s.DB.GetContext(ctx, &seconds, secondsOfBurst, first, last, b.started); err != nil {
		return nil, fmt.Errorf("reading the times: %w", err)
	}
	f["jobs"], f["records"] = float64(len(b.ids)), float64(b.records)
	f["published_median_s"], f["published_s"] = seconds.PublishedMedian, seconds.Published
	f["deleted_median_s"], f["deleted_s"] = seconds.DeletedMedian, seconds.Deleted
	if err := s.addHistories(ctx, f, b.ids); err != nil {
		return nil, err
	}
	var whole int
	if err := s.DB.GetContext(ctx, &whole, wholeJobs, first, last, b.records); err != nil {
		return nil, fmt.Errorf("counting the records: %w", err)
	}
	if whole != len(b.ids) {
		return nil, fmt.Errorf("only %d of %d jobs have each of their %d records exactly once", whole, len(b.ids), b.records)
	}
	return f, nil
}

const wholeJobs = `
SELECT count(*) FROM (
    SELECT FROM scrapehaul.scraped_records WHERE scrapingjob_id BETWEEN $1 AND $2
    GROUP BY scrapingjob_id
    HAVING count(*) = $3 AND count(DISTINCT web_scraper_order) = $3 AND max(record_number) = $3
) AS whole`

// spent is what counters have counted since they began: the API's calls and bytes, the
// WAL, and the CPU time of the workers, of Temporal and of all of PostgreSQL, which is 0
// where it is not known, as of a server on another machine.
func (s *system) spent(ctx context.Context) (figures, error) {
	f := figures{"refused": 0, "lists": 0, "deletions": 0, "downloads": 0, "checks": 0}
	for _, request := range s.Cloud.Requests() {
		f["api_calls"]++
		f["api_bytes"] += float64(request.Bytes)
		switch {
		case request.Status == http.StatusTooManyRequests:
			f["refused"]++
		case request.ID == 0:
			f["lists"]++
		case request.Method == http.MethodDelete:
			f["deletions"]++
		case strings.HasSuffix(request.Path, "/json"):
			f["downloads"]++
		default:
			f["checks"]++
		}
	}
	var server struct {
		WAL     float64
		Backend int
	}
	err := s.DB.GetContext(ctx, &server, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS wal, pg_backend_pid() AS backend`)
	cpu, _ := childprocess.FamilyCPUSeconds(server.Backend, "postgres")
	f["wal_bytes"], f["postgresql_cpu_ms"] = server.WAL, cpu*1000
	temporal, _ := childprocess.CPUSeconds(s.Temporal.PID())
	f["temporal_cpu_ms"] = temporal * 1000
	for _, worker := range s.workers {
		seconds, _ := childprocess.CPUSeconds(worker.PID())
		f["worker_cpu_ms"] += seconds * 1000
	}
	return f, err
}

// addHistories adds what Temporal has stored and done for the jobs, and how many of them
// each worker has imported: imports_of_worker_1 are those of the busiest.
func (s *system) addHistories(ctx context.Context, f figures, ids []int64) error {
	imports := map[string]float64{}
	for _, id := range ids {
		described, err := s.Temporal.Client().DescribeWorkflowExecution(ctx, workflows.WorkflowID(id), "")
		if err != nil {
			return err
		}
		run := described.GetWorkflowExecutionInfo()
		f["history_events"] += float64(run.GetHistoryLength())
		f["history_bytes"] += float64(run.GetHistorySizeBytes())
		f["state_transitions"] += float64(run.GetStateTransitionCount())
		events, err := temporalcost.History(ctx, s.Temporal.Client(), workflows.WorkflowID(id))
		if err != nil {
			return err
		}
		f["actions"] += float64(temporalcost.Actions(events))
		worker := importer(events)
		if worker == "" {
			return fmt.Errorf("the history of job %d has no import", id)
		}
		imports[worker]++
	}
	for i, n := range slices.Backward(slices.Sorted(maps.Values(imports))) {
		f[fmt.Sprintf("imports_of_worker_%d", len(imports)-i)] = n
	}
	return nil
}

// importer is the identity of the worker that has imported the records, "" for none.
func importer(events []*historypb.HistoryEvent) (identity string) {
	for _, event := range events {
		if started := event.GetActivityTaskStartedEventAttributes(); started != nil {
			scheduled := events[started.GetScheduledEventId()-1].GetActivityTaskScheduledEventAttributes()
			if scheduled.GetActivityType().GetName() == "ImportRecords" {
				identity = started.GetIdentity()
			}
		}
	}
	return identity
}

func (f figures) perJob(name string) float64 { return f[name] / f["jobs"] }
