package postgres_test

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
)

func TestTableThatIsThereIsCheckedAgainstItsMapping(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	db.MustExec(`CREATE TABLE public.products (url text, price date, active boolean)`)
	mappings, err := mapping.Parse("mappings.yaml", []byte(deactivate))
	require.NoError(t, err)
	err = postgres.PrepareMappedTables(t.Context(), db, mappings)
	require.EqualError(t, err, `table public.products is not as its mapping wants it, run: `+
		`ALTER TABLE "public"."products" ADD scrapingjob_id bigint NOT NULL; `+
		`ALTER TABLE "public"."products" ALTER "price" TYPE numeric; -- it is date `+
		`ALTER TABLE "public"."products" ADD "in Stock" bigint; `+
		`CREATE UNIQUE INDEX ON "public"."products" ("url");`)
	db.MustExec(`ALTER TABLE public.products ADD scrapingjob_id bigint NOT NULL, ADD "in Stock" bigint, DROP price, ADD price float8;
		CREATE UNIQUE INDEX ON public.products (url) WHERE active`)
	require.ErrorContains(t, postgres.PrepareMappedTables(t.Context(), db, mappings), "CREATE UNIQUE INDEX", "a partial index does not do")
	db.MustExec(`CREATE UNIQUE INDEX ON public.products (url)`)
	require.NoError(t, postgres.PrepareMappedTables(t.Context(), db, mappings))

	mappings, err = mapping.Parse("mappings.yaml", []byte(strings.Replace(upsert, "table: products", "table: shop.products", 1)))
	require.NoError(t, err)
	require.ErrorContains(t, postgres.PrepareMappedTables(t.Context(), db, mappings), `table shop.products: making it, by "CREATE TABLE \"shop\".\"products\"`)
}

func TestTableThatCannotTakeRowsIsToldAtTheStart(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	mappings, err := mapping.Parse("mappings.yaml", []byte(replaceJob))
	require.NoError(t, err)
	db.MustExec(`CREATE TABLE public.products (scrapingjob_id bigint NOT NULL, url text, shop text NOT NULL, made timestamptz NOT NULL DEFAULT now(),
		id bigint GENERATED ALWAYS AS IDENTITY, price numeric GENERATED ALWAYS AS (1) STORED, "in Stock" bigint GENERATED ALWAYS AS IDENTITY)`)
	err = postgres.PrepareMappedTables(t.Context(), db, mappings)
	require.EqualError(t, err, `table public.products is not as its mapping wants it, run: `+
		`ALTER TABLE "public"."products" ALTER "price" DROP EXPRESSION IF EXISTS, ALTER "price" DROP IDENTITY IF EXISTS; -- PostgreSQL generates it `+
		`ALTER TABLE "public"."products" ALTER "in Stock" DROP EXPRESSION IF EXISTS, ALTER "in Stock" DROP IDENTITY IF EXISTS; -- PostgreSQL generates it `+
		`ALTER TABLE "public"."products" ALTER "shop" DROP NOT NULL; -- or SET DEFAULT: no column of the mapping fills it`)
	for statement := range strings.SplitAfterSeq(strings.TrimPrefix(err.Error(), "table public.products is not as its mapping wants it, run: "), "; ") {
		db.MustExec(strings.TrimLeft(regexp.MustCompile(`-- .*? (ALTER|$)`).ReplaceAllString(statement, "$1"), " "))
	}
	require.NoError(t, postgres.PrepareMappedTables(t.Context(), db, mappings))

	db.MustExec(`DROP TABLE public.products; CREATE VIEW public.products AS SELECT 1 AS scrapingjob_id`)
	require.ErrorContains(t, postgres.PrepareMappedTables(t.Context(), db, mappings), "table public.products: it is a view, a foreign table or the like")
}

func TestSeveralWorkersPrepareMappedTablesAtTheSameTime(t *testing.T) {
	t.Parallel()
	url := postgrestest.NewDatabase(t)
	_, err := postgres.Migrate(t.Context(), connect(t, url))
	require.NoError(t, err)
	mappings, err := mapping.Parse("mappings.yaml", []byte(deactivate))
	require.NoError(t, err)
	var all sync.WaitGroup
	for range 5 {
		db := connect(t, url)
		all.Go(func() { assert.NoError(t, postgres.PrepareMappedTables(context.Background(), db, mappings)) })
	}
	all.Wait()
}
