-- Imports whose records become rows of a mapped table, and are kept nowhere else.

-- +goose Up

ALTER TABLE scrapehaul.imports
    ADD COLUMN rows_only   boolean NOT NULL DEFAULT false,
    ADD COLUMN mapped_rows bigint;
COMMENT ON COLUMN scrapehaul.imports.rows_only IS
    'Whether the records were made rows of the mapped table and not kept themselves (keep_records: false).';
COMMENT ON COLUMN scrapehaul.imports.mapped_rows IS
    'Of such an import: how many rows of the mapped table were its job''s when it was published.';

-- There is nothing to compare in jobs whose records are not kept.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION scrapehaul.compared_jobs(
    sitemap text, INOUT key text[] DEFAULT NULL, INOUT older bigint DEFAULT NULL, INOUT newer bigint DEFAULT NULL, account text DEFAULT 'default',
    OUT older_import bigint, OUT newer_import bigint
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    qualified text   := CASE WHEN compared_jobs.account = 'default' THEN '' ELSE compared_jobs.account || ':' END || compared_jobs.sitemap;
    columns   text[];
    job       bigint;
    published bigint;
    rows_only boolean;
    missing   text;
BEGIN
    IF compared_jobs.account = 'default' AND position(':' IN compared_jobs.sitemap) > 0 THEN
        account := split_part(qualified, ':', 1);
        sitemap := substr(qualified, length(account) + 2);
    END IF;
    SELECT coalesce(nullif(compared_jobs.key, '{}'), view.key), view.columns INTO key, columns
    FROM scrapehaul.sitemap_views AS view WHERE view.account = compared_jobs.account AND view.sitemap_name = compared_jobs.sitemap;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no job of sitemap "%" is published', qualified USING ERRCODE = 'invalid_parameter_value',
            HINT = 'scrapehaul.sitemap_views has the names of all sitemaps, and their accounts.';
    END IF;
    SELECT bool_and(import.rows_only) INTO rows_only FROM scrapehaul.scraping_jobs AS of
    JOIN scrapehaul.imports AS import ON import.import_id = of.published_import_id
    WHERE of.sitemap_name = compared_jobs.sitemap AND of.account = compared_jobs.account;
    IF rows_only THEN
        RAISE EXCEPTION 'the records of sitemap "%" are not kept (keep_records: false)', qualified USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Leave keep_records out of the file of mappings: the records of the next jobs are kept, and starter reimport brings those of earlier ones, from the cloud or the archive.';
    END IF;
    IF key = '{}' THEN
        RAISE EXCEPTION 'it is not known which columns tell the records of sitemap "%" apart', qualified USING ERRCODE = 'invalid_parameter_value',
            HINT = format('Name them (key => ''{product-link-href}'', starter diff --key product-link-href), or give the sitemap a key in the file of mappings, which its next import takes. Its columns are %s.', left(columns::text, 1000));
    END IF;
    SELECT coalesce(name, 'NULL') INTO missing FROM unnest(key) AS name
    WHERE name IS NULL OR name <> ALL (columns || '{web-scraper-order,web-scraper-start-url}'::text[]) AND cardinality(columns) < 1500; -- no more are known
    IF FOUND THEN
        RAISE EXCEPTION 'sitemap "%" has no column "%"', qualified, missing USING ERRCODE = 'invalid_parameter_value',
            HINT = format('Its columns are %s.', left(columns::text, 1000));
    END IF;

    IF newer IS NULL THEN
        SELECT max(of.scrapingjob_id) INTO newer FROM scrapehaul.scraping_jobs AS of
        WHERE of.sitemap_name = compared_jobs.sitemap AND of.account = compared_jobs.account AND of.status = 'finished' AND of.published_import_id IS NOT NULL
          AND (older IS NULL OR of.scrapingjob_id > older);
    END IF;
    IF older IS NULL THEN
        SELECT max(of.scrapingjob_id) INTO older FROM scrapehaul.scraping_jobs AS of
        WHERE of.sitemap_name = compared_jobs.sitemap AND of.account = compared_jobs.account AND of.status = 'finished' AND of.published_import_id IS NOT NULL
          AND of.scrapingjob_id < newer;
    END IF;
    IF older IS NULL OR newer IS NULL THEN
        RAISE EXCEPTION 'sitemap "%" has no other finished, published job %', qualified,
            CASE WHEN newer IS NOT NULL THEN format('before %s', newer) WHEN older IS NOT NULL THEN format('after %s', older) ELSE 'yet' END
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Two jobs are compared: name them by older and newer, or wait for the next one.';
    END IF;
    FOREACH job IN ARRAY ARRAY[older, newer] LOOP
        SELECT of.published_import_id, import.rows_only INTO published, rows_only FROM scrapehaul.scraping_jobs AS of
        LEFT JOIN scrapehaul.imports AS import ON import.import_id = of.published_import_id
        WHERE of.scrapingjob_id = job AND of.sitemap_name = compared_jobs.sitemap AND of.account = compared_jobs.account;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'scraping job % is not known as one of sitemap "%"', job, qualified USING ERRCODE = 'invalid_parameter_value',
                HINT = 'scrapehaul.scraping_jobs has the jobs of each sitemap.';
        ELSIF published IS NULL THEN
            RAISE EXCEPTION 'the records of scraping job % were removed', job USING ERRCODE = 'invalid_parameter_value',
                HINT = format('starter reimport %s brings them back, from the cloud or the archive.', job);
        ELSIF rows_only THEN
            RAISE EXCEPTION 'the records of scraping job % are not kept (keep_records: false)', job USING ERRCODE = 'invalid_parameter_value',
                HINT = format('Leave keep_records out of the file of mappings: starter reimport %s brings them then, from the cloud or the archive.', job);
        END IF;
        IF job = newer THEN
            newer_import := published;
        END IF;
        IF job = older THEN
            older_import := published;
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd
