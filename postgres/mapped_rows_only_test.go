package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// rowsOnly adds keep_records: false to a mapping of products.
func rowsOnly(file string) string {
	return strings.TrimRight(file, " \n") + "\n    keep_records: false\n"
}

const appendMode = products + "key: [url]\n    mode: append\n"

// counted counts a job's published import in the tables.
func counted(t *testing.T, store *postgres.Store, job int64) sink.Counts {
	t.Helper()
	all, err := store.PublishedImports(t.Context(), []int64{job})
	require.NoError(t, err)
	counts, published, err := store.CountPublished(t.Context(), job, all[job].ImportID)
	require.NoError(t, err)
	require.True(t, published)
	return counts
}

const keptRecords = `SELECT count(*) FROM scrapehaul.import_records`

func TestRecordsNotKeptAreRowsOrRejected(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{"replace-job": replaceJob, "upsert": upsert, "append": appendMode} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, db := newStore(t)
			db.MustExec(`CREATE TABLE public.products (scrapingjob_id bigint NOT NULL, url text UNIQUE, price numeric CHECK (price < 100), "in Stock" bigint)`)
			store := mapped(t, db, rowsOnly(file))
			attempt := begin(t, store, ofSitemap("shop", request(1, 6)))
			batch := attempt.NewBatch()
			batch.Add(1, []byte(product("a", "$1")))
			batch.Add(2, []byte(product("b", "cheap")))
			batch.Add(3, []byte(`{"url":"c\u0000"}`))
			batch.AddChanged(4, []byte(product("d", "100")), []byte("d;100"))
			batch.Add(5, []byte(`{"url":"e","price":"2","other":[1e200000]}`)) // jsonb would refuse it
			batch.Skip(6, []byte("f"), "sold out")
			batch.EndsAt(6, 6)
			require.NoError(t, commitBatch(t.Context(), attempt, batch))
			require.NoError(t, attempt.Publish(t.Context(), func() {}))

			require.Equal(t, []string{"1234 a 1 7", "1234 e 2"}, rows(t, db, allProducts))
			require.Zero(t, count(t, db, keptRecords))
			require.Equal(t, []string{
				product("b", "cheap") + `|no row in table public.products: column "price": "cheap" is not an amount that the cleaner money knows, such as $1,299.00`,
				`{"url":"c\u0000"}|\u0000 at byte 10: PostgreSQL's text cannot hold it`,
				`d;100|PostgreSQL refuses it: new row for relation "products" violates check constraint "products_price_check"`,
			}, rows(t, db, `SELECT convert_from(raw, 'UTF8'), reason FROM scrapehaul.rejected_records ORDER BY record_number`))
			want := sink.Counts{Records: 2, Rejected: 3, Skipped: 1}
			require.Equal(t, want, attempt.Checkpoint().Counts)
			require.Equal(t, want, counted(t, store, jobID))
			require.Equal(t, []string{"true|2|{url,price,stock,other}"}, rows(t, db, `SELECT rows_only, mapped_rows, columns FROM scrapehaul.imports`))
			nothingHeld(t, db)
		})
	}
}

func TestImportOfRowsOnlyResumes(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	keeping, store := mapped(t, db, upsert), mapped(t, db, rowsOnly(upsert))
	half := func(of *postgres.Store, price string) sink.Import {
		attempt := begin(t, of, ofSitemap("shop", request(1, 40)))
		require.Zero(t, attempt.Checkpoint(), "it starts over if only one of the attempts keeps records")
		require.NoError(t, commit(t, attempt, 1, 25, `{"url":"%d","price":"`+price+`"}`))
		return attempt
	}
	half(store, "1")
	half(keeping, "2")
	first := half(store, "3")
	second := begin(t, store, ofSitemap("shop", request(1, 40)))
	require.Equal(t, int64(25), second.Checkpoint().Records)
	require.Error(t, commit(t, first, 26, 40, `{"url":"%d","price":"4"}`))
	require.NoError(t, commit(t, second, 26, 40, `{"url":"%d","price":"5"}`))
	require.NoError(t, second.Publish(t.Context(), func() {}))
	require.Equal(t, []string{"3|25", "5|15"}, rows(t, db, `SELECT price, count(*) FROM products GROUP BY price ORDER BY price`))
	require.Equal(t, sink.Counts{Records: 40}, counted(t, store, jobID))
	require.NoError(t, store.RemoveUnneeded(t.Context(), jobID, func(int64) {}))
	require.Zero(t, count(t, db, keptRecords))
	require.Equal(t, []string{mappedAs(t, upsert)}, rows(t, db, `SELECT mapping FROM scrapehaul.imports WHERE state = 'published'`), "as if it had records")
}

func mappedAs(t *testing.T, file string) string {
	of := parsed(t, file).All()[0]
	return of.Fingerprint() + " " + of.Table.String()
}

func TestRowsThatAreGoneAreNotCounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file    string
		foreign int64 // a job whose rows are not those of job 5
	}{
		"replace-job":            {replaceJob, 7},
		"replace-job with a key": {products + "key: [url]\n    mode: replace-job\n", 7},
		"upsert":                 {upsert, 3},
		"append":                 {appendMode, 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, db := newMapped(t, rowsOnly(c.file))
			published(t, store, 5, "shop", product("a", "1"), product("b", "1"), product("c", "1"))
			published(t, store, c.foreign, "shop-2", product("x", "1"), product("y", "1"))
			require.Equal(t, sink.Counts{Records: 3}, counted(t, store, 5))
			db.MustExec(`DELETE FROM products WHERE url = 'b'`)
			require.Equal(t, sink.Counts{Records: 2}, counted(t, store, 5))
			db.MustExec(`ALTER TABLE products RENAME TO goods`)
			require.Equal(t, sink.Counts{}, counted(t, store, 5))
		})
	}
	for file, later := range map[string]int64{upsert: 7, appendMode: 3} {
		store, _ := newMapped(t, rowsOnly(file))
		published(t, store, 5, "shop", product("a", "1"), product("b", "1"), product("a", "2"))
		published(t, store, later, "shop", product("a", "2"), product("b", "2"))
		require.Equal(t, sink.Counts{Records: 3}, counted(t, store, 5), "another job owns the rows of its keys")
	}
}

// A trigger may drop rows only if the records are kept.
func TestAnImportWhoseRowsATriggerDropsIsNotPublished(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{"replace-job": replaceJob, "upsert": upsert, "append": appendMode} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, db := newMapped(t, rowsOnly(file))
			leaveOut(db)
			published(t, store, 1, "shop", product("a", "1"))
			_, err := publishRecords(t.Context(), store, 2, "shop", product("b", "1"), product("c", "-1"))
			require.ErrorContains(t, err, "table public.products: 1 records have no row in it after the merge, and are not kept anywhere else (keep_records: false): check which trigger")
			require.Equal(t, []string{"1 a 1 7"}, rows(t, db, allProducts))
			published(t, mapped(t, db, file), 2, "shop", product("b", "1"), product("c", "-1"))
		})
	}
}

func leaveOut(db *sqlx.DB) {
	db.MustExec(`CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN NEW.price > 0 THEN NEW END; END';
		CREATE TRIGGER leave_out BEFORE INSERT ON products FOR EACH ROW EXECUTE FUNCTION leave_out()`)
}

func TestKeepRecordsIsSwitchedWithoutAMigration(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	keeping, store := mapped(t, db, upsert), mapped(t, db, rowsOnly(upsert))
	for n, each := range []struct {
		store   *postgres.Store
		records int64
	}{{keeping, 2}, {store, 0}, {keeping, 2}, {store, 0}} {
		for job := range int64(2) {
			published(t, each.store, 1+job, "shop", product("a", "1"), product("b", "1"))
			require.NoError(t, store.RemoveUnneeded(t.Context(), 1+job, func(int64) {}))
		}
		require.Equal(t, 2*each.records, count(t, db, keptRecords), n)
		require.Equal(t, []string{"2 a 1 7", "2 b 1 7"}, rows(t, db, allProducts))
		require.Equal(t, sink.Counts{Records: 2}, counted(t, store, 1))
	}
}

func TestOnlySitemapsWithRecordsHaveViews(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	keeping, store := mapped(t, db, upsert), mapped(t, db, rowsOnly(upsert))
	const views = `SELECT schemaname || '.' || viewname FROM pg_views WHERE schemaname LIKE 'sitemaps%' ORDER BY 1`
	refresh := func() {
		problems, err := store.RefreshSitemapViews(t.Context(), func() {})
		require.NoError(t, err)
		require.Empty(t, problems)
	}
	published(t, store, 1, "shop", product("a", "1"))
	refresh()
	require.Empty(t, rows(t, db, views))
	published(t, keeping, 2, "shop", product("a", "2"))
	both := []string{"sitemaps.shop", "sitemaps_latest.shop"}
	require.Equal(t, both, rows(t, db, views))
	published(t, store, 3, "shop", product("a", "3"), `{"url":"b","new":"c"}`)
	refresh()
	require.Equal(t, both, rows(t, db, views))
	require.Equal(t, []string{"2"}, rows(t, db, `SELECT price FROM sitemaps.shop`))
	require.Zero(t, count(t, db, `SELECT count(*) FROM sitemaps_latest.shop`), "the latest job has no records")
	require.Equal(t, []string{"{url,price,stock}"}, rows(t, db, `SELECT columns FROM scrapehaul.sitemap_views`))
}

// Only its records show whether another job has a lost key.
func TestRowsOfLostKeysGoToTheNextJobWithoutRecords(t *testing.T) {
	t.Parallel()
	for mode, c := range map[string]struct {
		file                string
		first, second, last int64 // the jobs, by precedence
	}{"upsert": {upsert, 9, 5, 1}, "append": {appendMode, 1, 5, 9}} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			_, db := newStore(t)
			keeping, store := mapped(t, db, c.file), mapped(t, db, rowsOnly(c.file))
			is := func(want ...string) {
				t.Helper()
				for n := range want {
					want[n] += " 7"
				}
				require.Equal(t, want, rows(t, db, `SELECT concat_ws(' ', scrapingjob_id, url, price, "in Stock") FROM products ORDER BY url`))
			}
			row := func(job int64, rest string) string { return fmt.Sprint(job, " ", rest) }
			published(t, keeping, c.last, "shop", product("a", "1"), product("b", "1"), product("c", "1"))
			published(t, store, c.second, "shop", product("a", "2"))
			published(t, store, c.first, "shop", product("a", "3"), product("b", "3"), product("c", "3"))
			is(row(c.first, "a 3"), row(c.first, "b 3"), row(c.first, "c 3"))

			published(t, store, c.first, "shop", product("c", "4"))
			is(row(c.second, "a 3"), row(c.second, "b 3"), row(c.first, "c 4"))
			require.Equal(t, sink.Counts{Records: 1}, counted(t, store, c.second))
			published(t, store, c.second, "shop", product("a", "5")) // the last job's records are kept
			is(row(c.second, "a 5"), row(c.last, "b 1"), row(c.first, "c 4"))
			published(t, keeping, c.first, "shop", product("c", "6"), product("d", "6"))
			published(t, keeping, c.first, "shop", product("c", "6"))
			is(row(c.second, "a 5"), row(c.last, "b 1"), row(c.first, "c 6"), row(c.second, "d 6"))
			published(t, store, c.second, "shop", product("a", "5"))
			is(row(c.second, "a 5"), row(c.last, "b 1"), row(c.first, "c 6"))
		})
	}
}

func TestRowsOfLostKeysAreMissing(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, rowsOnly(deactivate))
	published(t, store, 1, "shop", product("a", "1"), product("b", "1"))
	published(t, store, 2, "shop", product("a", "2"), product("b", "2"))
	published(t, store, 2, "shop", product("a", "3"))
	require.Equal(t, []string{"1 b 2 7", "2 a 3 7"}, rows(t, db, allProducts))
	require.Equal(t, []string{"a"}, rows(t, db, activeProducts))
	_, err := publishRecords(t.Context(), store, 3, "shop", product("c", "4"))
	require.ErrorContains(t, err, "the job would deactivate 1 of the 1 active rows")
}

func TestBackfillNamesTheJobsWithoutRecords(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	keeping, store := mapped(t, db, upsert), mapped(t, db, rowsOnly(upsert))
	published(t, keeping, 1, "shop", product("a", "1"), product("b", "1"))
	published(t, store, 2, "shop", product("b", "2"))
	published(t, store, 3, "shop", product("c", "3"))
	changed := products + "  - {name: sku, from: url, type: text}\n    key: [sku]\n    mode: upsert\n    keep_records: false\n"
	store, sql := migrated(t, db, changed)
	require.Contains(t, sql[len(sql)-1], "-- 2 jobs have no records (keep_records: false)")
	require.Contains(t, sql[len(sql)-1], "starter reimport 3 2")
	last, err := store.BackfillMappedTable(t.Context(), "default", "shop", func(postgres.Backfill) {})
	require.NoError(t, err)
	require.Equal(t, postgres.Backfill{Table: "public.products", Imports: 1, OfImports: 1, Records: 2, OfRecords: 2, Incomplete: 2, IncompleteJobs: []int64{3, 2}}, last)
	const skus = `SELECT scrapingjob_id, url, price, sku FROM products ORDER BY 1, 2`
	require.Equal(t, []string{"1|a|1|a", "1|b|1|b", "2|b|2|NULL", "3|c|3|NULL"}, rows(t, db, skus))
	published(t, store, 3, "shop", product("c", "4"))
	published(t, store, 2, "shop", product("b", "4"))
	require.Equal(t, []string{"1|a|1|a", "2|b|4|b", "3|c|4|c"}, rows(t, db, skus))
}

func TestJobsWithoutRecordsAreNotCompared(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	keeping, store := mapped(t, db, upsert), mapped(t, db, rowsOnly(upsert))
	published(t, store, 1, "shop", product("a", "1"))
	published(t, store, 2, "shop", product("a", "2"))
	refused := func(arguments, want, hint string) {
		t.Helper()
		_, err := db.Exec(`SELECT scrapehaul.changes('shop'` + arguments + `)`)
		require.ErrorContains(t, err, want)
		require.Contains(t, pq.As(err).Hint, hint)
	}
	for _, arguments := range []string{"", ", '{url}'", ", older => 1, newer => 2"} {
		refused(arguments, `the records of sitemap "shop" are not kept (keep_records: false)`, "Leave keep_records out of the file of mappings")
	}
	_, err := store.ComparedJobs(t.Context(), postgres.ChangesQuery{Sitemap: "shop"})
	require.ErrorContains(t, err, "are not kept (keep_records: false). Leave keep_records out")

	published(t, keeping, 3, "shop", product("a", "3"))
	refused("", "the records of scraping job 2 are not kept (keep_records: false)", "starter reimport 2 brings them then")
	published(t, keeping, 4, "shop", product("a", "4"))
	published(t, store, 5, "shop", product("a", "5"))
	refused("", "the records of scraping job 5 are not kept", "starter reimport 5")
	require.Equal(t, int64(1), count(t, db, `SELECT count(*) FROM scrapehaul.changes('shop', newer => 4)`))
	problems, err := store.RefreshSitemapViews(t.Context(), func() {})
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Equal(t, []string{"4|3|0|0|1|0"}, rows(t, db, `SELECT * FROM (`+strings.ReplaceAll(comparisons, "ORDER BY import_id", ") AS all_imports WHERE compared_import_id IS NOT NULL")))
}

func TestRetentionRemovesRowsWithoutRecords(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	store := mapped(t, db, rowsOnly(replaceJob))
	for job := range int64(3) {
		published(t, store, 1+job, "shop", product("a", "1"), product("b", "x"))
	}
	db.MustExec(`UPDATE scrapehaul.imports SET published_at = now() - interval '9 days'; UPDATE scrapehaul.scraping_jobs SET cloud_deleted_at = now()`)
	old := postgres.Retention{Records: 24 * time.Hour}
	require.Equal(t, 2, removeOld(t, store, old), "never the latest")
	require.Equal(t, []string{"3 a 1 7"}, rows(t, db, allProducts))
	history, err := store.History(t.Context(), postgres.HistoryQuery{ScrapingJobID: 1, Limit: 9})
	require.NoError(t, err)
	require.Equal(t, sink.Counts{Records: 1, Rejected: 1}, history[0].Counts)
	require.True(t, history[0].RowsOnly)
	require.Equal(t, "removed", history[0].State)
	published(t, store, 1, "shop", product("a", "2")) // from the archive
	require.Equal(t, []string{"1 a 2 7", "3 a 1 7"}, rows(t, db, allProducts))
}

// An operator decides about required columns without values even if no record is left.
func TestColumnsWithoutValuesAreNamedWhenNoRowIsLeft(t *testing.T) {
	t.Parallel()
	store, _ := newMapped(t, rowsOnly(upsert))
	_, err := publishRecords(t.Context(), store, 1, "shop", `{"URL":"a","price":"1"}`)
	require.ErrorContains(t, err, `no record has "url" (they have "URL")`)
	published(t, store, 2, "shop")
}

// In any sequence of imports with and without records: each key of a published import has a
// row, owned by its job or one with precedence, and all published records are counted.
func TestNoRowWithoutRecordsIsLost(t *testing.T) {
	t.Parallel()
	for mode, file := range map[string]string{"upsert": upsert, "append": appendMode} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			_, db := newStore(t)
			stores := map[bool]*postgres.Store{true: mapped(t, db, file), false: mapped(t, db, rowsOnly(file))}
			var pass int
			rapid.Check(t, func(r *rapid.T) {
				db.MustExec(`TRUNCATE products; UPDATE scrapehaul.scraping_jobs SET published_import_id = NULL; UPDATE scrapehaul.imports SET state = 'abandoned'`)
				published := map[int64][]string{}
				for range rapid.IntRange(1, 6).Draw(r, "imports") {
					job, keep := rapid.Int64Range(1, 4).Draw(r, "job"), rapid.Bool().Draw(r, "keep")
					keys := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3, rapid.ID).Draw(r, "keys")
					pass++
					var records []string
					for _, key := range keys {
						records = append(records, product(key, fmt.Sprint(pass)))
					}
					_, err := publishRecords(t.Context(), stores[keep], job, "shop", records...)
					require.NoError(r, err)
					published[job] = keys
					for job, keys := range published {
						require.Equal(r, sink.Counts{Records: int64(len(keys))}, counted(t, stores[false], job))
						for _, key := range keys {
							owner := count(t, db, `SELECT coalesce(min(scrapingjob_id), 0) FROM products WHERE url = $1`, key)
							require.NotZero(r, owner, key)
							require.True(r, owner == job || (owner > job) == (mode == "upsert"), "the row of %s is job %d's, and job %d has it", key, owner, job)
						}
					}
				}
			})
		})
	}
}
