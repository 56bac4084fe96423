package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestDocumentedMappingFitsTheDemo(t *testing.T) {
	documented, err := os.ReadFile("../docs/mapping.md")
	require.NoError(t, err)
	file := regexp.MustCompile("(?s)\n   (# laptops.yaml\n.*?)   ```").FindSubmatch(documented)
	require.NotNil(t, file)
	var sample strings.Builder
	_, err = io.Copy(&sample, webscrapertest.Products(200, 1).Open())
	require.NoError(t, err)
	code, out, problems := checkMapping(t, fileOf(t, "laptops.yaml", string(file[1])), fileOf(t, "sample.jsonl", sample.String()))
	require.Equal(t, program.ExitOK, code, problems)
	require.Contains(t, out, "\n200 records would become 200 rows\n0 records would have no row\n")
}

// check-mapping shows the SQL, migrate-mapping runs it, and check-mapping shows that it ran.
func TestMigrateMappingRunsWhatCheckMappingShows(t *testing.T) {
	programtest.SetEnvironment(t, map[string]string{"DATABASE_URL": postgrestest.NewDatabase(t)})
	mappings := func(column string) string {
		return fileOf(t, "m.yaml", `mappings: [{account: acme, sitemap_prefix: s-, table: shop.t, mode: upsert, key: [v], columns: [{name: v, type: text}, `+column+`]}]`)
	}
	first, second := mappings(`{name: w, type: text}`), mappings(`{name: x, from: w, type: text}`)
	code, _, problems := runWorker("check-mapping", first, "--database")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, `schema scrapehaul does not exist yet: start a worker, or run "worker migrate"`)

	code, out, problems := runWorker("migrate-mapping", first)
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, `
table shop.t
CREATE SCHEMA "shop";
CREATE TABLE "shop"."t" (scrapingjob_id bigint NOT NULL, "v" text NOT NULL, "w" text, PRIMARY KEY ("v"));
CREATE INDEX ON "shop"."t" (scrapingjob_id);
-- then: starter backfill "s-" --account acme

migrated: give all workers `+first+` (MAPPINGS), then run the backfills
`, out)

	const change = `
table shop.t
  column "w" (text) is in the table only
  column "x" (text) is in the file only
ALTER TABLE "shop"."t" RENAME "w" TO "x";
-- then: starter backfill "s-" --account acme
`
	code, out, problems = runWorker("check-mapping", second, "--database")
	require.Equal(t, program.ExitFailed, code)
	require.Equal(t, "acme:s-* -> shop.t: upsert, 2 columns, key v\n"+change, out)
	require.Equal(t, "worker: 1 table differs from the file: worker migrate-mapping "+second+" runs this SQL\n", problems)
	code, out, problems = runWorker("check-mapping", second, fileOf(t, "sample.json", `{"v":"a","w":"b"}`+"\n"+`{"w":"c"}`), "--database")
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, out, "\n1       a     b\n\n1 record would become 1 row\n")
	require.True(t, strings.HasSuffix(out, change), out)
	require.Equal(t, "worker: 1 of 2 records would have no row\n1 table differs from the file: worker migrate-mapping "+second+" runs this SQL\n", problems)
	code, out, problems = runWorker("migrate-mapping", second)
	require.Equal(t, program.ExitOK, code, problems)
	require.Contains(t, out, change)
	for _, command := range [][]string{{"check-mapping", second, "--database"}, {"migrate-mapping", second}} {
		code, out, problems = runWorker(command...)
		require.Equal(t, program.ExitOK, code, problems)
		require.Contains(t, out, "\ntable shop.t matches the file\n")
	}

	refused := fileOf(t, "m.yaml", "mappings: [{sitemap: s, table: shop.t_pkey, mode: replace-job, columns: [{name: v, type: text}]}]")
	code, _, problems = runWorker("migrate-mapping", refused)
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "worker: no table was changed: table shop.t_pkey: ")

	programtest.SetEnvironment(t, nil)
	code, _, problems = runWorker("migrate-mapping", second)
	require.Equal(t, program.ExitSettings, code)
	require.Contains(t, problems, "DATABASE_URL is missing")
}
