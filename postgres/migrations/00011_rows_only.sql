-- Imports whose records become rows of a mapped table, and are kept nowhere else.

-- +goose Up

ALTER TABLE scrapehaul.imports
    ADD COLUMN rows_only   boolean NOT NULL DEFAULT false,
    ADD COLUMN mapped_rows bigint;
COMMENT ON COLUMN scrapehaul.imports.rows_only IS
    'Whether the records were made rows of the mapped table and not kept themselves (keep_records: false).';
COMMENT ON COLUMN scrapehaul.imports.mapped_rows IS
    'Of such an import: how many rows of the mapped table were its job''s when it was published.';
