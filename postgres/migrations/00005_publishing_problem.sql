-- +goose Up

ALTER TABLE scrapehaul.imports ADD COLUMN problem text;
COMMENT ON COLUMN scrapehaul.imports.problem IS
    'What publishing could not do besides, in a sentence; it may have been mended since. NULL if there was nothing.';
