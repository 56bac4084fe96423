-- +goose Up

-- Their records wait for removal; all other imports are left out of the index.
CREATE INDEX imports_unneeded ON scrapehaul.imports (scrapingjob_id)
    WHERE state IN ('replaced', 'abandoned') AND records_removed_at IS NULL;

-- No foreign key to scraping_jobs: a job can be given up before its first import begins.
CREATE TABLE scrapehaul.given_up_jobs (
    scrapingjob_id      bigint      PRIMARY KEY,
    status              text        NOT NULL,
    jobs_scheduled      bigint      NOT NULL,
    jobs_executed       bigint      NOT NULL,
    jobs_failed         bigint      NOT NULL,
    jobs_empty          bigint      NOT NULL,
    jobs_no_value       bigint      NOT NULL,
    stored_record_count bigint      NOT NULL,
    given_up_at         timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE scrapehaul.given_up_jobs IS
    'Scraping jobs whose import a person has abandoned, with the job object (status and counts) as it was then: as long as it stays the same, reconciliation does not start the import again. Publishing an import of the job removes its row.';

CREATE TABLE scrapehaul.spools (
    name          text PRIMARY KEY,
    task_queue    text NOT NULL,
    awaited_since timestamptz
);
COMMENT ON TABLE scrapehaul.spools IS
    'The spool folders of workers, each with the task queue on which its worker sweeps it.';
COMMENT ON COLUMN scrapehaul.spools.awaited_since IS
    'Since when a sweep has been asked for without an answer; null when none is outstanding. After a day the spool is forgotten.';
