package postgres_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/sink"
)

func TestUnmappedRecordIsImportedWithoutARow(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	db.MustExec(`CREATE TABLE public.products (scrapingjob_id bigint, url varchar(5), price numeric(6,2) CHECK (price > 0), "in Stock" smallint NOT NULL,
		made timestamptz DEFAULT now(), CHECK (price < 1000))`)
	store := mapped(t, db, replaceJob)
	published(t, store, 1, "shop",
		product("good", "1.00"),
		product("price", "cheap"),
		product("too long", "1"),
		product("check", "-1"),
		product("big", "10000000"),
		`{"url":"null","price":"5"}`,
		product("last", "2"))
	require.Equal(t, []string{"1 good 1.00 7", "1 last 2.00 7"}, rows(t, db, allProducts))
	require.Equal(t, int64(7), count(t, db, visible), "the records are there anyway")
	require.Zero(t, count(t, db, `SELECT count(*) FROM scrapehaul.rejected_records`))
	all, err := store.PublishedImports(t.Context(), []int64{1})
	require.NoError(t, err)
	require.Equal(t, sink.Counts{Records: 7, Unmapped: 5}, all[1].Counts)
	counted, _, err := store.CountPublished(t.Context(), 1, all[1].ImportID)
	require.NoError(t, err)
	require.Equal(t, all[1].Counts, counted)
	require.Equal(t, []string{
		`2: column "price": "cheap" is not an amount that the cleaner money knows, such as $1,299.00`,
		`3: PostgreSQL refuses it: value too long for type character varying(5)`,
		`4: PostgreSQL refuses it: new row for relation "products" violates check constraint "products_price_check"`,
		`5: PostgreSQL refuses it: numeric field overflow`,
		`6: PostgreSQL refuses it: null value in column "in Stock" of relation "products" violates not-null constraint`,
	}, rows(t, db, `SELECT record_number || ': ' || reason FROM scrapehaul.unmapped_records ORDER BY record_number`))
}

func TestRecordsWithValuesBeyondATypesLimitsHaveNoRow(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	store := mapped(t, db, `
mappings:
  - {sitemap: shop, table: public.limits, mode: replace-job, columns: [{name: n, type: numeric}, {name: j, type: jsonb, clean: [parse-json]}]}`)
	published(t, store, 1, "shop",
		`{"n":"1e131071","j":"[1e131071]"}`, `{"n":"1e131072"}`, `{"n":"1e-16384"}`, `{"n":"1e99999999999"}`,
		`{"j":"[1e200000]"}`, `{"j":"[\"\\u0000\"]"}`, `{"j":"`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)+`"}`, `{"n":"2"}`)
	require.Equal(t, int64(3), count(t, db, `SELECT count(*) FROM public.limits`))
	require.Equal(t, int64(8), count(t, db, visible), "the records are there anyway")
	require.Equal(t, []string{
		`2: PostgreSQL refuses it: value overflows numeric format`,
		`3: PostgreSQL refuses it: value overflows numeric format`,
		`4: PostgreSQL refuses it: value overflows numeric format`,
		`5: PostgreSQL refuses it: value overflows numeric format`,
		`6: PostgreSQL refuses it: unsupported Unicode escape sequence`,
	}, rows(t, db, `SELECT record_number || ': ' || reason FROM scrapehaul.unmapped_records ORDER BY record_number`))
}

func TestRecordRefusedByADomainOrAFunctionHasNoRow(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	db.MustExec(`CREATE DOMAIN address AS text NOT NULL;
		CREATE DOMAIN amount AS numeric CHECK (VALUE > 0);
		CREATE FUNCTION in_store(n bigint) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN IF n = 0 THEN RAISE 'sold out'; END IF; RETURN true; END $$;
		CREATE TABLE public.products (scrapingjob_id bigint, url address, price amount, "in Stock" bigint CHECK (in_store("in Stock")))`)
	store := mapped(t, db, replaceJob)
	published(t, store, 1, "shop", product("good", "1"), product("price", "-1"), `{"price":"1"}`, `{"url":"stock","stock":0}`, product("last", "2"))
	require.Equal(t, []string{"1 good 1 7", "1 last 2 7"}, rows(t, db, allProducts))
	require.Equal(t, []string{
		`2: PostgreSQL refuses it: value for domain amount violates check constraint "amount_check"`,
		`3: PostgreSQL refuses it: domain address does not allow null values`,
		`4: PostgreSQL refuses it: sold out`,
	}, rows(t, db, `SELECT record_number || ': ' || reason FROM scrapehaul.unmapped_records ORDER BY record_number`))
}

func TestImportWithUnmappedRecordsResumes(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, replaceJob)
	r := ofSitemap("shop", request(1, 4))
	first := begin(t, store, r)
	batch := first.NewBatch()
	batch.Add(1, []byte(product("a", "1")))
	batch.Add(2, []byte(product("b", "cheap")))
	batch.EndsAt(2, 2)
	require.NoError(t, commitBatch(t.Context(), first, batch))
	resumed := begin(t, store, r)
	require.Equal(t, sink.Counts{Records: 2, Unmapped: 1}, resumed.Checkpoint().Counts)
	require.NoError(t, commit(t, resumed, 3, 4, `{"url":"c %d","price":"dear"}`))
	reasons, err := resumed.Reasons(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, []sink.Reason{
		{RecordNumber: 2, Reason: `column "price": "cheap" is not an amount that the cleaner money knows, such as $1,299.00`},
		{RecordNumber: 3, Reason: `column "price": "dear" is not an amount that the cleaner money knows, such as $1,299.00`},
	}, reasons)
	require.NoError(t, resumed.Publish(t.Context(), func() {}))
	require.Equal(t, []string{"1234 a 1 7"}, rows(t, db, allProducts))
	require.Equal(t, int64(4), count(t, db, visible))

	published(t, store, 1234, "shop", product("a", "2")) // replaces it
	require.NoError(t, store.RemoveUnneeded(t.Context(), 1234, func(int64) {}))
	require.Zero(t, count(t, db, `SELECT count(*) FROM scrapehaul.unmapped_records`))
}
