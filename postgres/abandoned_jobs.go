package postgres

import (
	"context"
	"fmt"

	"github.com/lib/pq"

	"github.com/scrapehaul/scrapehaul/sink"
)

const upsertAbandonedJob = `
INSERT INTO scrapehaul.given_up_jobs
       (scrapingjob_id, status, jobs_scheduled, jobs_executed, jobs_failed, jobs_empty, jobs_no_value, stored_record_count)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (scrapingjob_id) DO UPDATE
SET status = excluded.status, jobs_scheduled = excluded.jobs_scheduled, jobs_executed = excluded.jobs_executed,
    jobs_failed = excluded.jobs_failed, jobs_empty = excluded.jobs_empty, jobs_no_value = excluded.jobs_no_value,
    stored_record_count = excluded.stored_record_count, given_up_at = now()`

// AbandonJob records that an operator abandoned the import of a scraping job with this
// content, so that only an operator starts it again. It replaces content recorded earlier.
// Publishing an import of the job removes the record.
func (s *Store) AbandonJob(ctx context.Context, job sink.ScrapingJob) error {
	_, err := s.exec(ctx, upsertAbandonedJob, job.ScrapingJobID, job.Status, job.JobsScheduled, job.JobsExecuted,
		job.JobsFailed, job.JobsEmpty, job.JobsNoValue, job.StoredRecordCount)
	return doing(err, "recording that scraping job %d is abandoned", job.ScrapingJobID)
}

const selectAbandonedJobs = `
SELECT scrapingjob_id, status, jobs_scheduled, jobs_executed, jobs_failed, jobs_empty, jobs_no_value, stored_record_count
FROM scrapehaul.given_up_jobs
WHERE scrapingjob_id = ANY($1)`

// AbandonedJobs returns, by ID, which of the scraping jobs were abandoned, with the
// abandoned content but without the sitemap and the custom ID.
func (s *Store) AbandonedJobs(ctx context.Context, scrapingJobIDs []int64) (map[int64]sink.ScrapingJob, error) {
	var jobs []sink.ScrapingJob
	if err := s.db.SelectContext(ctx, &jobs, selectAbandonedJobs, pq.Array(scrapingJobIDs)); err != nil {
		return nil, fmt.Errorf("reading which of %d scraping jobs are abandoned: %w", len(scrapingJobIDs), err)
	}
	abandoned := make(map[int64]sink.ScrapingJob, len(jobs))
	for _, job := range jobs {
		abandoned[job.ScrapingJobID] = job
	}
	return abandoned, nil
}
