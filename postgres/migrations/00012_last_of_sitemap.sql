-- The job of a sitemap that was published last is found without a look at all of them.

-- +goose Up

CREATE INDEX scraping_jobs_last_of_sitemap ON scrapehaul.scraping_jobs (account, sitemap_name, published_at) WHERE status = 'finished';
