-- +goose Up

ALTER TABLE scrapehaul.imports ADD COLUMN columns text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN scrapehaul.imports.columns IS
    'The columns of the records, in the order of their first appearance in the file; part of the mark.';

CREATE INDEX scraping_jobs_by_sitemap ON scrapehaul.scraping_jobs (sitemap_name);

CREATE TABLE scrapehaul.sitemap_views (
    sitemap_name text PRIMARY KEY,
    view_name    text    NOT NULL UNIQUE,
    columns      text[]  NOT NULL DEFAULT '{}',
    column_names text[]  NOT NULL DEFAULT '{}',
    in_view      integer NOT NULL DEFAULT 0,
    refreshed_at timestamptz,
    problem      text
);
COMMENT ON TABLE scrapehaul.sitemap_views IS
    'The views of schema sitemaps, one for each sitemap of which a job is published.';
COMMENT ON COLUMN scrapehaul.sitemap_views.columns IS
    'All columns that published imports of the sitemap have had, in the order of their first appearance; column_names are their names in the view, which has the first in_view of them.';
COMMENT ON COLUMN scrapehaul.sitemap_views.problem IS
    'Why the view could not be made or refreshed; null when it is as it should be. It is tried again with each import of the sitemap and with each reconciliation.';
