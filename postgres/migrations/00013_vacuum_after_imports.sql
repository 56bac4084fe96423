-- Vacuum comes after an import in a table of any size.

-- +goose Up

-- By default a fifth of the table has to be new: until then readers look up in the table
-- of each new record whether it is visible. What vacuum knows all of it leaves out, so that it
-- reads what is new, once a minute at most.
-- +goose StatementBegin
DO $$
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    FOR attempt IN 1..30 LOOP
        BEGIN
            ALTER TABLE scrapehaul.import_records SET (autovacuum_vacuum_insert_scale_factor = 0);
            RETURN;
        EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
            PERFORM pg_sleep(1);
        END;
    END LOOP;
    RAISE EXCEPTION 'the table of records was in use for more than a minute: end what reads it for long, which pg_stat_activity has, or start again later';
END
$$;
-- +goose StatementEnd
