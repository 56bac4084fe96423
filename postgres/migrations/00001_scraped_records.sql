-- +goose Up

CREATE TABLE scrapehaul.scraping_jobs (
    scrapingjob_id      bigint PRIMARY KEY,
    sitemap_id          bigint,
    sitemap_name        text,
    custom_id           text,
    status              text,
    jobs_scheduled      bigint,
    jobs_executed       bigint,
    jobs_failed         bigint,
    jobs_empty          bigint,
    jobs_no_value       bigint,
    stored_record_count bigint,
    published_import_id bigint,
    published_at        timestamptz,
    cloud_deleted_at    timestamptz
);
COMMENT ON TABLE scrapehaul.scraping_jobs IS
    'One row per scraping job: its published import and the job object (status and counts) as it was for that import; all null until the first import is published.';
COMMENT ON COLUMN scrapehaul.scraping_jobs.cloud_deleted_at IS
    'When the job was deleted in Web Scraper Cloud, after its records had been verified here.';

CREATE TABLE scrapehaul.imports (
    import_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scrapingjob_id      bigint      NOT NULL REFERENCES scrapehaul.scraping_jobs,
    workflow_run_id     text        NOT NULL,
    pass                integer     NOT NULL,
    requested_at        timestamptz NOT NULL,
    state               text        NOT NULL DEFAULT 'importing'
                        CHECK (state IN ('importing', 'published', 'replaced', 'abandoned')),
    fence               bigint      NOT NULL DEFAULT 1,
    bytes               bigint      NOT NULL,
    sha256              text        NOT NULL,
    committed_bytes     bigint      NOT NULL DEFAULT 0,
    last_record_number  bigint      NOT NULL DEFAULT 0,
    records             bigint      NOT NULL DEFAULT 0,
    rejected            bigint      NOT NULL DEFAULT 0,
    started_at          timestamptz NOT NULL DEFAULT now(),
    published_at        timestamptz,
    records_removed_at  timestamptz
);
COMMENT ON TABLE scrapehaul.imports IS
    'One row per import of a downloaded file. committed_bytes to rejected are the mark: they change in the same transaction as the records they count.';
COMMENT ON COLUMN scrapehaul.imports.requested_at IS
    'When the workflow asked for this import: an older request never replaces a newer one.';
COMMENT ON COLUMN scrapehaul.imports.fence IS
    'Number of the attempt that may write; an attempt with another number has been overtaken and commits nothing.';

-- The constraints are the lock: one import of a job at a time, one published.
CREATE UNIQUE INDEX imports_one_importing ON scrapehaul.imports (scrapingjob_id) WHERE state = 'importing';
CREATE UNIQUE INDEX imports_one_published ON scrapehaul.imports (scrapingjob_id) WHERE state = 'published';
CREATE INDEX imports_by_job ON scrapehaul.imports (scrapingjob_id, requested_at);

-- No foreign key to imports: it would be checked once for every record copied.
CREATE TABLE scrapehaul.import_records (
    import_id     bigint NOT NULL,
    record_number bigint NOT NULL,
    data          jsonb  NOT NULL,
    PRIMARY KEY (import_id, record_number)
);

CREATE TABLE scrapehaul.rejected_records (
    import_id     bigint NOT NULL REFERENCES scrapehaul.imports,
    record_number bigint NOT NULL,
    raw           bytea  NOT NULL,
    reason        text   NOT NULL,
    PRIMARY KEY (import_id, record_number)
);
COMMENT ON TABLE scrapehaul.rejected_records IS
    'Records that JSON or PostgreSQL refused, as they came. raw holds the first 64 KiB of a record over MAX_RECORD_BYTES.';

CREATE VIEW scrapehaul.scraped_records AS
SELECT job.scrapingjob_id,
       job.sitemap_id,
       job.sitemap_name,
       job.custom_id,
       record.record_number,
       coalesce(record.data ->> 'web-scraper-order', record.data ->> 'web_scraper_order') AS web_scraper_order,
       record.data,
       job.published_at AS imported_at
FROM scrapehaul.scraping_jobs AS job
JOIN scrapehaul.import_records AS record ON record.import_id = job.published_import_id;
COMMENT ON VIEW scrapehaul.scraped_records IS
    'The records of the published import of every scraping job: all of one import, never part of it.';
