-- +goose Up

ALTER TABLE scrapehaul.imports ADD COLUMN skipped bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN scrapehaul.imports.skipped IS
    'Records that a record hook of the worker did not want imported; part of the mark.';

CREATE TABLE scrapehaul.skipped_records (
    import_id     bigint NOT NULL REFERENCES scrapehaul.imports,
    record_number bigint NOT NULL,
    raw           bytea  NOT NULL,
    reason        text   NOT NULL,
    PRIMARY KEY (import_id, record_number)
);
COMMENT ON TABLE scrapehaul.skipped_records IS
    'Records that a record hook of the worker did not want imported, as they came, with its reason.';

ALTER TABLE scrapehaul.imports ADD COLUMN mapping text NOT NULL DEFAULT '';
COMMENT ON COLUMN scrapehaul.imports.mapping IS
    'Fingerprint of the mapping by which the records become rows of a table too; empty for none. Until they are published, table scrapehaul.mapped_rows_ID holds those rows, ID being the import_id.';
