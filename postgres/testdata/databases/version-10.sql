--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: scrapehaul; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA scrapehaul;


--
-- Name: sitemaps; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA sitemaps;


--
-- Name: record_change; Type: TYPE; Schema: scrapehaul; Owner: -
--

CREATE TYPE scrapehaul.record_change AS (
	change text,
	key jsonb,
	old_record_number bigint,
	new_record_number bigint,
	old jsonb,
	new jsonb
);


--
-- Name: TYPE record_change; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TYPE scrapehaul.record_change IS 'What has become of the record of a key: new, gone or changed, or duplicate if the key does not tell one record from another.';


--
-- Name: changes(text, text[], bigint, bigint, text); Type: FUNCTION; Schema: scrapehaul; Owner: -
--

CREATE FUNCTION scrapehaul.changes(sitemap text, key text[] DEFAULT NULL::text[], older bigint DEFAULT NULL::bigint, newer bigint DEFAULT NULL::bigint, account text DEFAULT 'default'::text) RETURNS SETOF scrapehaul.record_change
    LANGUAGE plpgsql STABLE
    SET parallel_tuple_cost TO '0'
    SET jit TO 'off'
    AS $$
DECLARE
    compared record;
BEGIN
    compared := scrapehaul.compared_jobs(sitemap, key, older, newer, account);
    RETURN QUERY EXECUTE scrapehaul.changes_query(compared.older_import, compared.newer_import, compared.key);
END
$$;


--
-- Name: FUNCTION changes(sitemap text, key text[], older bigint, newer bigint, account text); Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON FUNCTION scrapehaul.changes(sitemap text, key text[], older bigint, newer bigint, account text) IS 'What has changed from one job of a sitemap to another: by default from the last but one finished, published job to the last.';


--
-- Name: changes_query(bigint, bigint, text[]); Type: FUNCTION; Schema: scrapehaul; Owner: -
--

CREATE FUNCTION scrapehaul.changes_query(older_import bigint, newer_import bigint, key text[]) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $_$
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
$_$;


--
-- Name: FUNCTION changes_query(older_import bigint, newer_import bigint, key text[]); Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON FUNCTION scrapehaul.changes_query(older_import bigint, newer_import bigint, key text[]) IS 'The query whose rows are what has changed from one import to another, as of scrapehaul.changes.';


--
-- Name: compared_jobs(text, text[], bigint, bigint, text); Type: FUNCTION; Schema: scrapehaul; Owner: -
--

CREATE FUNCTION scrapehaul.compared_jobs(sitemap text, INOUT key text[] DEFAULT NULL::text[], INOUT older bigint DEFAULT NULL::bigint, INOUT newer bigint DEFAULT NULL::bigint, account text DEFAULT 'default'::text, OUT older_import bigint, OUT newer_import bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    AS $$
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


--
-- Name: FUNCTION compared_jobs(sitemap text, INOUT key text[], INOUT older bigint, INOUT newer bigint, account text, OUT older_import bigint, OUT newer_import bigint); Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON FUNCTION scrapehaul.compared_jobs(sitemap text, INOUT key text[], INOUT older bigint, INOUT newer bigint, account text, OUT older_import bigint, OUT newer_import bigint) IS 'The jobs that scrapehaul.changes compares, their published imports, and the key of the records.';


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: api_budgets; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.api_budgets (
    account text NOT NULL,
    window_length interval DEFAULT '00:15:00'::interval NOT NULL,
    window_number bigint DEFAULT 0 NOT NULL,
    calls integer DEFAULT 0 NOT NULL,
    taken integer DEFAULT 0 NOT NULL,
    commands integer DEFAULT 0 NOT NULL,
    elsewhere integer DEFAULT 0 NOT NULL,
    answered boolean DEFAULT false NOT NULL,
    resets_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
);


--
-- Name: TABLE api_budgets; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.api_budgets IS 'One row per account of Web Scraper Cloud: the window in which its API calls are counted at present. A window begins with its first call.';


--
-- Name: COLUMN api_budgets.calls; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.api_budgets.calls IS 'How many calls the window has: the lowest API_CALLS_PER_15_MINUTES of those who have taken some, and what the service says.';


--
-- Name: COLUMN api_budgets.taken; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.api_budgets.taken IS 'How many of them scrapehaul has taken; elsewhere counts those that others have made, as far as the service''s answers tell.';


--
-- Name: COLUMN api_budgets.commands; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.api_budgets.commands IS 'How many of these were for people''s commands, like starter jobs.';


--
-- Name: COLUMN api_budgets.answered; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.api_budgets.answered IS 'The service has answered to a call of the window, so that resets_at is no earlier than its own.';


--
-- Name: api_waits; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.api_waits (
    account text NOT NULL,
    holder text NOT NULL,
    calls integer NOT NULL,
    place timestamp with time zone NOT NULL,
    until timestamp with time zone NOT NULL
);


--
-- Name: TABLE api_waits; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.api_waits IS 'Who waits for calls of a later window: a workflow by its ID, which has been promised them at a time.';


--
-- Name: COLUMN api_waits.place; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.api_waits.place IS 'The order: when they were asked for, put back or forward by what they are for.';


--
-- Name: given_up_jobs; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.given_up_jobs (
    scrapingjob_id bigint NOT NULL,
    status text NOT NULL,
    jobs_scheduled bigint NOT NULL,
    jobs_executed bigint NOT NULL,
    jobs_failed bigint NOT NULL,
    jobs_empty bigint NOT NULL,
    jobs_no_value bigint NOT NULL,
    stored_record_count bigint NOT NULL,
    given_up_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE given_up_jobs; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.given_up_jobs IS 'Scraping jobs whose import a person has abandoned, with the job object (status and counts) as it was then: as long as it stays the same, reconciliation does not start the import again. Publishing an import of the job removes its row.';


--
-- Name: goose_db_version; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.goose_db_version (
    id integer NOT NULL,
    version_id bigint NOT NULL,
    is_applied boolean NOT NULL,
    tstamp timestamp without time zone DEFAULT now() NOT NULL
);


--
-- Name: goose_db_version_id_seq; Type: SEQUENCE; Schema: scrapehaul; Owner: -
--

ALTER TABLE scrapehaul.goose_db_version ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME scrapehaul.goose_db_version_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: import_records; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.import_records (
    import_id bigint NOT NULL,
    record_number bigint NOT NULL,
    data jsonb NOT NULL
)
WITH (autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_scale_factor='0.02', toast.autovacuum_vacuum_scale_factor='0.02');


--
-- Name: imports; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.imports (
    import_id bigint NOT NULL,
    scrapingjob_id bigint NOT NULL,
    workflow_run_id text NOT NULL,
    pass integer NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    mapping text DEFAULT ''::text NOT NULL,
    state text DEFAULT 'importing'::text NOT NULL,
    fence bigint DEFAULT 1 NOT NULL,
    committed_bytes bigint DEFAULT 0 NOT NULL,
    last_record_number bigint DEFAULT 0 NOT NULL,
    records bigint DEFAULT 0 NOT NULL,
    rejected bigint DEFAULT 0 NOT NULL,
    skipped bigint DEFAULT 0 NOT NULL,
    columns text[] DEFAULT '{}'::text[] NOT NULL,
    problem text,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    published_at timestamp with time zone,
    records_removed_at timestamp with time zone,
    unmapped bigint DEFAULT 0 NOT NULL,
    cut bigint DEFAULT 0 NOT NULL,
    mapped_values jsonb,
    replaced_import_id bigint,
    restored boolean DEFAULT false NOT NULL,
    announce boolean DEFAULT false NOT NULL,
    announced_at timestamp with time zone,
    removed_at timestamp with time zone,
    compared_import_id bigint,
    new_records bigint,
    gone_records bigint,
    changed_records bigint,
    duplicate_keys bigint,
    rows_only boolean DEFAULT false NOT NULL,
    mapped_rows bigint,
    CONSTRAINT imports_state_check CHECK ((state = ANY (ARRAY['importing'::text, 'published'::text, 'replaced'::text, 'abandoned'::text, 'removed'::text])))
);


--
-- Name: TABLE imports; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.imports IS 'One row per import of a downloaded file. committed_bytes to rejected are the mark: they change in the same transaction as the records they count.';


--
-- Name: COLUMN imports.requested_at; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.requested_at IS 'When the workflow asked for this import: an older request never replaces a newer one.';


--
-- Name: COLUMN imports.mapping; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.mapping IS 'Fingerprint of the mapping by which the records become rows of a table too; empty for none. Until they are published, table scrapehaul.mapped_rows_ID holds those rows, ID being the import_id.';


--
-- Name: COLUMN imports.fence; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.fence IS 'Number of the attempt that may write; an attempt with another number has been overtaken and commits nothing.';


--
-- Name: COLUMN imports.skipped; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.skipped IS 'Records that a record hook of the worker did not want imported; part of the mark.';


--
-- Name: COLUMN imports.columns; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.columns IS 'The columns of the records, in the order of their first appearance in the file; part of the mark.';


--
-- Name: COLUMN imports.problem; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.problem IS 'What publishing could not do besides, in a sentence; it may have been mended since. NULL if there was nothing.';


--
-- Name: COLUMN imports.unmapped; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.unmapped IS 'Those of records that have no row in the table of their mapping; part of the mark.';


--
-- Name: COLUMN imports.cut; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.cut IS 'Those of rejected of which only the beginning is kept; part of the mark.';


--
-- Name: COLUMN imports.mapped_values; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.mapped_values IS 'How many rows have a value in each column of the mapping, empty text being none; null until it is published, and without a mapping or rows.';


--
-- Name: COLUMN imports.replaced_import_id; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.replaced_import_id IS 'The import of the job that was published before this one; null for none.';


--
-- Name: COLUMN imports.restored; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.restored IS 'Its file came from the archive: Web Scraper Cloud did not have the job any more.';


--
-- Name: COLUMN imports.announce; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.announce IS 'Something is to follow from its publishing: a workflow of the host, or the outgoing webhook.';


--
-- Name: COLUMN imports.announced_at; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.announced_at IS 'When what is to follow was started, or reported as not started; null until then.';


--
-- Name: COLUMN imports.removed_at; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.removed_at IS 'When readers lost sight of its records because their retention was over; records_removed_at is when the last of them was deleted.';


--
-- Name: COLUMN imports.compared_import_id; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.compared_import_id IS 'The published import of the sitemap''s finished job before this one''s, as it was when the two were compared: new_records to duplicate_keys count what scrapehaul.changes has. Null until then, and without a key.';


--
-- Name: COLUMN imports.rows_only; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.rows_only IS 'Whether the records were made rows of the mapped table and not kept themselves (keep_records: false).';


--
-- Name: COLUMN imports.mapped_rows; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.imports.mapped_rows IS 'Of such an import: how many rows of the mapped table were its job''s when it was published.';


--
-- Name: imports_import_id_seq; Type: SEQUENCE; Schema: scrapehaul; Owner: -
--

ALTER TABLE scrapehaul.imports ALTER COLUMN import_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME scrapehaul.imports_import_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: mapped_tables; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.mapped_tables (
    table_name text NOT NULL,
    shape jsonb NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE mapped_tables; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.mapped_tables IS 'One row per mapped table, as schema.name, with the columns, the key and the mode of the mapping that it was made for or migrated to last: a worker whose file of mappings has others publishes nothing into it.';


--
-- Name: refused_jobs; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.refused_jobs (
    scrapingjob_id bigint NOT NULL,
    account text NOT NULL,
    refused_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: TABLE refused_jobs; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.refused_jobs IS 'Scraping jobs of an account that were not imported, because another account has a published one of the same ID, with the time of the last refusal.';


--
-- Name: rejected_records; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.rejected_records (
    import_id bigint NOT NULL,
    record_number bigint NOT NULL,
    raw bytea NOT NULL,
    reason text NOT NULL,
    cut boolean DEFAULT false NOT NULL
);


--
-- Name: TABLE rejected_records; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.rejected_records IS 'Records that JSON or PostgreSQL refused, as they came. raw holds the first 64 KiB of a record over MAX_RECORD_BYTES.';


--
-- Name: COLUMN rejected_records.cut; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.rejected_records.cut IS 'raw is only the beginning of the record.';


--
-- Name: scraping_jobs; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.scraping_jobs (
    scrapingjob_id bigint NOT NULL,
    sitemap_id bigint,
    sitemap_name text,
    custom_id text,
    status text,
    jobs_scheduled bigint,
    jobs_executed bigint,
    jobs_failed bigint,
    jobs_empty bigint,
    jobs_no_value bigint,
    stored_record_count bigint,
    published_import_id bigint,
    published_at timestamp with time zone,
    cloud_deleted_at timestamp with time zone,
    account text DEFAULT 'default'::text NOT NULL,
    time_created timestamp with time zone,
    scraping_duration bigint,
    removed_import_id bigint
);


--
-- Name: TABLE scraping_jobs; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.scraping_jobs IS 'One row per scraping job: its published import and the job object (status and counts) as it was for that import; all null until the first import is published.';


--
-- Name: COLUMN scraping_jobs.cloud_deleted_at; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.scraping_jobs.cloud_deleted_at IS 'When the job was deleted in Web Scraper Cloud, after its records had been verified here.';


--
-- Name: COLUMN scraping_jobs.account; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.scraping_jobs.account IS 'The account of Web Scraper Cloud that has the job; once an import is published, it stays the same.';


--
-- Name: COLUMN scraping_jobs.time_created; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.scraping_jobs.time_created IS 'When the job was created in Web Scraper Cloud; null if that is not known.';


--
-- Name: COLUMN scraping_jobs.scraping_duration; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.scraping_jobs.scraping_duration IS 'For how many seconds it was scraped.';


--
-- Name: COLUMN scraping_jobs.removed_import_id; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.scraping_jobs.removed_import_id IS 'The import that was published last, if its records were removed since: published_import_id is null then.';


--
-- Name: scraped_records; Type: VIEW; Schema: scrapehaul; Owner: -
--

CREATE VIEW scrapehaul.scraped_records AS
 SELECT job.scrapingjob_id,
    job.sitemap_id,
    job.sitemap_name,
    job.custom_id,
    record.record_number,
    COALESCE((record.data ->> 'web-scraper-order'::text), (record.data ->> 'web_scraper_order'::text)) AS web_scraper_order,
    record.data,
    job.published_at AS imported_at,
    job.account,
    job.time_created,
    job.scraping_duration
   FROM (scrapehaul.scraping_jobs job
     JOIN scrapehaul.import_records record ON ((record.import_id = job.published_import_id)));


--
-- Name: VIEW scraped_records; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON VIEW scrapehaul.scraped_records IS 'The records of the published import of every scraping job: all of one import, never part of it.';


--
-- Name: sitemap_views; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.sitemap_views (
    sitemap_name text NOT NULL,
    view_name text NOT NULL,
    columns text[] DEFAULT '{}'::text[] NOT NULL,
    column_names text[] DEFAULT '{}'::text[] NOT NULL,
    in_view integer DEFAULT 0 NOT NULL,
    refreshed_at timestamp with time zone,
    problem text,
    account text DEFAULT 'default'::text NOT NULL,
    fact_names text[] DEFAULT '{}'::text[] NOT NULL,
    key text[] DEFAULT '{}'::text[] NOT NULL
);


--
-- Name: TABLE sitemap_views; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.sitemap_views IS 'The views of schemas sitemaps and sitemaps_latest, one in each for each sitemap of which a job is published.';


--
-- Name: COLUMN sitemap_views.columns; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.sitemap_views.columns IS 'All columns that published imports of the sitemap have had, in the order of their first appearance; column_names are their names in the view, which has the first in_view of them.';


--
-- Name: COLUMN sitemap_views.problem; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.sitemap_views.problem IS 'Why the view could not be made or refreshed; null when it is as it should be. It is tried again with each import of the sitemap and with each reconciliation.';


--
-- Name: COLUMN sitemap_views.fact_names; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.sitemap_views.fact_names IS 'The names in the view of what it says of each record''s job besides its ID and imported_at: account, time_created, scraping_duration.';


--
-- Name: COLUMN sitemap_views.key; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.sitemap_views.key IS 'The scraped columns that together tell one record of a job from another, by the file of mappings; empty if it does not say.';


--
-- Name: skipped_records; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.skipped_records (
    import_id bigint NOT NULL,
    record_number bigint NOT NULL,
    raw bytea NOT NULL,
    reason text NOT NULL
);


--
-- Name: TABLE skipped_records; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.skipped_records IS 'Records that a record hook of the worker did not want imported, as they came, with its reason.';


--
-- Name: spools; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.spools (
    name text NOT NULL,
    task_queue text NOT NULL,
    awaited_since timestamp with time zone
);


--
-- Name: TABLE spools; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.spools IS 'The spool folders of workers, each with the task queue on which its worker sweeps it.';


--
-- Name: COLUMN spools.awaited_since; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.spools.awaited_since IS 'Since when a sweep has been asked for without an answer; null when none is outstanding. After a day the spool is forgotten.';


--
-- Name: undelivered_publications; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.undelivered_publications (
    import_id bigint NOT NULL,
    sitemap_name text NOT NULL,
    event jsonb NOT NULL,
    published_at timestamp with time zone NOT NULL,
    added_at timestamp with time zone DEFAULT now() NOT NULL,
    problem text,
    failed_at timestamp with time zone,
    account text DEFAULT 'default'::text NOT NULL
);


--
-- Name: TABLE undelivered_publications; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.undelivered_publications IS 'Publications that the outgoing webhook has not got: their rows are removed when they are delivered.';


--
-- Name: COLUMN undelivered_publications.failed_at; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON COLUMN scrapehaul.undelivered_publications.failed_at IS 'When its delivery ended without success, with the reason in problem; null while it is tried.';


--
-- Name: unmapped_records; Type: TABLE; Schema: scrapehaul; Owner: -
--

CREATE TABLE scrapehaul.unmapped_records (
    import_id bigint NOT NULL,
    record_number bigint NOT NULL,
    reason text NOT NULL
);


--
-- Name: TABLE unmapped_records; Type: COMMENT; Schema: scrapehaul; Owner: -
--

COMMENT ON TABLE scrapehaul.unmapped_records IS 'Records that are in import_records but have no row in the table of their mapping, which they do not fit, with the reason.';


--
-- Name: my-sitemap; Type: VIEW; Schema: sitemaps; Owner: -
--

CREATE VIEW sitemaps."my-sitemap" AS
 SELECT unpacked.scrapingjob_id,
    unpacked.record_number,
    unpacked.imported_at,
    unpacked.account,
    unpacked.time_created,
    unpacked.scraping_duration,
    COALESCE((unpacked.data ->> 'web_scraper_order'::text), (unpacked.data ->> 'web-scraper-order'::text)) AS web_scraper_order,
    (unpacked.data ->> 'product'::text) AS product,
    (unpacked.data ->> 'price'::text) AS price
   FROM ( SELECT job.scrapingjob_id,
            record.record_number,
            job.published_at AS imported_at,
            job.account,
            job.time_created,
            job.scraping_duration,
            (record.data || '{}'::jsonb) AS data,
            clock_timestamp() AS not_merged
           FROM (scrapehaul.scraping_jobs job
             JOIN scrapehaul.import_records record ON ((record.import_id = job.published_import_id)))
          WHERE ((job.sitemap_name = 'my-sitemap'::text) AND (job.account = 'default'::text))) unpacked;


--
-- Name: phones; Type: VIEW; Schema: sitemaps; Owner: -
--

CREATE VIEW sitemaps.phones AS
 SELECT unpacked.scrapingjob_id,
    unpacked.record_number,
    unpacked.imported_at,
    unpacked.account,
    unpacked.time_created,
    unpacked.scraping_duration,
    COALESCE((unpacked.data ->> 'web_scraper_order'::text), (unpacked.data ->> 'web-scraper-order'::text)) AS web_scraper_order,
    (unpacked.data ->> 'name'::text) AS name
   FROM ( SELECT job.scrapingjob_id,
            record.record_number,
            job.published_at AS imported_at,
            job.account,
            job.time_created,
            job.scraping_duration,
            (record.data || '{}'::jsonb) AS data,
            clock_timestamp() AS not_merged
           FROM (scrapehaul.scraping_jobs job
             JOIN scrapehaul.import_records record ON ((record.import_id = job.published_import_id)))
          WHERE ((job.sitemap_name = 'phones'::text) AND (job.account = 'default'::text))) unpacked;


--
-- Name: shop; Type: VIEW; Schema: sitemaps; Owner: -
--

CREATE VIEW sitemaps.shop AS
 SELECT unpacked.scrapingjob_id,
    unpacked.record_number,
    unpacked.imported_at,
    unpacked.account,
    unpacked.time_created,
    unpacked.scraping_duration,
    (unpacked.data ->> 'url'::text) AS url,
    (unpacked.data ->> 'price'::text) AS price,
    (unpacked.data ->> 'stock'::text) AS stock
   FROM ( SELECT job.scrapingjob_id,
            record.record_number,
            job.published_at AS imported_at,
            job.account,
            job.time_created,
            job.scraping_duration,
            (record.data || '{}'::jsonb) AS data,
            clock_timestamp() AS not_merged
           FROM (scrapehaul.scraping_jobs job
             JOIN scrapehaul.import_records record ON ((record.import_id = job.published_import_id)))
          WHERE ((job.sitemap_name = 'shop'::text) AND (job.account = 'default'::text))) unpacked;


--
-- Data for Name: api_budgets; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--



--
-- Data for Name: api_waits; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--



--
-- Data for Name: given_up_jobs; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.given_up_jobs VALUES (1238, 'finished', 3, 3, 0, 0, 0, 9, '2026-11-30 11:52:19.120813+00');


--
-- Data for Name: goose_db_version; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.goose_db_version VALUES (1, 0, true, '2026-11-30 11:52:19.031286');
INSERT INTO scrapehaul.goose_db_version VALUES (2, 1, true, '2026-11-30 11:52:19.033256');
INSERT INTO scrapehaul.goose_db_version VALUES (3, 2, true, '2026-11-30 11:52:19.041575');
INSERT INTO scrapehaul.goose_db_version VALUES (4, 3, true, '2026-11-30 11:52:19.044658');
INSERT INTO scrapehaul.goose_db_version VALUES (5, 4, true, '2026-11-30 11:52:19.046689');
INSERT INTO scrapehaul.goose_db_version VALUES (6, 5, true, '2026-11-30 11:52:19.052082');
INSERT INTO scrapehaul.goose_db_version VALUES (7, 6, true, '2026-11-30 11:52:19.054946');
INSERT INTO scrapehaul.goose_db_version VALUES (8, 7, true, '2026-11-30 11:52:19.064065');
INSERT INTO scrapehaul.goose_db_version VALUES (9, 8, true, '2026-11-30 11:52:19.066062');
INSERT INTO scrapehaul.goose_db_version VALUES (10, 9, true, '2026-11-30 11:52:19.068204');
INSERT INTO scrapehaul.goose_db_version VALUES (11, 10, true, '2026-11-30 11:52:19.072572');


--
-- Data for Name: import_records; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.import_records VALUES (1, 1, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-1"}');
INSERT INTO scrapehaul.import_records VALUES (1, 2, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-2"}');
INSERT INTO scrapehaul.import_records VALUES (1, 3, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-3"}');
INSERT INTO scrapehaul.import_records VALUES (2, 1, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-1"}');
INSERT INTO scrapehaul.import_records VALUES (2, 2, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-2"}');
INSERT INTO scrapehaul.import_records VALUES (2, 3, '{"price": "$88.99", "product": "IdeaTab A3500L", "web_scraper_order": "1614248295-3"}');
INSERT INTO scrapehaul.import_records VALUES (2, 4, '{"price": "$88.99", "product": "IdeaTab A3500L", "web_scraper_order": "1614248295-4"}');
INSERT INTO scrapehaul.import_records VALUES (2, 5, '{"price": "$88.99", "product": "IdeaTab A3500L", "web_scraper_order": "1614248295-5"}');
INSERT INTO scrapehaul.import_records VALUES (3, 1, '{"name": "Nokia 123", "web-scraper-order": "1614248296-1"}');
INSERT INTO scrapehaul.import_records VALUES (3, 2, '{"name": "Nokia 123", "web-scraper-order": "1614248296-2"}');
INSERT INTO scrapehaul.import_records VALUES (3, 3, '{"name": "Nokia 123", "web-scraper-order": "1614248296-3"}');
INSERT INTO scrapehaul.import_records VALUES (4, 1, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-1"}');
INSERT INTO scrapehaul.import_records VALUES (4, 2, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-2"}');
INSERT INTO scrapehaul.import_records VALUES (4, 3, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-3"}');
INSERT INTO scrapehaul.import_records VALUES (4, 4, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-4"}');
INSERT INTO scrapehaul.import_records VALUES (5, 1, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-1"}');
INSERT INTO scrapehaul.import_records VALUES (5, 2, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-2"}');
INSERT INTO scrapehaul.import_records VALUES (6, 1, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-1"}');
INSERT INTO scrapehaul.import_records VALUES (6, 2, '{"product": "IdeaTab A3500L", "web-scraper-order": "1614248295-2"}');
INSERT INTO scrapehaul.import_records VALUES (7, 1, '{"name": "first"}');
INSERT INTO scrapehaul.import_records VALUES (7, 3, '{"name": "third"}');
INSERT INTO scrapehaul.import_records VALUES (8, 1, '{"url": "fits", "price": "1", "stock": "7"}');
INSERT INTO scrapehaul.import_records VALUES (8, 2, '{"url": "does not", "price": "cheap", "stock": "7"}');


--
-- Data for Name: imports; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.imports OVERRIDING SYSTEM VALUE VALUES (1, 1234, 'run', 1, '2026-01-01 00:00:01+00', 3, 'abc', '', 'replaced', 1, 3, 3, 3, 0, 0, '{web_scraper_order,product}', NULL, '2026-11-30 11:52:19.079335+00', '2026-11-30 11:52:19.083096+00', NULL, 0, 0, NULL, NULL, false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL);
INSERT INTO scrapehaul.imports OVERRIDING SYSTEM VALUE VALUES (2, 1234, 'run', 2, '2026-01-01 00:00:02+00', 5, 'abc', '', 'published', 1, 5, 5, 5, 0, 0, '{web_scraper_order,product,price}', NULL, '2026-11-30 11:52:19.090219+00', '2026-11-30 11:52:19.094148+00', NULL, 0, 0, NULL, 1, false, true, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL);
INSERT INTO scrapehaul.imports OVERRIDING SYSTEM VALUE VALUES (3, 1235, 'run', 1, '2026-01-01 00:00:01+00', 4, 'abc', '', 'published', 1, 4, 4, 3, 1, 0, '{web_scraper_order,name}', NULL, '2026-11-30 11:52:19.10245+00', '2026-11-30 11:52:19.106168+00', NULL, 0, 0, NULL, NULL, false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL);
INSERT INTO scrapehaul.imports OVERRIDING SYSTEM VALUE VALUES (4, 1236, 'run', 1, '2026-01-01 00:00:01+00', 7, 'abc', '', 'importing', 1, 4, 4, 4, 0, 0, '{web_scraper_order,product}', NULL, '2026-11-30 11:52:19.113057+00', NULL, NULL, 0, 0, NULL, NULL, false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL);
INSERT INTO scrapehaul.imports OVERRIDING SYSTEM VALUE VALUES (5, 1237, 'run', 1, '2026-01-01 00:00:01+00', 2, 'abc', '', 'published', 1, 2, 2, 2, 0, 0, '{web_scraper_order,product}', NULL, '2026-11-30 11:52:19.114854+00', '2026-11-30 11:52:19.116235+00', NULL, 0, 0, NULL, NULL, false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL);
INSERT INTO scrapehaul.imports OVERRIDING SYSTEM VALUE VALUES (6, 1238, 'run', 1, '2026-01-01 00:00:01+00', 9, 'abc', '', 'abandoned', 1, 2, 2, 2, 0, 0, '{web_scraper_order,product}', NULL, '2026-11-30 11:52:19.117892+00', NULL, NULL, 0, 0, NULL, NULL, false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL);
INSERT INTO scrapehaul.imports OVERRIDING SYSTEM VALUE VALUES (7, 1239, 'run', 1, '2026-01-01 00:00:01+00', 3, 'abc', '', 'published', 1, 3, 3, 2, 0, 1, '{name}', 'making view sitemaps."hooked": "hooked" is not a view', '2026-11-30 11:52:19.121537+00', '2026-11-30 11:52:19.123928+00', NULL, 0, 0, NULL, NULL, false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL);
INSERT INTO scrapehaul.imports OVERRIDING SYSTEM VALUE VALUES (8, 1240, 'run', 1, '2026-01-01 00:00:01+00', 3, 'abc', 'f2cdadf076727146 public.products', 'published', 1, 3, 3, 2, 1, 0, '{url,price,stock}', NULL, '2026-11-30 11:52:19.152515+00', '2026-11-30 11:52:19.168849+00', NULL, 1, 1, '{"url": 1, "price": 1, "in Stock": 1}', NULL, false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL);


--
-- Data for Name: mapped_tables; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.mapped_tables VALUES ('public.products', '{"mode": "replace-job", "columns": [{"from": "url", "name": "url", "type": "text"}, {"from": "price", "name": "price", "type": "numeric"}, {"from": "stock", "name": "in Stock", "type": "integer"}]}', '2026-11-30 11:52:19.1301+00');


--
-- Data for Name: refused_jobs; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--



--
-- Data for Name: rejected_records; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.rejected_records VALUES (3, 4, '\x7b226e616d65223a225c75303030302034227d', '\u0000 at byte 10: PostgreSQL''s text cannot hold it', false);
INSERT INTO scrapehaul.rejected_records VALUES (8, 3, '\x7b226c6f6e67223a22', 'it is too long', true);


--
-- Data for Name: scraping_jobs; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.scraping_jobs VALUES (1234, 12, 'my-sitemap', 'custom-12', 'finished', 3, 3, 0, 0, 0, 5, 2, '2026-11-30 11:52:19.094148+00', NULL, 'default', NULL, NULL, NULL);
INSERT INTO scrapehaul.scraping_jobs VALUES (1235, 13, 'phones', NULL, 'finished', 3, 3, 0, 0, 0, 4, 3, '2026-11-30 11:52:19.106168+00', NULL, 'default', NULL, NULL, NULL);
INSERT INTO scrapehaul.scraping_jobs VALUES (1236, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'default', NULL, NULL, NULL);
INSERT INTO scrapehaul.scraping_jobs VALUES (1237, 12, 'my-sitemap', 'custom-12', 'finished', 3, 3, 0, 0, 0, 2, 5, '2026-11-30 11:52:19.116235+00', '2026-11-30 11:52:19.117636+00', 'default', NULL, NULL, NULL);
INSERT INTO scrapehaul.scraping_jobs VALUES (1238, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'default', NULL, NULL, NULL);
INSERT INTO scrapehaul.scraping_jobs VALUES (1239, 6, 'hooked', 'custom-12', 'finished', 3, 3, 0, 0, 0, 3, 7, '2026-11-30 11:52:19.123928+00', NULL, 'default', NULL, NULL, NULL);
INSERT INTO scrapehaul.scraping_jobs VALUES (1240, 4, 'shop', 'custom-12', 'finished', 3, 3, 0, 0, 0, 3, 8, '2026-11-30 11:52:19.168849+00', NULL, 'default', NULL, NULL, NULL);


--
-- Data for Name: sitemap_views; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.sitemap_views VALUES ('my-sitemap', 'my-sitemap', '{web_scraper_order,product,price}', '{web_scraper_order,product,price}', 3, '2026-11-30 11:52:19.094148+00', NULL, 'default', '{account,time_created,scraping_duration}', '{}');
INSERT INTO scrapehaul.sitemap_views VALUES ('phones', 'phones', '{web_scraper_order,name}', '{web_scraper_order,name}', 2, '2026-11-30 11:52:19.106168+00', NULL, 'default', '{account,time_created,scraping_duration}', '{}');
INSERT INTO scrapehaul.sitemap_views VALUES ('hooked', 'hooked', '{name}', '{name}', 0, NULL, 'making view sitemaps."hooked": "hooked" is not a view', 'default', '{account,time_created,scraping_duration}', '{}');
INSERT INTO scrapehaul.sitemap_views VALUES ('shop', 'shop', '{url,price,stock}', '{url,price,stock}', 3, '2026-11-30 11:52:19.168849+00', NULL, 'default', '{account,time_created,scraping_duration}', '{}');


--
-- Data for Name: skipped_records; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.skipped_records VALUES (7, 2, '\x7b226e616d65223a227365636f6e64227d', 'sold out');


--
-- Data for Name: spools; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.spools VALUES ('7c3a', 'scrapingjob-import@7c3a', NULL);


--
-- Data for Name: undelivered_publications; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.undelivered_publications VALUES (2, 'my-sitemap', '{"kind": "reimport", "status": "finished", "account": "default", "columns": ["web_scraper_order", "product", "price"], "records": 5, "rejected": 0, "custom_id": "custom-12", "import_id": 2, "sitemap_id": 12, "published_at": "2026-11-30T11:52:19.094148Z", "sitemap_name": "my-sitemap", "scrapingjob_id": 1234, "replaced_import_id": 1}', '2026-11-30 11:52:19.094148+00', '2026-11-30 11:52:19.101801+00', NULL, NULL, 'default');


--
-- Data for Name: unmapped_records; Type: TABLE DATA; Schema: scrapehaul; Owner: -
--

INSERT INTO scrapehaul.unmapped_records VALUES (8, 2, 'column "price": "cheap" is not an amount that the cleaner money knows, such as $1,299.00');


--
-- Name: goose_db_version_id_seq; Type: SEQUENCE SET; Schema: scrapehaul; Owner: -
--

SELECT pg_catalog.setval('scrapehaul.goose_db_version_id_seq', 11, true);


--
-- Name: imports_import_id_seq; Type: SEQUENCE SET; Schema: scrapehaul; Owner: -
--

SELECT pg_catalog.setval('scrapehaul.imports_import_id_seq', 8, true);


--
-- Name: api_budgets api_budgets_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.api_budgets
    ADD CONSTRAINT api_budgets_pkey PRIMARY KEY (account);


--
-- Name: api_waits api_waits_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.api_waits
    ADD CONSTRAINT api_waits_pkey PRIMARY KEY (account, holder);


--
-- Name: given_up_jobs given_up_jobs_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.given_up_jobs
    ADD CONSTRAINT given_up_jobs_pkey PRIMARY KEY (scrapingjob_id);


--
-- Name: goose_db_version goose_db_version_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.goose_db_version
    ADD CONSTRAINT goose_db_version_pkey PRIMARY KEY (id);


--
-- Name: import_records import_records_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.import_records
    ADD CONSTRAINT import_records_pkey PRIMARY KEY (import_id, record_number);


--
-- Name: imports imports_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.imports
    ADD CONSTRAINT imports_pkey PRIMARY KEY (import_id);


--
-- Name: mapped_tables mapped_tables_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.mapped_tables
    ADD CONSTRAINT mapped_tables_pkey PRIMARY KEY (table_name);


--
-- Name: refused_jobs refused_jobs_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.refused_jobs
    ADD CONSTRAINT refused_jobs_pkey PRIMARY KEY (scrapingjob_id, account);


--
-- Name: rejected_records rejected_records_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.rejected_records
    ADD CONSTRAINT rejected_records_pkey PRIMARY KEY (import_id, record_number);


--
-- Name: scraping_jobs scraping_jobs_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.scraping_jobs
    ADD CONSTRAINT scraping_jobs_pkey PRIMARY KEY (scrapingjob_id);


--
-- Name: sitemap_views sitemap_views_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.sitemap_views
    ADD CONSTRAINT sitemap_views_pkey PRIMARY KEY (account, sitemap_name);


--
-- Name: sitemap_views sitemap_views_view_name_key; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.sitemap_views
    ADD CONSTRAINT sitemap_views_view_name_key UNIQUE (view_name);


--
-- Name: skipped_records skipped_records_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.skipped_records
    ADD CONSTRAINT skipped_records_pkey PRIMARY KEY (import_id, record_number);


--
-- Name: spools spools_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.spools
    ADD CONSTRAINT spools_pkey PRIMARY KEY (name);


--
-- Name: undelivered_publications undelivered_publications_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.undelivered_publications
    ADD CONSTRAINT undelivered_publications_pkey PRIMARY KEY (import_id);


--
-- Name: unmapped_records unmapped_records_pkey; Type: CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.unmapped_records
    ADD CONSTRAINT unmapped_records_pkey PRIMARY KEY (import_id, record_number);


--
-- Name: imports_by_job; Type: INDEX; Schema: scrapehaul; Owner: -
--

CREATE INDEX imports_by_job ON scrapehaul.imports USING btree (scrapingjob_id, requested_at);


--
-- Name: imports_one_importing; Type: INDEX; Schema: scrapehaul; Owner: -
--

CREATE UNIQUE INDEX imports_one_importing ON scrapehaul.imports USING btree (scrapingjob_id) WHERE (state = 'importing'::text);


--
-- Name: imports_one_published; Type: INDEX; Schema: scrapehaul; Owner: -
--

CREATE UNIQUE INDEX imports_one_published ON scrapehaul.imports USING btree (scrapingjob_id) WHERE (state = 'published'::text);


--
-- Name: imports_unannounced; Type: INDEX; Schema: scrapehaul; Owner: -
--

CREATE INDEX imports_unannounced ON scrapehaul.imports USING btree (published_at) WHERE (announce AND (announced_at IS NULL));


--
-- Name: imports_unneeded; Type: INDEX; Schema: scrapehaul; Owner: -
--

CREATE INDEX imports_unneeded ON scrapehaul.imports USING btree (scrapingjob_id) WHERE ((state = ANY (ARRAY['replaced'::text, 'abandoned'::text, 'removed'::text])) AND (records_removed_at IS NULL));


--
-- Name: scraping_jobs_by_sitemap; Type: INDEX; Schema: scrapehaul; Owner: -
--

CREATE INDEX scraping_jobs_by_sitemap ON scrapehaul.scraping_jobs USING btree (sitemap_name, account);


--
-- Name: scraping_jobs_last_of_sitemap; Type: INDEX; Schema: scrapehaul; Owner: -
--

CREATE INDEX scraping_jobs_last_of_sitemap ON scrapehaul.scraping_jobs USING btree (account, sitemap_name, published_at) WHERE (status = 'finished'::text);


--
-- Name: undelivered_publications_in_order; Type: INDEX; Schema: scrapehaul; Owner: -
--

CREATE INDEX undelivered_publications_in_order ON scrapehaul.undelivered_publications USING btree (account, sitemap_name, published_at, import_id) WHERE (failed_at IS NULL);


--
-- Name: scraping_jobs_sitemaps; Type: STATISTICS; Schema: scrapehaul; Owner: -
--

CREATE STATISTICS scrapehaul.scraping_jobs_sitemaps (dependencies, mcv) ON sitemap_name, account FROM scrapehaul.scraping_jobs;


--
-- Name: api_waits api_waits_account_fkey; Type: FK CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.api_waits
    ADD CONSTRAINT api_waits_account_fkey FOREIGN KEY (account) REFERENCES scrapehaul.api_budgets(account);


--
-- Name: imports imports_scrapingjob_id_fkey; Type: FK CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.imports
    ADD CONSTRAINT imports_scrapingjob_id_fkey FOREIGN KEY (scrapingjob_id) REFERENCES scrapehaul.scraping_jobs(scrapingjob_id);


--
-- Name: rejected_records rejected_records_import_id_fkey; Type: FK CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.rejected_records
    ADD CONSTRAINT rejected_records_import_id_fkey FOREIGN KEY (import_id) REFERENCES scrapehaul.imports(import_id);


--
-- Name: skipped_records skipped_records_import_id_fkey; Type: FK CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.skipped_records
    ADD CONSTRAINT skipped_records_import_id_fkey FOREIGN KEY (import_id) REFERENCES scrapehaul.imports(import_id);


--
-- Name: unmapped_records unmapped_records_import_id_fkey; Type: FK CONSTRAINT; Schema: scrapehaul; Owner: -
--

ALTER TABLE ONLY scrapehaul.unmapped_records
    ADD CONSTRAINT unmapped_records_import_id_fkey FOREIGN KEY (import_id) REFERENCES scrapehaul.imports(import_id);


--
-- PostgreSQL database dump complete
--


