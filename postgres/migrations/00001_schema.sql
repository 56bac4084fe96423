-- The schema: scraping jobs, their imports, the records, and the view of them
-- that readers use. Schemas scrapehaul and sitemaps are there already: an
-- administrator can make them beforehand. docs/data.md describes the tables.

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

CREATE INDEX scraping_jobs_by_sitemap ON scrapehaul.scraping_jobs (sitemap_name);

CREATE TABLE scrapehaul.imports (
    import_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    scrapingjob_id     bigint      NOT NULL REFERENCES scrapehaul.scraping_jobs,
    workflow_run_id    text        NOT NULL,
    pass               integer     NOT NULL,
    requested_at       timestamptz NOT NULL,
    bytes              bigint      NOT NULL,
    sha256             text        NOT NULL,
    mapping            text        NOT NULL DEFAULT '',
    state              text        NOT NULL DEFAULT 'importing'
                       CHECK (state IN ('importing', 'published', 'replaced', 'abandoned')),
    fence              bigint      NOT NULL DEFAULT 1,
    committed_bytes    bigint      NOT NULL DEFAULT 0,
    last_record_number bigint      NOT NULL DEFAULT 0,
    records            bigint      NOT NULL DEFAULT 0,
    rejected           bigint      NOT NULL DEFAULT 0,
    skipped            bigint      NOT NULL DEFAULT 0,
    columns            text[]      NOT NULL DEFAULT '{}',
    problem            text,
    started_at         timestamptz NOT NULL DEFAULT now(),
    published_at       timestamptz,
    records_removed_at timestamptz
);
COMMENT ON TABLE scrapehaul.imports IS
    'One row per import of a downloaded file. committed_bytes to rejected are the mark: they change in the same transaction as the records they count.';
COMMENT ON COLUMN scrapehaul.imports.requested_at IS
    'When the workflow asked for this import: an older request never replaces a newer one.';
COMMENT ON COLUMN scrapehaul.imports.mapping IS
    'Fingerprint of the mapping by which the records become rows of a table too; empty for none. Until they are published, table scrapehaul.mapped_rows_ID holds those rows, ID being the import_id.';
COMMENT ON COLUMN scrapehaul.imports.fence IS
    'Number of the attempt that may write; an attempt with another number has been overtaken and commits nothing.';
COMMENT ON COLUMN scrapehaul.imports.skipped IS
    'Records that a record hook of the worker did not want imported; part of the mark.';
COMMENT ON COLUMN scrapehaul.imports.columns IS
    'The columns of the records, in the order of their first appearance in the file; part of the mark.';
COMMENT ON COLUMN scrapehaul.imports.problem IS
    'What publishing could not do besides, in a sentence; it may have been mended since. NULL if there was nothing.';

-- The constraints are the lock: one import of a job at a time, one published.
CREATE UNIQUE INDEX imports_one_importing ON scrapehaul.imports (scrapingjob_id) WHERE state = 'importing';
CREATE UNIQUE INDEX imports_one_published ON scrapehaul.imports (scrapingjob_id) WHERE state = 'published';
CREATE INDEX imports_by_job ON scrapehaul.imports (scrapingjob_id, requested_at);
-- Their records wait for removal; all other imports are left out of the index.
CREATE INDEX imports_unneeded ON scrapehaul.imports (scrapingjob_id)
    WHERE state IN ('replaced', 'abandoned') AND records_removed_at IS NULL;

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

CREATE TABLE scrapehaul.skipped_records (
    import_id     bigint NOT NULL REFERENCES scrapehaul.imports,
    record_number bigint NOT NULL,
    raw           bytea  NOT NULL,
    reason        text   NOT NULL,
    PRIMARY KEY (import_id, record_number)
);
COMMENT ON TABLE scrapehaul.skipped_records IS
    'Records that a record hook of the worker did not want imported, as they came, with its reason.';

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

CREATE TABLE scrapehaul.sitemap_views (
    sitemap_name text PRIMARY KEY,
    view_name    text    NOT NULL UNIQUE,
    columns      text[]  NOT NULL DEFAULT '{}',
    column_names text[]  NOT NULL DEFAULT '{}',
    in_view      integer NOT NULL DEFAULT 0,
    refreshed_at timestamptz,
    problem      text
);
COMMENT ON TABLE scrapehaul.sitemap_views IS
    'The views of schema sitemaps, one for each sitemap of which a job is published.';
COMMENT ON COLUMN scrapehaul.sitemap_views.columns IS
    'All columns that published imports of the sitemap have had, in the order of their first appearance; column_names are their names in the view, which has the first in_view of them.';
COMMENT ON COLUMN scrapehaul.sitemap_views.problem IS
    'Why the view could not be made or refreshed; null when it is as it should be. It is tried again with each import of the sitemap and with each reconciliation.';

-- No foreign key to scraping_jobs: a job can be given up before its first import begins.
CREATE TABLE scrapehaul.given_up_jobs (
    scrapingjob_id      bigint PRIMARY KEY,
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
