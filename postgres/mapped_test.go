package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/schematest"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/sink/sinktest"
)

// products starts a mapping of sitemaps with prefix "shop" to table products.
const products = `
mappings:
  - sitemap_prefix: shop
    table: products
    columns:
      - {name: url, type: text}
      - {name: price, type: numeric, clean: [trim, null-text, money]}
      - {name: "in Stock", from: stock, type: integer}
    `

const (
	upsert     = products + "key: [url]\n    mode: upsert\n"
	deactivate = upsert + "    deactivate_missing: {column: active, brake_percent: 50}\n"
	replaceJob = products + "mode: replace-job\n"
)

// mapped returns a store with mappings.
func mapped(t *testing.T, db *sqlx.DB, file string) *postgres.Store {
	t.Helper()
	mappings, err := mapping.Parse("mappings.yaml", []byte(file))
	require.NoError(t, err)
	require.NoError(t, postgres.PrepareMappedTables(t.Context(), db, mappings))
	return postgres.NewStore(db, mappings)
}

func newMapped(t *testing.T, file string) (*postgres.Store, *sqlx.DB) {
	t.Helper()
	_, db := newStore(t)
	return mapped(t, db, file), db
}

func product(url, price string) string {
	return fmt.Sprintf(`{"url":%q,"price":%q,"stock":"7"}`, url, price)
}

const allProducts = `SELECT concat_ws(' ', scrapingjob_id, url, price, "in Stock") FROM products ORDER BY scrapingjob_id, url, price`

// nothingHeld requires that there is no holding table.
func nothingHeld(t *testing.T, db *sqlx.DB) {
	t.Helper()
	require.Zero(t, count(t, db, `SELECT count(*) FROM pg_tables WHERE schemaname = 'scrapehaul' AND tablename LIKE 'mapped_rows%'`))
}

func TestMappedRecordsAreRowsOncePublished(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, replaceJob)
	attempt := begin(t, store, ofSitemap("shop", request(1, 3)))
	batch := attempt.NewBatch()
	batch.Add(1, []byte(product("a\t\\N\n", " $1,299.00 ")))
	batch.Add(2, []byte(product("b", "null")))
	batch.Add(3, []byte(`{"stock":12,"other":{"a":1}}`))
	batch.EndsAt(3, 3)
	require.NoError(t, commitBatch(t.Context(), attempt, batch))
	require.Zero(t, count(t, db, `SELECT count(*) FROM products`), "nothing is visible before")
	require.NoError(t, attempt.Publish(t.Context(), func() {}))

	require.Equal(t, []string{"1234 a\t\\N\n 1299.00 7", "1234 b 7", "1234 12"}, rows(t, db, allProducts))
	require.Equal(t, int64(3), count(t, db, visible), "the original records are there, too")
	require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM products WHERE url IS NULL AND price IS NULL`))
	nothingHeld(t, db)
}

// ofSitemap is request for a job of another sitemap.
func ofSitemap(name string, r sink.ImportRequest) sink.ImportRequest {
	r.Job.SitemapName, r.Job.SitemapID = name, int64(len(name))
	return r
}

func TestErrorsDoNotShowRowsOfAMappedTable(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	db.MustExec(`CREATE TABLE public.products (scrapingjob_id bigint, url text, price numeric, "in Stock" bigint,
		note text DEFAULT 'confidential', CHECK (price > 0 OR note = ''))`)
	store := mapped(t, db, replaceJob)
	_, err := publishRecords(t.Context(), store, 1, "shop", product("a", "-1"))
	require.ErrorContains(t, err, `violates check constraint "products_check"`)
	require.NotContains(t, err.Error(), "confidential")
}

func TestReimportReplacesTheRowsOfItsJob(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{"without a key": replaceJob, "with a key": products + "key: [url]\n    mode: replace-job\n"} {
		t.Run(name, func(t *testing.T) {
			store, db := newMapped(t, file)
			published(t, store, 1, "shop", product("a", "1"), product("b", "2"))
			published(t, store, 2, "shop-2", product("a", "9"))
			published(t, store, 1, "shop", product("b", "3"), product("c", "4"))
			require.Equal(t, []string{"1 b 3 7", "1 c 4 7", "2 a 9 7"}, rows(t, db, allProducts))
			published(t, store, 3, "news", `{"url":"a"}`)
			require.Equal(t, int64(3), count(t, db, `SELECT count(*) FROM products`), "another sitemap is not mapped")
		})
	}
}

func TestTheLastRecordWithAKeyWins(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"upsert", "replace-job"} {
		store, db := newMapped(t, products+"key: [url]\n    mode: "+mode+"\n")
		published(t, store, 1, "shop", product("a", "1"), product("b", "2"), product("a", "3"))
		require.Equal(t, []string{"1 a 3 7", "1 b 2 7"}, rows(t, db, allProducts), mode)
		require.Equal(t, int64(3), count(t, db, visible))
	}
}

func TestUpsertLeavesRowsOfLaterJobsAlone(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, upsert)
	published(t, store, 5, "shop", product("a", "1"), product("b", "1"))
	published(t, store, 7, "shop", product("b", "2"), product("c", "2"))
	published(t, store, 5, "shop", product("a", "3"), product("b", "3"), product("d", "3"))
	require.Equal(t, []string{"5 a 3 7", "5 d 3 7", "7 b 2 7", "7 c 2 7"}, rows(t, db, allProducts))
}

func TestAppendChangesNoExistingRow(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, products+"key: [url]\n    mode: append\n")
	published(t, store, 5, "shop", product("a", "1"), product("a", "2"), product("b", "1"))
	published(t, store, 7, "shop", product("b", "2"), product("c", "2"))
	require.Equal(t, []string{"5 a 1 7", "5 b 1 7", "7 c 2 7"}, rows(t, db, allProducts))
	published(t, store, 7, "shop", product("c", "3"), product("d", "3"))
	require.Equal(t, []string{"5 a 1 7", "5 b 1 7", "7 c 3 7", "7 d 3 7"}, rows(t, db, allProducts), "its own rows are replaced")
	published(t, store, 3, "shop", product("d", "4"))
	require.Equal(t, []string{"3 d 4 7", "5 a 1 7", "5 b 1 7", "7 c 3 7"}, rows(t, db, allProducts), "an earlier job wins, whenever it is imported")
}

func TestAKeyMissingFromAReimportGoesToAnotherJobThatHasIt(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, products+"key: [url]\n    mode: append\n")
	published(t, store, 1, "shop", product("a", "1"), product("b", "1"))
	published(t, store, 2, "shop", product("a", "2"), product("c", "2"))
	published(t, store, 1, "shop", product("b", "3"))
	require.Equal(t, []string{"1 b 3 7", "2 a 2 7", "2 c 2 7"}, rows(t, db, allProducts))

	store, db = newMapped(t, upsert)
	for job := range int64(3) {
		published(t, store, job, "shop", product("a", fmt.Sprint(job)), product("b", fmt.Sprint(job)))
	}
	published(t, store, 3, "shop", product("a", "3"), product("b", "3"), product("c", "3"))
	published(t, store, 3, "shop", product("b", "4"))
	require.Equal(t, []string{"2 a 2 7", "3 b 4 7"}, rows(t, db, allProducts), "a key that no published import has is gone")
	attempt, err := publishRecords(t.Context(), store, 2, "shop", product("a", "cheap"))
	require.NoError(t, err)
	require.Empty(t, attempt.Problem())
	require.Equal(t, []string{"1 a 1 7", "3 b 4 7"}, rows(t, db, allProducts), "a record that no longer fits")
}

// Remapping reads pieces, without resending the rest of a piece that is too long.
func TestLongRecordsAreReadOnceForRemapping(t *testing.T) {
	t.Parallel()
	const many = 400
	db := connect(t, schematest.NewDatabase(t)+"&options=-c%20enable_bitmapscan%3Doff%20-c%20enable_sort%3Doff") // as with many records
	db.MustExec(`ALTER FUNCTION scrapehaul.changes_query RENAME TO not_here`)                                    // comparing jobs reads records, too
	store := mapped(t, db, upsert)
	first := begin(t, store, ofSitemap("shop", ofJob(1, request(1, many))))
	require.NoError(t, commit(t, first, 1, many, `{"url":"%d","price":"1","text":"`+strings.Repeat("x", 100_000)+`"}`))
	require.NoError(t, first.Publish(t.Context(), func() {}))
	published(t, store, 2, "shop", product("7", "2"), product("gone", "2"))
	published(t, store, 2, "shop", product("8", "2"))
	require.Equal(t, []string{"1 7 1", "2 8 2 7"}, rows(t, db, strings.Replace(allProducts, "ORDER", "WHERE url IN ('7', '8', 'gone') ORDER", 1)))
	var read int64
	require.Eventually(t, func() bool { // statistics lag by a few seconds
		read = count(t, db, `SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'import_records'`)
		return read >= many
	}, time.Minute, 100*time.Millisecond)
	require.Less(t, read, int64(2*many))
}

func TestRecordThatNoLongerFitsIsNotRemapped(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]string{
		"for its type":     `ALTER TABLE products ALTER price TYPE numeric(3, 2)`,
		"for a constraint": `ALTER TABLE products ADD CHECK (price < 10)`,
		"for NULL":         `ALTER TABLE products ALTER "in Stock" SET NOT NULL`,
	} {
		t.Run(name, func(t *testing.T) {
			store, db := newMapped(t, upsert)
			published(t, store, 1, "shop", product("a", "1"), product("b", "1"))
			published(t, store, 2, "shop", product("b", "2"), `{"url":"a","price":"$99.00"}`, product("c", "2"))
			published(t, store, 3, "shop", product("a", "3"), product("b", "3"), product("c", "3"))
			db.MustExec(change)
			published(t, store, 3, "shop", product("d", "4"))
			require.Equal(t, []string{"1 a 1 7", "2 b 2 7", "2 c 2 7", "3 d 4 7"}, rows(t, db, strings.Replace(allProducts, "price,", "price::int,", 1)))
		})
	}
}

// Imports published with other mappings, or none, are not touched.
func TestRowsOfOtherMappingsAreUnchanged(t *testing.T) {
	t.Parallel()
	plainStore, db := newStore(t)
	before := mapped(t, db, strings.Replace(upsert, "table: products", "table: old_products", 1))
	published(t, before, 1, "shop", product("a", "1"), product("b", "1"))
	published(t, plainStore, 2, "shop", product("a", "2"), product("b", "2"))
	store := mapped(t, db, upsert)
	published(t, store, 3, "shop", product("a", "3"), product("b", "3"))
	published(t, store, 3, "shop", product("b", "4"))
	require.Equal(t, []string{"3 b 4 7"}, rows(t, db, allProducts))
	require.Equal(t, int64(2), count(t, db, `SELECT count(*) FROM old_products`))

	// As recorded by versions that did not record the table.
	published(t, store, 2, "shop", product("a", "5"))
	db.MustExec(`UPDATE scrapehaul.imports SET mapping = left(mapping, 16)`)
	published(t, store, 4, "shop", product("a", "6"))
	published(t, store, 4, "shop", product("c", "7"))
	require.Equal(t, []string{"2 a 5 7", "3 b 4 7", "4 c 7 7"}, rows(t, db, allProducts))
}

const activeProducts = `SELECT url FROM products WHERE active ORDER BY url`

func TestRowsMissingFromAJobAreDeactivated(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, deactivate)
	published(t, store, 1, "shop", product("a", "1"), product("b", "1"), product("c", "1"))
	published(t, store, 2, "shop-2", product("z", "1"))
	published(t, store, 3, "shop", product("b", "2"), product("c", "2"), product("d", "2"))
	require.Equal(t, []string{"b", "c", "d", "z"}, rows(t, db, activeProducts))
	published(t, store, 4, "shop", product("a", "3"), product("b", "3"), product("c", "3"))
	require.Equal(t, []string{"a", "b", "c", "z"}, rows(t, db, activeProducts), "returning rows are active again")
	published(t, store, 3, "shop", product("d", "4"))
	require.Equal(t, []string{"a", "b", "c", "z"}, rows(t, db, activeProducts), "rows missing from a later job stay inactive")
	published(t, store, 1, "shop", product("a", "5"), product("e", "5"))
	require.Equal(t, []string{"a", "b", "c", "z"}, rows(t, db, activeProducts), "in whatever order jobs are imported")
}

func TestIncompleteJobDeactivatesNothing(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*sink.ImportRequest){
		"stopped": func(r *sink.ImportRequest) { r.Job.Status = "stopped" },
		"short":   func(r *sink.ImportRequest) { r.Job.StoredRecordCount++ },
	} {
		store, db := newMapped(t, deactivate)
		published(t, store, 1, "shop", product("a", "1"), product("b", "1"), product("c", "1"))
		r := ofSitemap("shop", ofJob(2, request(1, 2)))
		change(&r)
		attempt := begin(t, store, r)
		require.NoError(t, commit(t, attempt, 1, 2, `{"url":"new %d","price":"1","stock":"7"}`))
		require.NoError(t, attempt.Publish(t.Context(), func() {}))
		require.Equal(t, []string{"a", "b", "c", "new 1", "new 2"}, rows(t, db, activeProducts), name)
		require.Equal(t, name == "short", attempt.Problem() != "", "the problem is reported: %s", attempt.Problem())
	}

	store, db := newMapped(t, deactivate)
	published(t, store, 1, "shop", product("a", "1"), product("b", "1"))
	attempt, err := publishRecords(t.Context(), store, 2, "shop", product("a", "1"), product("b", "cheap"))
	require.NoError(t, err)
	require.Contains(t, attempt.Problem(), "were not deactivated: of its 2 records, 0 were rejected, 1 do not fit the table")
	require.Equal(t, []string{"a", "b"}, rows(t, db, activeProducts))
}

func TestBrakeAsksAnOperatorBeforeManyRowsAreDeactivated(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, deactivate)
	published(t, store, 1, "shop", product("a", "1"), product("b", "1"), product("c", "1"), product("d", "1"))
	before := rows(t, db, allProducts)
	r := ofSitemap("shop", ofJob(2, request(1, 1)))
	attempt := begin(t, store, r)
	require.NoError(t, commit(t, attempt, 1, 1, `{"url":"a","price":"%d","stock":"7"}`))
	err := attempt.Publish(t.Context(), func() {})
	var withheld *sink.WithheldError
	require.ErrorAs(t, err, &withheld)
	require.Equal(t, "the job would deactivate 3 of the 4 active rows of its sitemap in table public.products, more than 50 % (brake_percent)", withheld.Reason)
	require.NoError(t, attempt.Abandon(t.Context()))
	require.NoError(t, store.RemoveUnneeded(t.Context(), 2, func(int64) {}))
	require.Equal(t, before, rows(t, db, allProducts))
	require.Len(t, rows(t, db, activeProducts), 4)
	nothingHeld(t, db)

	r.Pass, r.Accepted = 2, []sink.Question{withheld.Question}
	r.RequestedAt = r.RequestedAt.Add(time.Second)
	attempt = begin(t, store, r)
	require.NoError(t, commit(t, attempt, 1, 1, `{"url":"a","price":"%d","stock":"7"}`))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	require.Equal(t, []string{"a"}, rows(t, db, activeProducts))
}

func TestBrakeCountsRowsMissingFromAReimport(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, deactivate)
	published(t, store, 1, "shop", product("a", "1"))
	published(t, store, 2, "shop", product("a", "2"), product("b", "2"), product("c", "2"), product("d", "2"))
	_, err := publishRecords(t.Context(), store, 2, "shop", product("d", "3"))
	require.ErrorContains(t, err, "the job would deactivate 3 of the 4 active rows of its sitemap in table public.products")
	require.Equal(t, []string{"a", "b", "c", "d"}, rows(t, db, activeProducts))
	published(t, store, 2, "shop", product("c", "4"), product("d", "4"))
	require.Equal(t, []string{"1 a 1 7", "2 c 4 7", "2 d 4 7"}, rows(t, db, allProducts))
	require.Equal(t, []string{"c", "d"}, rows(t, db, activeProducts))
}

func TestImportIntoAMappedTableResumes(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, upsert)
	first := begin(t, store, ofSitemap("shop", request(1, 40)))
	require.NoError(t, commit(t, first, 1, 25, `{"url":"%d","price":"1"}`))
	second := begin(t, store, ofSitemap("shop", request(1, 40)))
	require.Equal(t, int64(25), second.Checkpoint().Records)
	require.Error(t, commit(t, first, 26, 40, `{"url":"%d","price":"2"}`))
	require.NoError(t, commit(t, second, 26, 40, `{"url":"%d","price":"3"}`))
	require.NoError(t, second.Publish(t.Context(), func() {}))
	require.Equal(t, int64(25), count(t, db, `SELECT count(*) FROM products WHERE price = 1`))
	require.Equal(t, int64(15), count(t, db, `SELECT count(*) FROM products WHERE price = 3`))
}

func TestImportStartsOverWhenItsRowsAreIncomplete(t *testing.T) {
	t.Parallel()
	plainStore, db := newStore(t)
	store := mapped(t, db, upsert)
	half := func(of *postgres.Store) sink.Import {
		attempt := begin(t, of, ofSitemap("shop", request(1, 40)))
		require.Zero(t, attempt.Checkpoint())
		require.NoError(t, commit(t, attempt, 1, 25, `{"url":"%d","price":"1"}`))
		return attempt
	}
	half(store)
	half(plainStore) // a worker without the mapping
	half(store)
	half(mapped(t, db, strings.Replace(upsert, "money", "money-comma", 1)))
	attempt := half(store)
	db.MustExec(fmt.Sprintf(`DELETE FROM scrapehaul.mapped_rows_%d WHERE url = '7'`, attempt.ID()))

	emptied := half(store)
	require.NoError(t, commit(t, emptied, 26, 40, `{"url":"%d","price":"1"}`))
	db.MustExec(fmt.Sprintf(`TRUNCATE scrapehaul.mapped_rows_%d`, emptied.ID())) // like PostgreSQL after a crash
	require.ErrorContains(t, emptied.Publish(t.Context(), func() {}), "the next attempt starts over")

	last := half(store)
	require.NoError(t, commit(t, last, 26, 40, `{"url":"%d","price":"1"}`))
	require.NoError(t, last.Publish(t.Context(), func() {}))
	require.Equal(t, int64(40), count(t, db, `SELECT count(*) FROM products`))
	require.NoError(t, store.RemoveUnneeded(t.Context(), jobID, func(int64) {}))
	nothingHeld(t, db)
}

func TestNothingIsPublishedIfTheTableRefusesARow(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, replaceJob)
	published(t, store, 1, "shop", product("a", "1"))
	db.MustExec(`CREATE UNIQUE INDEX once ON products (url)`)
	attempt := begin(t, store, ofSitemap("shop", ofJob(2, request(1, 3))))
	batch := attempt.NewBatch()
	for n, url := range []string{"b", "a", "c"} {
		batch.Add(int64(n+1), []byte(product(url, "2")))
	}
	batch.EndsAt(3, 3)
	require.NoError(t, commitBatch(t.Context(), attempt, batch))
	err := attempt.Publish(t.Context(), func() {})
	var refused *postgres.MappedTableError
	require.ErrorAs(t, err, &refused)
	require.ErrorContains(t, err, `table public.products: pq: duplicate key value violates unique constraint "once"`)
	require.ErrorContains(t, err, `(Key (url)=(a) already exists.)`)
	require.Equal(t, []string{"1 a 1 7"}, rows(t, db, allProducts))
	require.Equal(t, int64(1), count(t, db, visible))

	db.MustExec(`DROP INDEX once`)
	require.NoError(t, begin(t, store, ofSitemap("shop", ofJob(2, request(1, 3)))).Publish(t.Context(), func() {}))
	require.Equal(t, int64(4), count(t, db, `SELECT count(*) FROM products`))
}

func TestReadersOfAMappedTableSeeCompleteImports(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, replaceJob)
	publish := func(pass int) {
		attempt := begin(t, store, ofSitemap("shop", request(pass, 2000)))
		require.NoError(t, commit(t, attempt, 1, 2000, fmt.Sprintf(`{"url":"%%d","price":"%d"}`, pass)))
		require.NoError(t, attempt.Publish(t.Context(), func() {}))
	}
	publish(1)
	done := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			var seen []string
			err := db.Select(&seen, `SELECT count(*) || ' of ' || count(DISTINCT price) FROM products`)
			if !assert.NoError(t, err) || !assert.Equal(t, []string{"2000 of 1"}, seen) {
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for pass := 2; pass <= 6; pass++ {
		publish(pass)
	}
	close(done)
	reading.Wait()
}

func TestImportsArePublishedIntoOneTableConcurrently(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, strings.Replace(deactivate, "50", "100", 1))
	var publishing sync.WaitGroup
	for worker := range int64(4) {
		publishing.Go(func() {
			for n := range int64(5) {
				var of []string
				for i := range int64(200) {
					of = append(of, product(fmt.Sprint((i*worker+i)%200), fmt.Sprint(n)))
				}
				_, err := publishRecords(context.Background(), store, 1+worker+4*n, "shop", of...)
				assert.NoError(t, err)
			}
		})
	}
	publishing.Wait()
	require.Equal(t, int64(200), count(t, db, `SELECT count(*) FROM products`))
	nothingHeld(t, db)
}

// More rows than fit into the statements' memory: looking each up in the other table without
// an index would take hours.
func TestManyRowsMissingFromAJobAreDeactivated(t *testing.T) {
	t.Parallel()
	const many = 60_000
	db := connect(t, schematest.NewDatabase(t)+"&options=-c%20statement_timeout%3D60s%20-c%20hash_mem_multiplier%3D1")
	store := mapped(t, db, deactivate)
	published(t, store, 1, "shop")
	const urls = `rpad(md5(i::text), 1700, 'x'), i, 7`
	db.MustExec(`INSERT INTO products (scrapingjob_id, url, price, "in Stock") SELECT 1, `+urls+` FROM generate_series(1, $1::bigint) AS i`, many)
	r := ofSitemap("shop", ofJob(2, request(1, many)))
	attempt := begin(t, store, r)
	db.MustExec(fmt.Sprintf(`INSERT INTO scrapehaul.mapped_rows_%d SELECT i, %s FROM generate_series(1 + $1::bigint/4, $1 + $1/4) AS i`, attempt.ID(), urls), many)
	db.MustExec(`UPDATE scrapehaul.imports SET committed_bytes = bytes, records = bytes, last_record_number = 2 * bytes WHERE import_id = $1`, attempt.ID())
	require.NoError(t, begin(t, store, r).Publish(t.Context(), func() {}))
	require.Equal(t, int64(many), count(t, db, `SELECT count(*) FROM products WHERE active`))
	require.Equal(t, int64(many/4), count(t, db, `SELECT count(*) FROM products WHERE NOT active AND price <= $1`, many/4))
}

// An import without progress for a few seconds counts as hanging: its attempt would be ended,
// and wait again from the start.
func TestPublishingReportsProgressWhileItWaits(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]string{
		"for another import of the table": `SELECT pg_advisory_xact_lock(1835102324, hashtext('public.products'))`,
		"in a statement":                  `LOCK TABLE products IN EXCLUSIVE MODE`,
	} {
		t.Run(name, func(t *testing.T) {
			store, db := newMapped(t, replaceJob)
			attempt := begin(t, store, ofSitemap("shop", request(1, 3)))
			require.NoError(t, commit(t, attempt, 1, 3, `{"url":"%d"}`))
			other := db.MustBegin()
			other.MustExec(lock)
			reports := make(chan struct{}, 100)
			done := make(chan error, 1)
			go func() { done <- attempt.Publish(context.Background(), func() { reports <- struct{}{} }) }()
			for range 10 {
				select {
				case <-reports:
				case err := <-done:
					t.Fatalf("it does not wait: %v", err)
				case <-time.After(time.Minute):
					t.Fatal("no progress is reported")
				}
			}
			require.NoError(t, other.Rollback())
			require.NoError(t, <-done)
			require.Equal(t, int64(3), count(t, db, `SELECT count(*) FROM products`))
		})
	}
}

func TestBackupDoesNotBlockPublishing(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, replaceJob)
	attempt := begin(t, store, ofSitemap("shop", request(1, 3)))
	require.NoError(t, commit(t, attempt, 1, 3, `{"url":"%d"}`))
	backup := db.MustBegin()
	backup.MustExec(fmt.Sprintf(`LOCK TABLE scrapehaul.mapped_rows_%d IN ACCESS SHARE MODE`, attempt.ID())) // like pg_dump
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, attempt.Publish(ctx, func() {}))
	require.Equal(t, int64(3), count(t, db, `SELECT count(*) FROM products`))
	require.NoError(t, store.RemoveUnneeded(ctx, jobID, func(int64) {}))
	require.Equal(t, []int64{jobID}, jobsWithUnneeded(t, store), "the job is still listed")

	require.NoError(t, backup.Rollback())
	require.NoError(t, store.RemoveUnneeded(ctx, jobID, func(int64) {}))
	nothingHeld(t, db)
	require.Empty(t, jobsWithUnneeded(t, store))
}

func TestPartitionsOfAMappedTableKeepTheirRows(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	db.MustExec(`CREATE TABLE public.products (scrapingjob_id bigint NOT NULL, url text, price numeric, "in Stock" bigint) PARTITION BY HASH (url);
		CREATE TABLE public.products_0 PARTITION OF public.products FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE public.products_1 PARTITION OF public.products FOR VALUES WITH (MODULUS 2, REMAINDER 1)`)
	store := mapped(t, db, replaceJob)
	for job := range int64(5) {
		published(t, store, 1+job, "shop", product("a", "1"), product("b", "1"), product("c", "1"), product("d", "1"))
	}
	published(t, store, 3, "shop", product("a", "2"))
	require.Equal(t, []string{"1 4", "2 4", "3 1", "4 4", "5 4"}, rows(t, db, `SELECT scrapingjob_id || ' ' || count(*) FROM products GROUP BY scrapingjob_id ORDER BY 1`))
}

func TestStoreWithMappingsIsARecordSink(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"replace-job", "upsert", "append"} {
		t.Run(mode, func(t *testing.T) {
			store, db := newMapped(t, `
mappings:
  - account: acme
    sitemap_prefix: sitemap
    table: numbers
    columns: [{name: sitemap, from: text, type: text}, {name: pass, type: integer}, {name: number, type: integer}, {name: rest, from: text, type: text}]
    key: [number, rest]
    mode: `+mode+"\n")
			require.NoError(t, sinktest.TestRecordSink(t.Context(), store, readRecords(db)))
			for _, id := range jobsWithUnneeded(t, store) {
				require.NoError(t, store.RemoveUnneeded(t.Context(), id, func(int64) {}))
			}
			nothingHeld(t, db)
			require.Positive(t, count(t, db, `SELECT count(*) FROM numbers`))
		})
	}
}

func readRecords(db *sqlx.DB) func(context.Context, int64) (sinktest.Records, error) {
	return func(ctx context.Context, scrapingJobID int64) (sinktest.Records, error) {
		var rows []struct {
			Number int64           `db:"record_number"`
			Data   json.RawMessage `db:"data"`
		}
		err := db.SelectContext(ctx, &rows, `SELECT record_number, data FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, scrapingJobID)
		records := sinktest.Records{}
		for _, row := range rows {
			records[row.Number] = row.Data
		}
		return records, err
	}
}
