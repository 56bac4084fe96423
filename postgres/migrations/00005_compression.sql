-- Large records: lz4 compresses them, and views of sitemaps unpack each once, not once
-- for each column.

-- Each statement by itself: together they could wait for a publication that waits
-- for them.
-- +goose NO TRANSACTION
-- +goose Up

-- What is stored already stays as it is. Readers of views hold the table, and whoever
-- waits for it keeps other readers waiting, and imports: so not for long at a time.
-- +goose StatementBegin
DO $$
DECLARE
    raw_column text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        RETURN; -- PostgreSQL 13, or one built without lz4
    END IF;
    PERFORM set_config('lock_timeout', '2s', true);
    FOR attempt IN 1..30 LOOP
        BEGIN
            FOREACH raw_column IN ARRAY ARRAY['import_records ALTER data', 'rejected_records ALTER raw', 'skipped_records ALTER raw'] LOOP
                EXECUTE 'ALTER TABLE scrapehaul.' || raw_column || ' SET COMPRESSION lz4';
            END LOOP;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RAISE EXCEPTION 'the tables of records were in use for more than a minute: end what reads them for long, which pg_stat_activity has, or start again later';
END
$$;
-- +goose StatementEnd

-- A view that lacks columns is made anew by the next import of its sitemap, or by
-- reconciliation.
UPDATE scrapehaul.sitemap_views SET in_view = 0;
