package postgres_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
)

// ruleModes are the modes for threeSitemaps.
var ruleModes = map[string]string{
	"replace-job":   "mode: replace-job\n    key: [url]",
	"without a key": "mode: replace-job",
	"append":        "mode: append\n    key: [url]",
	"upsert":        "mode: upsert\n    key: [url]\n    deactivate_missing: {column: active, brake_percent: 100}",
}

// ruleMappings returns threeSitemaps in a mode, with prices of a type.
func ruleMappings(t require.TestingT, mode, price string) *mapping.Mappings {
	file := strings.ReplaceAll(fmt.Sprintf(threeSitemaps, ruleModes[mode]), "type: numeric", "type: "+price)
	mappings, err := mapping.Parse("mappings.yaml", []byte(file))
	require.NoError(t, err)
	return mappings
}

// Whatever the mappings before, the concurrent imports, and the interruptions of a backfill:
// in the end the table matches the published imports and the present mapping.
func TestBackfilledTableMatchesThePublishedImports(t *testing.T) {
	t.Parallel()
	require.NoError(t, flag.Set("rapid.checks", "25"))
	require.NoError(t, flag.Set("rapid.nofailfile", "true"))
	_, db := newStore(t)
	rapid.Check(t, func(r *rapid.T) {
		db.MustExec(`DROP TABLE IF EXISTS products; DELETE FROM scrapehaul.mapped_tables;
			TRUNCATE scrapehaul.imports, scrapehaul.import_records, scrapehaul.scraping_jobs CASCADE`)
		published := map[int64]ruleImport{}
		modes, types := rapid.SampledFrom([]string{"replace-job", "without a key", "append", "upsert"}), rapid.SampledFrom([]string{"numeric", "integer"})
		var store *postgres.Store
		for n := range 3 {
			mode := modes.Draw(r, "mode")
			mappings := ruleMappings(r, mode, types.Draw(r, "type"))
			_, err := postgres.MigrateMappedTables(r.Context(), db, mappings, false)
			require.NoError(r, err)
			store = postgres.NewStore(db, mappings)
			var before, during []ruleImport
			for m := range rapid.IntRange(0, 4).Draw(r, "before") {
				before = append(before, drawRuleImport(r, 1000*n+100*m))
			}
			for m := range rapid.IntRange(0, 3).Draw(r, "during") {
				during = append(during, drawRuleImport(r, 1000*n+500+100*m))
			}
			publish := func(all []ruleImport) {
				for _, i := range all {
					require.NoError(r, beginRuleImport(r, store, i).Publish(r.Context(), func() {}))
					published[i.job] = i
				}
			}
			publish(before)
			ends, ended := rapid.IntRange(1, 30).Draw(r, "ends"), make(chan error)
			go func() {
				ctx, end := context.WithCancel(r.Context())
				defer end()
				_, err := store.BackfillMappedTable(ctx, "default", "shop", func(postgres.Backfill) {
					if ends--; ends == 0 {
						end()
					}
				})
				if ctx.Err() != nil {
					err = nil
				}
				ended <- err
			}()
			publish(during)
			require.NoError(r, <-ended)
			_, err = store.BackfillMappedTable(r.Context(), "default", "market", func(postgres.Backfill) {})
			require.NoError(r, err)
			requireRuleRows(r, db, mode, published)
		}
	})
}

func requireRuleRows(r *rapid.T, db *sqlx.DB, mode string, published map[int64]ruleImport) {
	active := "true"
	if mode == "upsert" {
		active = "active"
	}
	rows := []ruleRow{}
	require.NoError(r, db.SelectContext(r.Context(), &rows, `SELECT scrapingjob_id, url, regexp_replace(price::text, '\D|\.00', '', 'g')::int AS price, `+active+` AS active FROM products`))
	want := append([]ruleRow{}, ruleRows(mode, published)...)
	for n := range want {
		want[n].Active = want[n].Active || mode != "upsert"
	}
	require.Equal(r, want, sortedRows(rows), "%s, published: %+v", mode, published)
}

func TestNewTableIsFilledFromImportsPublishedBeforeItsMapping(t *testing.T) {
	t.Parallel()
	store, db := newStore(t)
	published(t, store, 1, "shop", product("a", "1"), product("b", "cheap"))
	published(t, store, 2, "shop-2", product("a", "2"))
	published(t, store, 3, "news", product("c", "3"))
	file := strings.Replace(upsert, "table: products", "table: shop.products", 1)
	store, sql := migrated(t, db, file)
	require.Equal(t, `CREATE SCHEMA "shop";`, sql[0])
	require.Equal(t, int64(2), backfill(t, store))
	require.Equal(t, []string{"2 a 2 7"}, rows(t, db, strings.Replace(allProducts, "products", "shop.products", 1)))
	require.Equal(t, []string{`1 2 column "price": "cheap" is not an amount that the cleaner money knows, such as $1,299.00`}, rows(t, db, unmappedOfAll))
	counted, _, err := store.CountPublished(t.Context(), 1, count(t, db, `SELECT published_import_id FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = 1`))
	require.NoError(t, err)
	require.Equal(t, int64(1), counted.Unmapped)

	db.MustExec(`DROP TABLE shop.products`)
	require.NoError(t, postgres.PrepareMappedTables(t.Context(), db, parsed(t, file)))
	require.Equal(t, int64(2), backfill(t, store), "a recreated table has no earlier rows")
	require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM shop.products`))

	_, err = store.BackfillMappedTable(t.Context(), "default", "news", func(postgres.Backfill) {})
	require.EqualError(t, err, `this worker's mappings file (MAPPINGS) has no mapping for sitemap "news" of account "default"`)
}

func TestBackfillKeepsRowsOfImportsWhoseRecordsAreGone(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, upsert)
	published(t, store, 1, "shop", product("a", "1"), product("b", "1"))
	published(t, store, 2, "shop", product("b", "2"), product("c", "2"))
	db.MustExec(`DELETE FROM scrapehaul.import_records WHERE import_id = 1 AND record_number = 1`)
	store, _ = migrated(t, db, strings.Replace(upsert, "name: price,", "name: amount, from: price,", 1))
	at, err := store.BackfillMappedTable(t.Context(), "default", "shop", func(postgres.Backfill) {})
	require.NoError(t, err)
	require.Equal(t, postgres.Backfill{Table: "public.products", Imports: 1, OfImports: 1, Records: 2, OfRecords: 2, Incomplete: 1, IncompleteJobs: []int64{1}}, at)
	require.Equal(t, []string{"1 a 1 7", "2 b 2 7", "2 c 2 7"}, rows(t, db, strings.ReplaceAll(allProducts, "price", "amount")))
}

func TestImportReplacedDuringItsBackfillLeavesNoRow(t *testing.T) {
	t.Parallel()
	changed := strings.Replace(upsert, "name: price,", "name: amount, from: price,", 1)
	store, db := newMapped(t, upsert)
	published(t, store, 1, "shop", product("a", "1"))
	store, _ = migrated(t, db, changed)
	reports := 0
	at, err := store.BackfillMappedTable(t.Context(), "default", "shop", func(postgres.Backfill) {
		if reports++; reports == 3 { // the first import is being mapped
			published(t, store, 1, "shop", product("b", "2"))
		}
	})
	require.NoError(t, err)
	require.Greater(t, reports, 3)
	require.Equal(t, postgres.Backfill{Table: "public.products", Imports: 1, OfImports: 1, Records: 1, OfRecords: 1}, at)
	require.Equal(t, []string{"1 b 2 7"}, rows(t, db, strings.ReplaceAll(allProducts, "price", "amount")))
}

func TestRequiredColumnIsNotNullOnceBackfilled(t *testing.T) {
	t.Parallel()
	const notNull = `SELECT attname FROM pg_attribute WHERE attrelid = 'products'::regclass AND attnum > 0 AND attnotnull ORDER BY attname`
	store, db := newMapped(t, upsert)
	published(t, store, 1, "shop", product("a", "1"), `{"url":"b","price":null}`)
	store, _ = migrated(t, db, strings.Replace(upsert, "name: price,", "name: price, required: true,", 1))
	require.Equal(t, []string{"scrapingjob_id", "url"}, rows(t, db, notNull))
	backfill(t, store)
	require.Equal(t, []string{"price", "scrapingjob_id", "url"}, rows(t, db, notNull))
	require.Equal(t, []string{"1 a 1 7"}, rows(t, db, allProducts))
}

// Its worker still has the old file.
func TestImportStartedBeforeAMigrationIsNotPublished(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, upsert)
	r := ofSitemap("shop", request(1, 1))
	attempt := begin(t, store, r)
	require.NoError(t, commit(t, attempt, 1, 1, `{"url":"%d","price":"1"}`))
	migrated(t, db, strings.Replace(upsert, "name: price,", "name: amount, from: price,", 1))
	err := attempt.Publish(t.Context(), func() {})
	require.ErrorContains(t, err, `table public.products: this worker publishes nothing into it, because its mappings file (MAPPINGS) differs from the one that the table was created for or last migrated to: `+
		`column "amount" (numeric) is in the table only; column "price" (numeric) is in the file only; give`)
	var wrong *postgres.MappingsError
	require.ErrorAs(t, err, &wrong)
	require.Zero(t, count(t, db, visible))

	store = postgres.NewStore(db, parsed(t, strings.Replace(upsert, "name: price,", "name: amount, from: price,", 1)))
	attempt = begin(t, store, r) // on a worker with the new file
	require.Zero(t, attempt.Checkpoint().Records, "it starts over")
	require.NoError(t, commit(t, attempt, 1, 1, `{"url":"%d","price":"1"}`))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM products WHERE amount = 1`))
}

// PostgreSQL would refuse to change the rows of a published table without a key.
func TestTableInAPublicationIsMigratedToAnotherKey(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, upsert)
	published(t, store, 1, "shop", product("a", "1"))
	db.MustExec(`CREATE PUBLICATION changes FOR ALL TABLES`)
	store, sql := migrated(t, db, strings.Replace(upsert, "key: [url]", `key: [price]`, 1))
	require.Contains(t, strings.Join(sql, "\n"), `ALTER TABLE "public"."products" REPLICA IDENTITY FULL;`)
	require.Equal(t, int64(1), backfill(t, store))
	published(t, store, 1, "shop", product("b", "1"))
	require.Equal(t, []string{"1 b 1 7"}, rows(t, db, allProducts))
}
