package postgres_test

import (
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// committed commits the products of an import that will merge piece records at a time.
func committed(t *testing.T, store *postgres.Store, job, piece int64, products ...string) sink.Import {
	t.Helper()
	attempt := begin(t, store, ofSitemap("shop", ofJob(job, request(1, int64(len(products))))))
	postgres.SetPiece(attempt, piece)
	batch := attempt.NewBatch()
	for n, product := range products {
		batch.Add(int64(n+1), []byte(product))
	}
	batch.EndsAt(int64(len(products)), int64(len(products)))
	require.NoError(t, commitBatch(t.Context(), attempt, batch))
	return attempt
}

// Rows are plainly inserted until a key occurs twice.
func TestKeysOccurTwiceAnywhere(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		key   string
		piece int64
		want  map[string][]string // by mode
	}{
		"in the first piece": {"a a b c d", 2, map[string][]string{
			"upsert": {"2 a 2 7", "2 b 3 7", "2 c 4 7", "2 d 5 7"}, "append": {"2 a 1 7", "2 b 3 7", "2 c 4 7", "2 d 5 7"}}},
		"in a later piece": {"a b c d d e", 2, map[string][]string{
			"upsert": {"2 a 1 7", "2 b 2 7", "2 c 3 7", "2 d 5 7", "2 e 6 7"}, "append": {"2 a 1 7", "2 b 2 7", "2 c 3 7", "2 d 4 7", "2 e 6 7"}}},
		"in two pieces": {"a b c a d", 2, map[string][]string{
			"upsert": {"2 a 4 7", "2 b 2 7", "2 c 3 7", "2 d 5 7"}, "append": {"2 a 1 7", "2 b 2 7", "2 c 3 7", "2 d 5 7"}}},
		"in two pieces and in one": {"a b a c c d", 3, map[string][]string{
			"upsert": {"2 a 3 7", "2 b 2 7", "2 c 5 7", "2 d 6 7"}, "append": {"2 a 1 7", "2 b 2 7", "2 c 4 7", "2 d 6 7"}}},
		"in the table": {"b x y z x", 2, map[string][]string{
			"upsert": {"2 b 1 7", "2 x 5 7", "2 y 3 7", "2 z 4 7"}, "append": {"1 x 9 7", "1 z 9 7", "2 b 1 7", "2 y 3 7"}}},
	} {
		for mode, want := range test.want {
			t.Run(name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				store, db := newMapped(t, products+"key: [url]\n    mode: "+mode+"\n")
				if name == "in the table" {
					published(t, store, 1, "shop", product("x", "9"), product("z", "9"))
				}
				var records []string
				for n, key := range test.key {
					if key != ' ' {
						records = append(records, product(string(key), fmt.Sprint(1+n/2)))
					}
				}
				require.NoError(t, committed(t, store, 2, test.piece, records...).Publish(t.Context(), func() {}))
				require.Equal(t, want, rows(t, db, allProducts))
			})
		}
	}
}

// ofHost returns a store in mode upsert on a table created by its host, with more after its
// columns.
func ofHost(t *testing.T, url, more string) (*postgres.Store, *sqlx.DB) {
	t.Helper()
	_, db := newStore(t)
	db.MustExec(fmt.Sprintf(`CREATE COLLATION public.whatever_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE TABLE public.products (scrapingjob_id bigint NOT NULL, url %s NOT NULL, price numeric, "in Stock" bigint%s)`, url, more))
	return mapped(t, db, upsert), db
}

func TestKeysEqualByCollationAreOneKey(t *testing.T) {
	t.Parallel()
	store, db := ofHost(t, `text COLLATE public.whatever_case UNIQUE`, "")
	require.NoError(t, committed(t, store, 1, 3, product("a", "1"), product("b", "2"), product("A", "3"), product("c", "4"), product("B", "5")).Publish(t.Context(), func() {}))
	require.Equal(t, []string{"1 A 3 7", "1 B 5 7", "1 c 4 7"}, rows(t, db, allProducts))
}

func TestKeysOfTypesOtherThanTextAreMerged(t *testing.T) {
	t.Parallel()
	store, db := ofHost(t, `uuid UNIQUE`, "")
	const uuid = "00000000-0000-0000-0000-00000000000"
	require.NoError(t, committed(t, store, 1, 2, product(uuid+"2", "1"), product(uuid+"1", "2"), product(uuid+"2", "3")).Publish(t.Context(), func() {}))
	require.Equal(t, []string{"1 " + uuid + "1 2 7", "1 " + uuid + "2 3 7"}, rows(t, db, allProducts))
}

func TestTableThatLosesItsKeyDuringAnImportGetsNoRows(t *testing.T) {
	t.Parallel()
	store, db := ofHost(t, `text UNIQUE`, "")
	attempt := committed(t, store, 1, 2, product("a", "1"), product("a", "2"))
	db.MustExec(`ALTER TABLE products DROP CONSTRAINT products_url_key`)
	err := attempt.Publish(t.Context(), func() {})
	require.ErrorAs(t, err, new(*postgres.MappedTableError))
	require.ErrorContains(t, err, "ON CONFLICT")
	require.Empty(t, rows(t, db, allProducts))
	db.MustExec(`ALTER TABLE products ADD UNIQUE (url)`)
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	require.Equal(t, []string{"1 a 2 7"}, rows(t, db, allProducts))
}

func TestOtherUniqueConstraintsAreNotKeys(t *testing.T) {
	t.Parallel()
	store, db := ofHost(t, `text UNIQUE`, ", UNIQUE (price)")
	err := committed(t, store, 1, 10, product("a", "1"), product("b", "1")).Publish(t.Context(), func() {})
	require.ErrorAs(t, err, new(*postgres.MappedTableError))
	require.ErrorContains(t, err, `violates unique constraint "products_price_key"`)
	require.Empty(t, rows(t, db, allProducts))
}

// The effects of triggers in a refused statement are rolled back.
func TestTriggersFireOncePerRow(t *testing.T) {
	t.Parallel()
	store, db := newMapped(t, upsert)
	db.MustExec(`CREATE TABLE public.seen (url text);
		CREATE FUNCTION public.see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen VALUES (new.url); RETURN new; END';
		CREATE TRIGGER see AFTER INSERT OR UPDATE ON products FOR EACH ROW EXECUTE FUNCTION public.see()`)
	require.NoError(t, committed(t, store, 1, 3, product("a", "1"), product("b", "2"), product("b", "3"), product("c", "4")).Publish(t.Context(), func() {}))
	require.Equal(t, []string{"a", "b", "c"}, rows(t, db, `SELECT url FROM seen ORDER BY url`))
}
