-- What is kept only in part is counted apart: records of which only the beginning
-- is kept, and those without a row in the table of their mapping.

-- +goose Up

-- In the order in which imports that are under way lock the tables.
ALTER TABLE scrapehaul.rejected_records ADD COLUMN cut boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN scrapehaul.rejected_records.cut IS
    'raw is only the beginning of the record.';

ALTER TABLE scrapehaul.imports
    ADD COLUMN unmapped bigint NOT NULL DEFAULT 0,
    ADD COLUMN cut      bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN scrapehaul.imports.unmapped IS
    'Those of records that have no row in the table of their mapping; part of the mark.';
COMMENT ON COLUMN scrapehaul.imports.cut IS
    'Those of rejected of which only the beginning is kept; part of the mark.';

UPDATE scrapehaul.rejected_records SET cut = true
WHERE length(raw) = 65536 AND reason LIKE '%(MAX_RECORD_BYTES)';
UPDATE scrapehaul.imports SET cut = rejected.cut
FROM (SELECT import_id, count(*) AS cut FROM scrapehaul.rejected_records WHERE cut GROUP BY import_id) AS rejected
WHERE imports.import_id = rejected.import_id;

CREATE TABLE scrapehaul.unmapped_records (
    import_id     bigint NOT NULL REFERENCES scrapehaul.imports,
    record_number bigint NOT NULL,
    reason        text   NOT NULL,
    PRIMARY KEY (import_id, record_number)
);
COMMENT ON TABLE scrapehaul.unmapped_records IS
    'Records that are in import_records but have no row in the table of their mapping, which they do not fit, with the reason.';
