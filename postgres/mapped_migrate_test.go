package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
)

// migrated migrates the tables to a mappings file and returns a store with it.
func migrated(t *testing.T, db *sqlx.DB, file string) (store *postgres.Store, sql []string) {
	t.Helper()
	mappings := parsed(t, file)
	checked, err := postgres.MigrateMappedTables(t.Context(), db, mappings, true)
	require.NoError(t, err)
	changes, err := postgres.MigrateMappedTables(t.Context(), db, mappings, false)
	require.NoError(t, err)
	require.Equal(t, checked, changes, "it does what the dry run showed")
	for _, each := range changes {
		sql = append(sql, each.SQL...)
	}
	again, err := postgres.MigrateMappedTables(t.Context(), db, mappings, false)
	require.NoError(t, err)
	for _, each := range again {
		require.Empty(t, each.Differences)
		require.Empty(t, each.SQL)
	}
	require.NoError(t, postgres.PrepareMappedTables(t.Context(), db, mappings))
	return postgres.NewStore(db, mappings), sql
}

// backfill returns how many imports it mapped.
func backfill(t *testing.T, store *postgres.Store) (mapped int64) {
	t.Helper()
	first := int64(-1)
	at, err := store.BackfillMappedTable(t.Context(), "default", "shop", func(at postgres.Backfill) {
		if first < 0 {
			first = at.Imports
		}
	})
	require.NoError(t, err)
	require.Equal(t, at.OfImports, at.Imports)
	require.Equal(t, at.OfRecords, at.Records)
	return at.Imports - first
}

// goods maps sitemap shop to table goods.
func goods(columns, rest string) string {
	return "mappings:\n  - sitemap: shop\n    table: goods\n    columns: [" + columns + "]\n    " + rest + "\n"
}

func wares(url, sku, price, image string) string {
	return fmt.Sprintf(`{"url":%q,"sku":%q,"price":%q,"image":%q}`, url, sku, price, image)
}

// goodsRows returns the rows of table goods in the columns of the file's only mapping.
func goodsRows(t *testing.T, db *sqlx.DB, file string) []string {
	t.Helper()
	m := parsed(t, file).All()[0]
	columns := []string{"scrapingjob_id::text"}
	for _, c := range m.Columns {
		columns = append(columns, fmt.Sprintf(`coalesce("%s"::text, 'NULL')`, c.Name))
	}
	if m.DeactivateMissing != nil {
		columns = append(columns, m.DeactivateMissing.Column+"::text")
	}
	return rows(t, db, "SELECT concat_ws(' ', "+strings.Join(columns, ", ")+") AS row FROM goods ORDER BY row")
}

const unmappedOfAll = `
SELECT scrapingjob_id || ' ' || record_number || ' ' || reason FROM scrapehaul.unmapped_records JOIN scrapehaul.imports USING (import_id)
WHERE state = 'published' ORDER BY scrapingjob_id, record_number`

// The SQL for each change of a file works on a filled table. After the migration and a
// backfill, the table has the rows that imports would have written. So has the way back.
func TestChangedMappingMigratesAFilledTable(t *testing.T) {
	t.Parallel()
	const (
		keyed  = "mode: upsert\n    key: [url]"
		url    = `{name: url, type: text}`
		price  = `, {name: price, type: numeric}`
		needed = `, {name: price, type: numeric, required: true}`
		stock  = `, {name: stock, from: sku, type: integer, clean: [first-number]}`
		sku    = `, {name: sku, type: text}`
		image  = `, {name: image, type: text, clean: [empty-is-null], required: true}`
	)
	before := goods(url+price+stock, keyed)
	for name, change := range map[string]struct {
		from, to string
		sql      []string // a part of each statement, in their order
	}{
		"a new required column":  {before, goods(url+price+stock+image, keyed), []string{`ADD "image" text; -- NOT NULL once`}},
		"a renamed column":       {before, goods(url+`, {name: cost, from: price, type: numeric}`+stock, keyed), []string{`RENAME "price" TO "cost";`}},
		"a renamed key":          {before, goods(`{name: link, from: url, type: text}`+price+stock, "mode: upsert\n    key: [link]"), []string{`RENAME "url" TO "link";`}},
		"numeric as text":        {before, goods(url+`, {name: price, type: text}`+stock, keyed), []string{`ALTER "price" TYPE text;`}},
		"integer as text":        {before, goods(url+price+`, {name: stock, from: sku, type: text}`, keyed), []string{`ALTER "stock" TYPE text;`}},
		"integer as numeric":     {before, goods(url+price+`, {name: stock, from: sku, type: numeric, clean: [first-number]}`, keyed), []string{`ALTER "stock" TYPE numeric;`}},
		"numeric as integer":     {before, goods(url+`, {name: price, type: integer, clean: [first-number]}`+stock, keyed), nil},
		"integer as jsonb":       {before, goods(url+price+`, {name: stock, from: sku, type: jsonb}`, keyed), []string{`RENAME "stock" TO "stock was int8";`, `ADD "stock" jsonb;`}},
		"a dropped column":       {before, goods(url+price, keyed), []string{`-- column "stock" stays`}},
		"a dropped required one": {goods(url+needed, keyed), goods(url+stock, keyed), []string{`ADD "stock" bigint;`, `ALTER "price" DROP NOT NULL;`, `-- column "price" stays`}},
		"one not required":       {goods(url+needed, keyed), goods(url+price, keyed), []string{`ALTER "price" DROP NOT NULL;`}},
		"a required column":      {before, goods(url+needed+stock, keyed), nil},
		"another key": {
			goods(url+sku+price, keyed), goods(url+sku+price, "mode: upsert\n    key: [sku]"),
			[]string{`DROP CONSTRAINT "goods_pkey";`, `ALTER "url" DROP NOT NULL;`, `DELETE FROM`, `CREATE UNIQUE INDEX ON "public"."goods" ("sku");`},
		},
		"a key of two columns": {
			goods(url+sku+price, keyed), goods(url+sku+price, "mode: append\n    key: [sku, url]"),
			[]string{`DROP CONSTRAINT "goods_pkey";`, `DELETE FROM`, `CREATE UNIQUE INDEX ON "public"."goods" ("sku", "url");`, `-- the mode`},
		},
		"a new key column": {
			before, goods(url+price+sku, "mode: upsert\n    key: [sku]"),
			[]string{`DROP CONSTRAINT`, `ALTER "url" DROP NOT NULL;`, `ADD "sku" text; -- NOT NULL once`, `-- column "stock" stays`, `CREATE UNIQUE INDEX`},
		},
		"a key of another type": {
			before, goods(`{name: url, type: jsonb}`+sku, "mode: append\n    key: [sku]"),
			[]string{
				`DROP CONSTRAINT`, `RENAME "url" TO "url was text"`, `ADD "url" jsonb`, `ADD "sku" text`, `ALTER "url was text" DROP NOT NULL;`,
				`-- column "price"`, `-- column "stock"`, `CREATE UNIQUE`, `-- the mode was upsert and is append`,
			},
		},
		"upsert as append":      {before, goods(url+price+stock, "mode: append\n    key: [url]"), []string{`-- the mode was upsert and is append`}},
		"replace-job as upsert": {goods(url+price+stock, "mode: replace-job"), before, []string{`DELETE FROM`, `CREATE UNIQUE INDEX`, `-- the mode`}},
		"replace-job as append": {goods(url+price+stock, "mode: replace-job"), goods(url+price+stock, "mode: append\n    key: [url]"), []string{`DELETE FROM`, `CREATE UNIQUE INDEX`, `-- the mode`}},
		"with a key as upsert": {
			goods(url+price+stock, "mode: replace-job\n    key: [url]"), before,
			[]string{`DROP CONSTRAINT`, `DELETE FROM`, `ADD PRIMARY KEY ("url");`, `CREATE INDEX IF NOT EXISTS "goods_scrapingjob_id_idx"`, `-- the mode`},
		},
		"upsert as replace-job": {before, goods(url+price+stock, "mode: replace-job"), []string{`DROP CONSTRAINT`, `ALTER "url" DROP NOT NULL;`, `-- the mode`}},
		"deactivation": {
			before, goods(url+price+stock, keyed+"\n    deactivate_missing: {column: active, brake_percent: 100}"),
			[]string{`ADD "active" boolean NOT NULL DEFAULT true;`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, db := newMapped(t, change.from)
			fromStore, fromDB := newMapped(t, change.from)
			toStore, toDB := newMapped(t, change.to)
			everywhere := func(job int64, records ...string) {
				for _, each := range []*postgres.Store{store, fromStore, toStore} {
					_, err := publishRecords(t.Context(), each, job, "shop", records...)
					require.NoError(t, err)
				}
			}
			everywhere(1, wares("a", "11", "1", "x"), wares("b", "12", "1.5", ""), wares("c", "13", "1", "x"))
			everywhere(3, wares("a", "11", "3", "x"), wares("d", "11", "3", "x"), wares("b", "b", "3", "x"))
			everywhere(2, wares("c", "13", "2", "x"), wares("d", "14", "2", "x"))
			old := store
			store, sql := migrated(t, db, change.to)
			require.Len(t, sql, len(change.sql), sql)
			for n := range sql {
				require.Contains(t, sql[n], change.sql[n])
			}
			_, err := publishRecords(t.Context(), old, 4, "shop", wares("e", "15", "4", "x"))
			require.ErrorContains(t, err, "table public.goods: this worker publishes nothing into it, because its mappings file (MAPPINGS)", "with the old file")
			require.ErrorContains(t, postgres.PrepareMappedTables(t.Context(), db, parsed(t, change.from)), "worker migrate-mapping")

			everywhere(4, wares("e", "15", "4", "x"), wares("a", "16", "4", "x")) // before the backfill
			everywhere(1, wares("a", "11", "5", "x"), wares("b", "12", "5", "x"))
			backfill(t, store)
			require.Equal(t, goodsRows(t, toDB, change.to), goodsRows(t, db, change.to))
			require.Equal(t, rows(t, toDB, unmappedOfAll), rows(t, db, unmappedOfAll))
			require.Zero(t, backfill(t, store), "none is left")
			everywhere(3, wares("a", "11", "6", "x"))
			everywhere(4, wares("e", "15", "6", "x"))
			require.Equal(t, goodsRows(t, toDB, change.to), goodsRows(t, db, change.to), "imports continue")

			store, _ = migrated(t, db, change.from) // the way back
			backfill(t, store)
			require.Equal(t, goodsRows(t, fromDB, change.from), goodsRows(t, db, change.from))
			require.Equal(t, rows(t, fromDB, unmappedOfAll), rows(t, db, unmappedOfAll))
			nothingHeld(t, db)
		})
	}
}

func TestALineBreakInANameDoesNotEndASQLComment(t *testing.T) {
	t.Parallel()
	url := `{name: url, type: text}`
	_, db := newMapped(t, goods(url+`, {name: "price\nDROP TABLE goods; --", type: text}`, "mode: replace-job"))
	_, sql := migrated(t, db, goods(url, "mode: replace-job"))
	require.Equal(t, []string{`-- column "price\nDROP TABLE goods; --" stays with its values and is no longer filled`}, sql)
}

func TestADroppedMappedTableIsRecreatedAndFilled(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, deactivate)
	published(t, store, 1, "shop", product("a", "1"), product("b", "2"))
	publishedAgo(t, store, db, 2, "shop", 50)
	_, err := publishRecords(t.Context(), store, 3, "shop", product("c", "3"), product("d", "cheap")) // incomplete
	require.NoError(t, err)
	require.Equal(t, 1, removeOld(t, store, postgres.Retention{Records: day, NeverDeleted: true}))
	db.MustExec(`DROP TABLE products`)
	const how = "create it with worker migrate-mapping and fill it with starter backfill"
	_, err = publishRecords(t.Context(), store, 4, "shop", product("d", "4"))
	require.ErrorContains(t, err, how)
	_, err = store.BackfillMappedTable(t.Context(), "default", "shop", func(postgres.Backfill) {})
	require.ErrorContains(t, err, how)

	store, _ = migrated(t, db, deactivate)
	require.Equal(t, int64(2), backfill(t, store))
	require.Equal(t, []string{"1 a t", "1 b t", "3 c t"}, rows(t, db, `SELECT concat_ws(' ', scrapingjob_id, url, active) FROM products ORDER BY url`),
		"removed imports have no rows in this table")
}

// Mapping records takes long, so it does not lock the table.
func TestATableIsMigratedWhileABackfillMapsRecords(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, upsert)
	published(t, store, 1, "shop", product("a", "1"))
	db.MustExec(`UPDATE scrapehaul.imports SET mapping = ''`)
	job := db.MustBegin()
	job.MustExec(`SELECT FROM scrapehaul.scraping_jobs FOR UPDATE`)
	ended := make(chan error, 1)
	go func() {
		_, err := store.BackfillMappedTable(context.Background(), "default", "shop", func(postgres.Backfill) {})
		ended <- err
	}()
	require.Eventually(t, func() bool {
		return count(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	}, time.Minute, 10*time.Millisecond)
	_, sql := migrated(t, db, strings.Replace(upsert, "name: price,", "name: amount, from: price,", 1))
	require.Len(t, sql, 1)
	require.NoError(t, job.Rollback())
	require.ErrorAs(t, <-ended, new(*postgres.MappingsError))
}

func TestABackfillReportsWhatItsTableLacks(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, upsert)
	published(t, store, 1, "shop", product("a", "1"))
	db.MustExec(`UPDATE scrapehaul.imports SET mapping = ''; ALTER TABLE products DROP COLUMN price`)
	_, err := store.BackfillMappedTable(t.Context(), "default", "shop", func(postgres.Backfill) {})
	require.EqualError(t, err, `mapping the records of import 1: table public.products does not match its mapping, run: ALTER TABLE "public"."products" ADD "price" numeric;`)
	var lacks *postgres.MappedTableError
	require.ErrorAs(t, err, &lacks)
	require.NotEmpty(t, lacks.Fix, "so that it is not retried")
}

func TestABackfillFillsColumnsThatAReversedMigrationEmptied(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, upsert)
	published(t, store, 1, "shop", product("a", "1"))
	migrated(t, db, strings.Replace(upsert, "type: integer", "type: text", 1))
	store, _ = migrated(t, db, upsert)
	require.Equal(t, []string{"1 a 1"}, rows(t, db, allProducts), "text may not be an integer")
	require.Equal(t, int64(1), backfill(t, store))
	require.Equal(t, []string{"1 a 1 7"}, rows(t, db, allProducts))
	_, sql := migrated(t, db, upsert)
	require.Empty(t, sql)
	require.Zero(t, backfill(t, store), "nothing has changed")
}

func TestAMigrationWaitsForImportsBeforeItBlocksReaders(t *testing.T) {
	t.Parallel()
	two := goods(`{name: url, type: text}`, "mode: replace-job") + strings.Replace(strings.TrimPrefix(upsert, "\nmappings:"), "shop", "wares", 1)
	_, db := newMapped(t, two)
	publishing := db.MustBegin()
	publishing.MustExec(`SELECT pg_advisory_xact_lock(1835102324, hashtext('public.products'))`)
	ended := make(chan error, 1)
	go func() {
		changed := parsed(t, strings.Replace(two, "{name: url, type: text}", "{name: url, type: text}, {name: sku, type: text}", 1))
		_, err := postgres.MigrateMappedTables(context.Background(), db, changed, false)
		ended <- err
	}()
	require.Eventually(t, func() bool { // it has tried the second lock, and waits to retry
		return count(t, db, `SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid) WHERE locktype = 'advisory' AND granted
			AND datname = current_database() AND state = 'idle in transaction' AND query LIKE '%pg_try_advisory_xact_lock%'`) > 0
	}, time.Minute, time.Millisecond)
	require.Zero(t, count(t, db, `SELECT count(*) FROM pg_locks WHERE relation = 'goods'::regclass`))
	require.NoError(t, publishing.Rollback())
	require.NoError(t, <-ended)
	require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM pg_attribute WHERE attrelid = 'goods'::regclass AND attname = 'sku'`))
}

// An import that waits to publish into the table holds the lock of its own row.
func TestAMigrationThatWaitsForAnImportBlocksNoOther(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, upsert)
	published(t, store, 1, "shop", product("a", "1"))
	published(t, store, 2, "shop", product("b", "1"))
	publishing := db.MustBegin()
	publishing.MustExec(`SELECT FROM scrapehaul.imports WHERE scrapingjob_id = 2 FOR UPDATE`)
	ended := make(chan error, 1)
	go func() {
		_, err := postgres.MigrateMappedTables(context.Background(), db, parsed(t, strings.Replace(upsert, "type: integer", "type: text", 1)), false)
		ended <- err
	}()
	require.Eventually(t, func() bool {
		return count(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	}, time.Minute, 10*time.Millisecond)
	db.MustExec(`SELECT FROM scrapehaul.imports WHERE scrapingjob_id = 1 FOR UPDATE NOWAIT`)
	publishing.MustExec(`SELECT pg_advisory_xact_lock(1835102324, hashtext('public.products'))`)
	require.NoError(t, publishing.Rollback())
	require.NoError(t, <-ended)
}
