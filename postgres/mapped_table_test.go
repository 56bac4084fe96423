package postgres_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/schematest"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
)

func TestExistingTableIsCheckedAgainstItsMapping(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	db.MustExec(`CREATE TABLE public.products (url text, price date, active boolean)`)
	mappings, err := mapping.Parse("mappings.yaml", []byte(deactivate))
	require.NoError(t, err)
	err = postgres.PrepareMappedTables(t.Context(), db, mappings)
	require.EqualError(t, err, `table public.products does not match its mapping, run: `+
		`ALTER TABLE "public"."products" ADD "scrapingjob_id" bigint NOT NULL DEFAULT 0; `+
		`ALTER TABLE "public"."products" RENAME "price" TO "price was date"; -- it is date `+
		`ALTER TABLE "public"."products" ADD "price" numeric; `+
		`ALTER TABLE "public"."products" ADD "in Stock" bigint; `+
		`CREATE UNIQUE INDEX ON "public"."products" ("url");`)
	db.MustExec(`ALTER TABLE public.products ADD scrapingjob_id bigint NOT NULL, ADD "in Stock" bigint, DROP price, ADD price float8;
		CREATE UNIQUE INDEX ON public.products (url) WHERE active`)
	require.ErrorContains(t, postgres.PrepareMappedTables(t.Context(), db, mappings), "CREATE UNIQUE INDEX", "a partial index is not enough")
	db.MustExec(`CREATE UNIQUE INDEX ON public.products (url)`)
	require.NoError(t, postgres.PrepareMappedTables(t.Context(), db, mappings))

	mappings, err = mapping.Parse("mappings.yaml", []byte(strings.Replace(upsert, "table: products", "table: shop.products", 1)))
	require.NoError(t, err)
	require.ErrorContains(t, postgres.PrepareMappedTables(t.Context(), db, mappings), `table shop.products: creating it: running "CREATE TABLE \"shop\".\"products\"`)
	require.ErrorContains(t, postgres.PrepareMappedTables(t.Context(), db, mappings), `(3F000), run: CREATE SCHEMA "shop";`)
}

func TestTableThatCannotTakeRowsIsReportedAtStart(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	mappings, err := mapping.Parse("mappings.yaml", []byte(replaceJob))
	require.NoError(t, err)
	db.MustExec(`CREATE TABLE public.products (scrapingjob_id bigint NOT NULL, url text, shop text NOT NULL, made timestamptz NOT NULL DEFAULT now(),
		id bigint GENERATED ALWAYS AS IDENTITY, price numeric GENERATED ALWAYS AS (1) STORED, "in Stock" bigint GENERATED ALWAYS AS IDENTITY)`)
	err = postgres.PrepareMappedTables(t.Context(), db, mappings)
	require.EqualError(t, err, `table public.products does not match its mapping, run: `+
		`ALTER TABLE "public"."products" ALTER "price" DROP EXPRESSION IF EXISTS, ALTER "price" DROP IDENTITY IF EXISTS; -- PostgreSQL generates it `+
		`ALTER TABLE "public"."products" ALTER "in Stock" DROP EXPRESSION IF EXISTS, ALTER "in Stock" DROP IDENTITY IF EXISTS; -- PostgreSQL generates it `+
		`ALTER TABLE "public"."products" ALTER "shop" DROP NOT NULL; -- or SET DEFAULT: no column of the mapping fills it`)
	applyFix(t, db, err)
	require.NoError(t, postgres.PrepareMappedTables(t.Context(), db, mappings))

	db.MustExec(`DROP TABLE public.products; CREATE VIEW public.products AS SELECT 1 AS scrapingjob_id`)
	require.ErrorContains(t, postgres.PrepareMappedTables(t.Context(), db, mappings), "table public.products: it is a view, a foreign table or similar")
}

func TestWorkersPrepareMappedTablesConcurrently(t *testing.T) {
	t.Parallel()
	url := schematest.NewDatabase(t)
	mappings, err := mapping.Parse("mappings.yaml", []byte(deactivate))
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 5 {
		db := connect(t, url)
		all.Go(func() { assert.NoError(t, postgres.PrepareMappedTables(context.Background(), db, mappings)) })
	}
	all.Wait()
}

// recreate starts the definition of a table without a recorded mapping.
const recreate = `DELETE FROM scrapehaul.mapped_tables; DROP TABLE IF EXISTS public.t; CREATE TABLE public.t `

func TestColumnTypesAffectedBySettingsAreRefused(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	db.MustExec(`CREATE DOMAIN amount AS money; CREATE DOMAIN price AS amount; CREATE DOMAIN rate AS numeric CHECK (VALUE > 0); CREATE DOMAIN fee AS rate;
		CREATE TYPE size AS ENUM ('S', 'M'); CREATE TYPE range AS (a int, b int)`)
	const alter = `ALTER "v" TYPE `
	aside := func(is, why string) string {
		return `RENAME "v" TO "v was ` + is + `"; -- it is ` + is + why + ` ALTER TABLE "public"."t" ADD "v" `
	}
	for _, c := range []struct{ of, is, want string }{
		{"numeric", "money", alter + "numeric; -- it is money, which parses numbers by lc_monetary"},
		{"numeric", "price", alter + "numeric; -- it is money, which parses numbers by lc_monetary"},
		{"integer", "money", alter + "numeric; -- it is money, which parses numbers by lc_monetary"},
		{"integer", "regclass", aside("regclass", "") + "bigint;"},
		{"numeric", "text", aside("text", "") + "numeric;"},
		{"boolean", "integer", aside("int4", "") + "boolean;"},
		{"timestamp, layout: rfc3339", "interval", aside("interval", "") + "timestamptz;"},
		{"jsonb", "text", aside("text", "") + "jsonb;"},
		{"timestamp, layout: rfc3339", "time", aside("time", "") + "timestamptz;"},
		{"text", "money", alter + "text; -- it is money, which parses numbers by lc_monetary"},
		{"text", "date", alter + "text; -- it is date, which parses text by DateStyle and TimeZone; alternatively, map it as a timestamp"},
		{"text", "interval", alter + "text; -- it is interval, which parses text by IntervalStyle"},
		{"text", "xml", alter + "text; -- it is xml, which parses text by xmloption"},
		{"text", "date[]", alter + "text; -- it is _date"},
		{"text", "regconfig", alter + "text; -- it is regconfig"},
		{"text", "range", alter + "text; -- it is range"},
	} {
		db.MustExec(recreate + `(scrapingjob_id bigint NOT NULL, v ` + c.is + `)`)
		mappings := parsed(t, `mappings: [{sitemap: s, table: t, mode: replace-job, columns: [{name: v, type: `+c.of+`}]}]`)
		err := postgres.PrepareMappedTables(t.Context(), db, mappings)
		require.EqualError(t, err, `table public.t does not match its mapping, run: ALTER TABLE "public"."t" `+c.want, "%s into %s", c.of, c.is)
		if c.is != "range" {
			db.MustExec(`INSERT INTO public.t VALUES (1, NULL)`)
			applyFix(t, db, err)
			require.NoError(t, postgres.PrepareMappedTables(t.Context(), db, mappings))
		}
	}
	for of, all := range map[string][]string{"numeric": {"rate", "fee", "real"}, "text": {"size", "fee", "varchar(3)", "uuid"}} {
		for _, is := range all {
			db.MustExec(recreate + `(scrapingjob_id bigint NOT NULL, v ` + is + `)`)
			require.NoError(t, postgres.PrepareMappedTables(t.Context(), db, parsed(t, `mappings: [{sitemap: s, table: t, mode: replace-job, columns: [{name: v, type: `+of+`}]}]`)), "%s into %s", of, is)
		}
	}
}

// Every accepted type reads a value the same way, whatever the settings.
func TestSettingsDoNotAffectValues(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	for _, c := range []struct{ of, values, is string }{
		{"numeric", "'1299.50', '-1e3', '.5'", "numeric, float4, float8"},
		{"integer", "'1299', '-3'", "int2, int4, int8, numeric, float4, float8"},
		{"boolean", "'true', 'false'", "bool"},
		{"timestamp, layout: rfc3339", "'2026-03-04T15:06:07.5+05:45', '0001-02-03T04:05:06Z', '9999-12-31T23:59:59-15:00'", "timestamptz, timestamp, date"},
		{"jsonb", `'{"a": [1.50, "\u00e9"]}'`, "jsonb, json"},
		{"text", `'12', '1'`, "text, varchar, bpchar, int2, int4, int8, numeric, float4, float8, jsonb, json, bytea"},
		{"text", `'\x0102', 'a\\b'`, "text, bytea"},
		{"text", `'1', 'false'`, "bool"},
		{"text", `'10.0.0.1', '10.1.0.0'`, "inet, cidr, tsvector, tsquery"},
		{"text", `'08:00:2b:01:02:03'`, "macaddr, macaddr8"},
		{"text", `'101'`, "bit(3), varbit"},
		{"text", `'(1.5,2)'`, "point"},
		{"text", `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`, "uuid"},
	} {
		for is := range strings.SplitSeq(c.is, ", ") {
			db.MustExec(recreate + `(scrapingjob_id bigint NOT NULL DEFAULT 1, v ` + is + `)`)
			require.NoError(t, postgres.PrepareMappedTables(t.Context(), db, parsed(t, `mappings: [{sitemap: s, table: t, mode: replace-job, columns: [{name: v, type: `+c.of+`}]}]`)), is)
			for _, settings := range []string{
				"",
				"SET LOCAL DateStyle = 'SQL, DMY'; SET LOCAL TimeZone = 'Asia/Kathmandu'; SET LOCAL IntervalStyle = 'sql_standard'; SET LOCAL bytea_output = 'escape'; SET LOCAL extra_float_digits = -3; ",
				"SET LOCAL DateStyle = 'German'; SET LOCAL TimeZone = 'America/New_York'; SET LOCAL xmloption = 'document'; ",
			} {
				db.MustExec(settings + `INSERT INTO public.t (v) SELECT v::` + is + ` FROM (VALUES (` + strings.ReplaceAll(c.values, ", '", "), ('") + `)) AS of (v)`)
			}
			var same bool
			require.NoError(t, db.Get(&same, `SELECT bool_and(times = 3) FROM (SELECT count(*) AS times FROM public.t GROUP BY v::text) AS of`))
			require.True(t, same, "%s as %s", c.values, is)
		}
	}
}
