-- Retention: records of old imports are removed, and vacuum keeps up with that. What is
-- noted of an import's comparison, and of one whose records are rows of a mapped table only.

-- +goose Up

-- All locks first, and not for long at a time: readers of views hold the tables, and
-- whoever waits for those keeps other readers waiting, and imports.
-- +goose StatementBegin
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    FOR attempt IN 1..30 LOOP
        BEGIN
            LOCK TABLE scrapehaul.scraping_jobs, scrapehaul.imports;
            LOCK TABLE scrapehaul.import_records IN SHARE UPDATE EXCLUSIVE MODE;
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RAISE EXCEPTION 'the tables of records were in use for more than a minute: end what reads them for long, which pg_stat_activity has, or start again later';
END
$$;
-- +goose StatementEnd

ALTER TABLE scrapehaul.imports
    DROP CONSTRAINT imports_state_check,
    ADD CONSTRAINT imports_state_check CHECK (state IN ('importing', 'published', 'replaced', 'abandoned', 'removed')),
    ADD COLUMN removed_at         timestamptz,
    ADD COLUMN compared_import_id bigint,
    ADD COLUMN new_records        bigint,
    ADD COLUMN gone_records       bigint,
    ADD COLUMN changed_records    bigint,
    ADD COLUMN duplicate_keys     bigint,
    ADD COLUMN rows_only          boolean NOT NULL DEFAULT false,
    ADD COLUMN mapped_rows        bigint;
COMMENT ON COLUMN scrapehaul.imports.removed_at IS
    'When readers lost sight of its records because their retention was over; records_removed_at is when the last of them was deleted.';
COMMENT ON COLUMN scrapehaul.imports.compared_import_id IS
    'The published import of the sitemap''s finished job before this one''s, as it was when the two were compared: new_records to duplicate_keys count what scrapehaul.changes has. Null until then, and without a key.';
COMMENT ON COLUMN scrapehaul.imports.rows_only IS
    'Whether the records were made rows of the mapped table and not kept themselves (keep_records: false).';
COMMENT ON COLUMN scrapehaul.imports.mapped_rows IS
    'Of such an import: how many rows of the mapped table were its job''s when it was published.';

ALTER TABLE scrapehaul.scraping_jobs ADD COLUMN removed_import_id bigint;
COMMENT ON COLUMN scrapehaul.scraping_jobs.removed_import_id IS
    'The import that was published last, if its records were removed since: published_import_id is null then.';

DROP INDEX scrapehaul.imports_unneeded;
CREATE INDEX imports_unneeded ON scrapehaul.imports (scrapingjob_id)
    WHERE state IN ('replaced', 'abandoned', 'removed') AND records_removed_at IS NULL;

-- The job of a sitemap that was published last is found without a look at all of them.
CREATE INDEX scraping_jobs_last_of_sitemap ON scrapehaul.scraping_jobs (account, sitemap_name, published_at) WHERE status = 'finished';

-- By default a fifth of the table is dead before its space is used again. With a
-- fiftieth, the records that are removed on one day make room for those of the next. And a
-- fifth has to be new before vacuum marks it as visible to all, until when readers look up
-- each record in the table: it comes after each import, once a minute at most, and leaves
-- out what it knows.
ALTER TABLE scrapehaul.import_records SET (
    autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02);
