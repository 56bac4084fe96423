-- What follows from the publishing of an import: facts of the event, whether it has been
-- announced, and what the outgoing webhook has not got yet.

-- +goose Up

ALTER TABLE scrapehaul.imports
    ADD COLUMN replaced_import_id bigint,
    ADD COLUMN restored           boolean NOT NULL DEFAULT false,
    ADD COLUMN announce           boolean NOT NULL DEFAULT false,
    ADD COLUMN announced_at       timestamptz;
COMMENT ON COLUMN scrapehaul.imports.replaced_import_id IS
    'The import of the job that was published before this one; null for none.';
COMMENT ON COLUMN scrapehaul.imports.restored IS
    'Its file came from the archive: Web Scraper Cloud did not have the job any more.';
COMMENT ON COLUMN scrapehaul.imports.announce IS
    'Something is to follow from its publishing: a workflow of the host, or the outgoing webhook.';
COMMENT ON COLUMN scrapehaul.imports.announced_at IS
    'When what is to follow was started, or reported as not started; null until then.';

-- All other imports are left out of the index.
CREATE INDEX imports_unannounced ON scrapehaul.imports (published_at) WHERE announce AND announced_at IS NULL;

-- No foreign key to imports: a host can keep its imports in a sink of its own.
CREATE TABLE scrapehaul.undelivered_publications (
    import_id    bigint      PRIMARY KEY,
    sitemap_name text        NOT NULL,
    event        jsonb       NOT NULL,
    published_at timestamptz NOT NULL,
    added_at     timestamptz NOT NULL DEFAULT now(),
    problem      text,
    failed_at    timestamptz
);
COMMENT ON TABLE scrapehaul.undelivered_publications IS
    'Publications that the outgoing webhook has not got: their rows are removed when they are delivered.';
COMMENT ON COLUMN scrapehaul.undelivered_publications.failed_at IS
    'When its delivery ended without success, with the reason in problem; null while it is tried.';

CREATE INDEX undelivered_publications_in_order ON scrapehaul.undelivered_publications (sitemap_name, published_at, import_id)
    WHERE failed_at IS NULL;
