-- Several accounts of Web Scraper Cloud: each job is one's, and sitemaps of two accounts may
-- have one name. What was there before is the default account's.

-- +goose Up

-- All locks first, and not for long at a time: readers of views hold the tables, and
-- whoever waits for those keeps other readers waiting, and imports.
-- +goose StatementBegin
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    FOR attempt IN 1..30 LOOP
        BEGIN
            LOCK TABLE scrapehaul.scraped_records, scrapehaul.sitemap_views, scrapehaul.undelivered_publications;
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RAISE EXCEPTION 'the tables of records were in use for more than a minute: end what reads them for long, which pg_stat_activity has, or start again later';
END
$$;
-- +goose StatementEnd

ALTER TABLE scrapehaul.scraping_jobs ADD COLUMN account text NOT NULL DEFAULT 'default';
COMMENT ON COLUMN scrapehaul.scraping_jobs.account IS
    'The account of Web Scraper Cloud that has the job; once an import is published, it stays the same.';

DROP INDEX scrapehaul.scraping_jobs_by_sitemap;
CREATE INDEX scraping_jobs_by_sitemap ON scrapehaul.scraping_jobs (sitemap_name, account);

-- Most sitemaps are one account's: without these the planner expects too few jobs of one.
CREATE STATISTICS scrapehaul.scraping_jobs_sitemaps (dependencies, mcv) ON sitemap_name, account FROM scrapehaul.scraping_jobs;
ANALYZE scrapehaul.scraping_jobs;

CREATE OR REPLACE VIEW scrapehaul.scraped_records AS
SELECT job.scrapingjob_id,
       job.sitemap_id,
       job.sitemap_name,
       job.custom_id,
       record.record_number,
       coalesce(record.data ->> 'web-scraper-order', record.data ->> 'web_scraper_order') AS web_scraper_order,
       record.data,
       job.published_at AS imported_at,
       job.account
FROM scrapehaul.scraping_jobs AS job
JOIN scrapehaul.import_records AS record ON record.import_id = job.published_import_id;

-- A view that lacks facts is replaced by the next import of its sitemap, or by
-- reconciliation.
ALTER TABLE scrapehaul.sitemap_views
    ADD COLUMN account text NOT NULL DEFAULT 'default',
    ADD COLUMN fact_names text[] NOT NULL DEFAULT '{}',
    DROP CONSTRAINT sitemap_views_pkey,
    ADD PRIMARY KEY (account, sitemap_name);
COMMENT ON COLUMN scrapehaul.sitemap_views.fact_names IS
    'The names in the view of what it says of each record''s job besides its ID and imported_at: of the account.';

ALTER TABLE scrapehaul.undelivered_publications ADD COLUMN account text NOT NULL DEFAULT 'default';
DROP INDEX scrapehaul.undelivered_publications_in_order;
CREATE INDEX undelivered_publications_in_order ON scrapehaul.undelivered_publications (account, sitemap_name, published_at, import_id)
    WHERE failed_at IS NULL;

CREATE TABLE scrapehaul.refused_jobs (
    scrapingjob_id bigint      NOT NULL,
    account        text        NOT NULL,
    refused_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scrapingjob_id, account)
);
COMMENT ON TABLE scrapehaul.refused_jobs IS
    'Scraping jobs of an account that were not imported, because another account has a published one of the same ID, with the time of the last refusal.';
