-- Retention: records of old imports are removed, and vacuum keeps up with that.

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
    ADD COLUMN removed_at timestamptz;
COMMENT ON COLUMN scrapehaul.imports.removed_at IS
    'When readers lost sight of its records because their retention was over; records_removed_at is when the last of them was deleted.';

ALTER TABLE scrapehaul.scraping_jobs ADD COLUMN removed_import_id bigint;
COMMENT ON COLUMN scrapehaul.scraping_jobs.removed_import_id IS
    'The import that was published last, if its records were removed since: published_import_id is null then.';

DROP INDEX scrapehaul.imports_unneeded;
CREATE INDEX imports_unneeded ON scrapehaul.imports (scrapingjob_id)
    WHERE state IN ('replaced', 'abandoned', 'removed') AND records_removed_at IS NULL;

-- By default a fifth of the table is dead before its space is used again. With a
-- fiftieth, the records that are removed on one day make room for those of the next.
ALTER TABLE scrapehaul.import_records SET (
    autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02);
