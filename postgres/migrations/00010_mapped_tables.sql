-- By which mapping each mapped table was made or migrated last.

-- +goose Up

CREATE TABLE scrapehaul.mapped_tables (
    table_name text        PRIMARY KEY,
    shape      jsonb       NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE scrapehaul.mapped_tables IS
    'One row per mapped table, as schema.name, with the columns, the key and the mode of the mapping that it was made for or migrated to last: a worker whose file of mappings has others publishes nothing into it.';
