-- When a job was scraped, the latest job of each sitemap, and which columns tell its records
-- apart.

-- +goose Up

-- All locks first, and not for long at a time: readers of views hold the tables, and
-- whoever waits for those keeps other readers waiting, and imports.
-- +goose StatementBegin
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    FOR attempt IN 1..30 LOOP
        BEGIN
            LOCK TABLE scrapehaul.scraping_jobs, scrapehaul.scraped_records, scrapehaul.sitemap_views;
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RAISE EXCEPTION 'the tables of records were in use for more than a minute: end what reads them for long, which pg_stat_activity has, or start again later';
END
$$;
-- +goose StatementEnd

ALTER TABLE scrapehaul.scraping_jobs
    ADD COLUMN time_created timestamptz,
    ADD COLUMN scraping_duration bigint;
COMMENT ON COLUMN scrapehaul.scraping_jobs.time_created IS
    'When the job was created in Web Scraper Cloud; null if that is not known.';
COMMENT ON COLUMN scrapehaul.scraping_jobs.scraping_duration IS
    'For how many seconds it was scraped.';

CREATE OR REPLACE VIEW scrapehaul.scraped_records AS
SELECT job.scrapingjob_id,
       job.sitemap_id,
       job.sitemap_name,
       job.custom_id,
       record.record_number,
       coalesce(record.data ->> 'web-scraper-order', record.data ->> 'web_scraper_order') AS web_scraper_order,
       record.data,
       job.published_at AS imported_at,
       job.account,
       job.time_created,
       job.scraping_duration
FROM scrapehaul.scraping_jobs AS job
JOIN scrapehaul.import_records AS record ON record.import_id = job.published_import_id;

-- Views that lack facts are replaced by the next import of their sitemap, or by
-- reconciliation, and get their latest job's view.
COMMENT ON TABLE scrapehaul.sitemap_views IS
    'The views of schemas sitemaps and sitemaps_latest, one in each for each sitemap of which a job is published.';
COMMENT ON COLUMN scrapehaul.sitemap_views.fact_names IS
    'The names in the view of what it says of each record''s job besides its ID and imported_at: account, time_created, scraping_duration.';
ALTER TABLE scrapehaul.sitemap_views ADD COLUMN key text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN scrapehaul.sitemap_views.key IS
    'The scraped columns that together tell one record of a job from another, by the file of mappings; empty if it does not say.';
