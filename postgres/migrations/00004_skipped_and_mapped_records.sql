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
