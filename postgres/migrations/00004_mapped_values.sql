-- How many values each mapped column got, so that one which has lost them is found.

-- +goose Up

ALTER TABLE scrapehaul.imports ADD COLUMN mapped_values jsonb;
COMMENT ON COLUMN scrapehaul.imports.mapped_values IS
    'How many rows have a value in each column of the mapping, empty text being none; null until it is published, and without a mapping or rows.';
