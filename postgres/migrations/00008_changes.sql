-- What has changed from one job of a sitemap to another.

-- +goose Up

CREATE TYPE scrapehaul.record_change AS (
    change            text,
    key               jsonb,
    old_record_number bigint,
    new_record_number bigint,
    old               jsonb,
    new               jsonb
);
COMMENT ON TYPE scrapehaul.record_change IS
    'What has become of the record of a key: new, gone or changed, or duplicate if the key does not tell one record from another.';

-- The columns of the key are k1, k2, …; hash is of the record as its text has it, without
-- the built-in columns. That of jsonb would not do: to it 1.0 is 1, and it does not see that
-- the values of two columns are exchanged that are 16 apart. The subquery with OFFSET is not
-- inlined, so that only what is compact is sorted, hashed and written to disk, and is what
-- parallel workers compute. Records are read again, by their numbers, where they differ.
-- +goose StatementBegin
CREATE FUNCTION scrapehaul.changes_query(older_import bigint, newer_import bigint, key text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
SELECT format($query$
SELECT kind.change, kind.key, compared.old_number AS old_record_number, compared.new_number AS new_record_number,
       CASE kind.change WHEN 'duplicate' THEN jsonb_build_object('records', compared.olds)
                        WHEN 'changed' THEN difference.old ELSE record.old END AS old,
       CASE kind.change WHEN 'duplicate' THEN jsonb_build_object('records', compared.news)
                        WHEN 'changed' THEN difference.new ELSE record.new END AS new
FROM (
    SELECT %1$s,
           count(*) FILTER (WHERE import_id = %2$s) AS olds, min(record_number) FILTER (WHERE import_id = %2$s) AS old_number,
           count(*) FILTER (WHERE import_id = %3$s) AS news, min(record_number) FILTER (WHERE import_id = %3$s) AS new_number
    FROM (
        SELECT import_id, record_number, %4$s, hashtextextended((data - %5$L::text[])::text, 0) AS hash
        FROM scrapehaul.import_records WHERE import_id IN (%2$s, %3$s) OFFSET 0
    ) AS compact
    GROUP BY %1$s
    HAVING count(*) FILTER (WHERE import_id = %2$s) <> 1 OR count(*) FILTER (WHERE import_id = %3$s) <> 1 OR (%6$s) IS NULL
        OR min(hash) FILTER (WHERE import_id = %2$s) <> min(hash) FILTER (WHERE import_id = %3$s)
    ORDER BY new_number, old_number OFFSET 0
) AS compared
CROSS JOIN LATERAL (
    SELECT CASE WHEN olds > 1 OR news > 1 OR (%6$s) IS NULL THEN 'duplicate'
                WHEN olds = 0 THEN 'new' WHEN news = 0 THEN 'gone' ELSE 'changed' END AS change,
           jsonb_object(%7$L::text[], ARRAY[%1$s]) AS key
    OFFSET 0
) AS kind
CROSS JOIN LATERAL (
    SELECT (SELECT data - %5$L::text[] FROM scrapehaul.import_records
            WHERE import_id = %2$s AND record_number = old_number AND kind.change <> 'duplicate') AS old,
           (SELECT data - %5$L::text[] FROM scrapehaul.import_records
            WHERE import_id = %3$s AND record_number = new_number AND kind.change <> 'duplicate') AS new
    OFFSET 0
) AS record
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(name, record.old -> name) AS old, jsonb_object_agg(name, record.new -> name) AS new
    FROM jsonb_object_keys(record.old || record.new) AS name
    WHERE (record.old ->> name) IS DISTINCT FROM (record.new ->> name)
) AS difference
WHERE kind.change <> 'changed' OR difference.old IS NOT NULL
$query$,
    string_agg('k' || n, ', ' ORDER BY n),
    older_import, newer_import,
    string_agg(format('(%s) COLLATE "C" AS k%s', coalesce(
        (SELECT format('coalesce(data ->> %L, data ->> %L)', spelling, replace(spelling, '_', '-'))
         FROM unnest('{web_scraper_order,web_scraper_start_url}'::text[]) AS spelling WHERE name IN (spelling, replace(spelling, '_', '-'))),
        format('data ->> %L', name)), n), ', ' ORDER BY n),
    '{web_scraper_order,web-scraper-order,web_scraper_start_url,web-scraper-start-url}'::text[],
    string_agg('k' || n, ' || ' ORDER BY n),
    key)
FROM unnest(key) WITH ORDINALITY AS of_key (name, n)
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION scrapehaul.changes_query IS
    'The query whose rows are what has changed from one import to another, as of scrapehaul.changes.';

-- +goose StatementBegin
CREATE FUNCTION scrapehaul.compared_jobs(
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
COMMENT ON FUNCTION scrapehaul.compared_jobs IS
    'The jobs that scrapehaul.changes compares, their published imports, and the key of the records.';

-- Planners take the reading of a record's columns for cheap, and a tuple from a parallel
-- worker for dear: here it is the other way round.
-- +goose StatementBegin
CREATE FUNCTION scrapehaul.changes(
    sitemap text, key text[] DEFAULT NULL, older bigint DEFAULT NULL, newer bigint DEFAULT NULL, account text DEFAULT 'default'
) RETURNS SETOF scrapehaul.record_change
LANGUAGE plpgsql STABLE SET parallel_tuple_cost = 0 SET jit = off AS $$
DECLARE
    compared record;
BEGIN
    compared := scrapehaul.compared_jobs(sitemap, key, older, newer, account);
    RETURN QUERY EXECUTE scrapehaul.changes_query(compared.older_import, compared.newer_import, compared.key);
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION scrapehaul.changes IS
    'What has changed from one job of a sitemap to another: by default from the last but one finished, published job to the last.';
