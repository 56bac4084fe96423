package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
)

const (
	exampleMappings = "../mapping/testdata/mappings.yaml"
	exampleSample   = "../mapping/testdata/books.jsonl"
)

// checkMapping runs the command without any settings.
func checkMapping(t *testing.T, args ...string) (code int, out, problems string) {
	t.Helper()
	programtest.SetEnvironment(t, nil)
	return runWorker(append([]string{"check-mapping"}, args...)...)
}

// fileOf writes a file with this text.
func fileOf(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestCheckMappingDescribesTheFile(t *testing.T) {
	code, out, problems := checkMapping(t, exampleMappings)
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, `books -> shop.books: upsert, 7 columns, key url; missing rows get active = false, up to 20 % of the active ones
shop-* -> shop.offers: replace-job, 2 columns
ok
`, out)
	require.Empty(t, problems)

	code, out, problems = checkMapping(t, exampleMappings, "--sitemap", "shop-eu")
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, "shop-* -> shop.offers: replace-job, 2 columns\nok\n", out)
}

func TestCheckMappingSaysWhatIsUnavailableWithoutRecords(t *testing.T) {
	for keep, want := range map[string]string{
		"true":  "",
		"false": "; rows only: without records there are no views and no starter diff, and old jobs can be remapped only from the cloud or the archive",
	} {
		file := fileOf(t, "m.yaml", "mappings: [{sitemap: books, table: t, mode: replace-job, keep_records: "+keep+", columns: [{name: v, type: text}]}]")
		code, out, problems := checkMapping(t, file)
		require.Equal(t, program.ExitOK, code, problems)
		require.Equal(t, "books -> public.t: replace-job, 1 column"+want+"\nok\n", out)
	}
}

func TestCheckMappingSeparatesAccounts(t *testing.T) {
	file := fileOf(t, "m.yaml", `mappings:
- {sitemap: books, table: t, mode: replace-job, columns: [{name: v, type: text}]}
- {account: acme, sitemap: books, table: u, mode: replace-job, columns: [{name: v, type: text}]}
- {account: acme, sitemap_prefix: shop-, table: u, mode: replace-job, columns: [{name: v, type: text}]}
`)
	for sitemap, want := range map[string]string{
		"":             "books -> public.t: replace-job, 1 column\nacme:books -> public.u: replace-job, 1 column\nacme:shop-* -> public.u: replace-job, 1 column\nok\n",
		"books":        "books -> public.t: replace-job, 1 column\nok\n",
		"acme:books":   "acme:books -> public.u: replace-job, 1 column\nok\n",
		"acme:shop-eu": "acme:shop-* -> public.u: replace-job, 1 column\nok\n",
	} {
		code, out, problems := checkMapping(t, file, "--sitemap", sitemap)
		require.Equal(t, program.ExitOK, code, problems)
		require.Equal(t, want, out)
	}
	code, _, problems := checkMapping(t, file, "--sitemap", "globex:books")
	require.Equal(t, program.ExitSettings, code)
	require.Contains(t, problems, `--sitemap is "globex:books", which no mapping covers: want one of books, acme:books, acme:shop-*`)
}

func TestCheckMappingShowsTheRowsOfASample(t *testing.T) {
	code, out, problems := checkMapping(t, exampleMappings, exampleSample, "--sitemap", "books")
	require.Equal(t, program.ExitFailed, code)
	require.Equal(t, "worker: 1 of 4 records would have no row\n", problems)
	require.Equal(t, `books -> shop.books: upsert, 7 columns, key url; missing rows get active = false, up to 20 % of the active ones

RECORD  url                         title                 price    stock   in_stock  seen_at                    details
        text                        text                  numeric  bigint  boolean   timestamptz                jsonb
1       https://books.example/1000  A Light in the Attic  1299.00  22      true      2026-11-24T15:04:00+02:00  {"pages":176}
2       https://books.example/999   Soumission            NULL     NULL    false     2026-11-24T15:05:00+02:00  NULL
4       https://books.example/1000  A Light in the Attic  12.50    3       true      2026-11-24T15:06:00+02:00  {"pages":176,"languages":["en","lv"]}

3 records would become 2 rows: records with the same key (url) share a row
1 record would have no row
  record 3: column "price": "on request" is not an amount that the cleaner money knows, such as $1,299.00
`, out)
}

func TestExampleIsTheDocumentedOne(t *testing.T) {
	documented, err := os.ReadFile("../docs/mapping.md")
	require.NoError(t, err)
	mappings, err := os.ReadFile(exampleMappings)
	require.NoError(t, err)
	require.Contains(t, string(documented), "```yaml\n"+string(mappings)+"```\n")
	_, out, _ := checkMapping(t, exampleMappings, exampleSample, "--sitemap", "books")
	require.Contains(t, string(documented), "```\n"+out+"```\n")
}

// oneMapping maps v to v and other to w.
const oneMapping = `mappings: [{sitemap: s, table: t, mode: replace-job, columns: [{name: v, type: integer}, {name: w, from: other, type: text}]}]`

func TestCheckMappingConvertsTheEntireSampleAndShowsTheFirstRows(t *testing.T) {
	var sample strings.Builder
	for n := range 1000 {
		value := fmt.Sprint(n)
		if n >= 500 && n%10 == 9 {
			value = `"nine"`
		}
		fmt.Fprintf(&sample, `{"v":%s,"other":"x"}`+"\n", value)
	}
	file, path := fileOf(t, "m.yaml", oneMapping), fileOf(t, "sample.json", sample.String())
	code, out, problems := checkMapping(t, file, path)
	require.Equal(t, program.ExitFailed, code)
	require.Equal(t, "worker: 50 of 1,000 records would have no row\n", problems)
	require.Contains(t, out, "\n10      9       x\n\n950 records would become 950 rows\n50 records would have no row\n  record 510: column \"v\": \"nine\" is not a number\n")
	require.Contains(t, out, "  record 600: column \"v\": \"nine\" is not a number\n  and 40 more\n")

	_, out, _ = checkMapping(t, file, path, "--rows", "2")
	require.Contains(t, out, "\n2       1       x\n\n950 records would become 950 rows\n")
	_, out, _ = checkMapping(t, file, path, "--rows", "0")
	require.Equal(t, "s -> public.t: replace-job, 2 columns\n\n950 records would become 950 rows\n", out[:strings.Index(out, "50 records would have no row")])
}

func TestCheckMappingShowsNullsAndInvisibleCharacters(t *testing.T) {
	sample := fileOf(t, "sample.json", strings.Join([]string{
		`{"other":null}`, `{"other":""}`, `{"other":"NULL"}`, `{"other":" a "}`, `{"other":"a\tb\u00a0c\u001b[31m"}`, `{"other":"` + strings.Repeat("é", 41) + `"}`, `{"other":"` + strings.Repeat("é", 40) + `"}`,
	}, "\n"))
	code, out, problems := checkMapping(t, fileOf(t, "m.yaml", oneMapping), sample)
	require.Equal(t, program.ExitOK, code, problems)
	require.Empty(t, problems)
	require.Equal(t, `s -> public.t: replace-job, 2 columns

RECORD  v       w
        bigint  text
1       NULL    NULL
2       NULL    ""
3       NULL    "NULL"
4       NULL    " a "
5       NULL    a\tb\u00a0c\x1b[31m
6       NULL    `+strings.Repeat("é", 39)+`…
7       NULL    `+strings.Repeat("é", 40)+`

7 records would become 7 rows
column "v" is NULL in all of them: check that the export has "v", and what the cleaners do to it
0 records would have no row
`, out)
}

func TestCheckMappingReportsUnreadablePricesAndYears(t *testing.T) {
	file := fileOf(t, "m.yaml", `mappings: [{sitemap: s, table: t, mode: replace-job, columns: [{name: price, type: numeric, clean: [money]}, {name: seen, type: timestamp, layout: "02/01/2006"}]}]`)
	sample := fileOf(t, "sample.json", `{"price":"475\u202f000 F Cfa","seen":"24/11/2024"}`+"\n"+`{"price":"฿1,290.00","seen":"24/11/2567"}`+"\n"+`{"price":"250K€","seen":"24/11/2024"}`)
	code, out, _ := checkMapping(t, file, sample)
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, out, "\n1       475000   2024-11-24T00:00:00Z\n\n1 record would become 1 row\n2 records would have no row\n"+
		"  record 2: column \"seen\": \"24/11/2567\" is not between the years 1900 and 2079: other calendars are not converted; for other years, set the column's years\n"+
		"  record 3: column \"price\": \"250K€\" has \"K€\" next to its number, which is not a currency that the cleaner money knows\n")
}

func TestCheckMappingReadsCSV(t *testing.T) {
	sample := fileOf(t, "sample.CSV", "\ufeffv,other\r\n\"1\",\"a \"\"b\"\"\nc\"\r\n\"x\",\"\"\r\n\"2\"\r\n")
	code, out, problems := checkMapping(t, fileOf(t, "m.yaml", oneMapping), sample)
	require.Equal(t, program.ExitFailed, code)
	require.Equal(t, "worker: 2 of 3 records would have no row\n", problems)
	require.Contains(t, out, "\n1       1       a \"b\"\\nc\n\n1 record would become 1 row\n2 records would have no row\n  record 2: column \"v\": \"x\" is not a number\n  record 3: wrong number of fields")
}

func TestCheckMappingReadsStandardInput(t *testing.T) {
	sample, err := os.Open(fileOf(t, "sample", `{"v":1,"other":"x"}`))
	require.NoError(t, err)
	before := os.Stdin
	os.Stdin = sample
	t.Cleanup(func() {
		os.Stdin = before
		require.NoError(t, sample.Close())
	})
	code, out, problems := checkMapping(t, fileOf(t, "m.yaml", oneMapping), "-")
	require.Equal(t, program.ExitOK, code, problems)
	require.Contains(t, out, "\n1 record would become 1 row\n0 records would have no row\n")
}

func TestCheckMappingRejectsWhatAnImportRejects(t *testing.T) {
	sample := fileOf(t, "sample.json", `{"v":1}`+"\n"+`[]`+"\n"+`{"v":2,"other":"\u0000"}`+"\n"+`{"v":`)
	code, out, _ := checkMapping(t, fileOf(t, "m.yaml", oneMapping), sample)
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, out, "1 record would become 1 row\n")
	require.Contains(t, out, "record 2: not a JSON object but an array\n")
	require.Contains(t, out, `record 3: \u0000 at byte 17: PostgreSQL's text cannot hold it`)
	require.Contains(t, out, "record 4: cut off: the JSON ends in the middle, after 5 bytes\n")
}

func TestCheckMappingOfAnEmptySample(t *testing.T) {
	code, out, problems := checkMapping(t, fileOf(t, "m.yaml", oneMapping), fileOf(t, "sample.json", ""))
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, "s -> public.t: replace-job, 2 columns\n\n0 records would become 0 rows\n0 records would have no row\n", out)
}

func TestCheckMappingReportsAllProblemsOfTheFile(t *testing.T) {
	path := fileOf(t, "m.yaml", "mappings:\n  - sitemap: s\n    table: t\n    columns: [{name: v, type: int}]\n    mode: replace\n")
	code, out, problems := checkMapping(t, path, exampleSample)
	require.Equal(t, program.ExitFailed, code)
	require.Empty(t, out)
	require.Equal(t, "worker: fix the mappings first:\n"+
		path+":4: type is \"int\": want one of text, numeric, integer, boolean, timestamp, jsonb\n"+
		path+":5: mode is \"replace\": want one of replace-job, upsert, append\n", problems)
}

func TestCheckMappingNamesUnreadableFiles(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	code, _, problems := checkMapping(t, missing)
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "worker: reading the mappings: open "+missing)
	code, _, problems = checkMapping(t, fileOf(t, "m.yaml", oneMapping), missing)
	require.Equal(t, program.ExitFailed, code)
	require.Contains(t, problems, "worker: reading the sample: open "+missing)
}

func TestCheckMappingNamesInvalidArguments(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{exampleMappings, exampleSample}, "--sitemap is missing: " + exampleMappings + " has 2 mappings, want the sample's sitemap, one of books, shop-*"},
		{[]string{exampleMappings, exampleSample, "--sitemap", "films"}, `--sitemap is "films", which no mapping covers: want one of books, shop-*`},
		{[]string{exampleMappings, exampleSample, "--rows", "many"}, `--rows is "many": want a number from 0 to 10000`},
	} {
		code, out, problems := checkMapping(t, c.args...)
		require.Equal(t, program.ExitSettings, code)
		require.Empty(t, out)
		programtest.RequireProblems(t, "worker", strings.TrimSuffix(problems, "\n"), c.want)
	}
	code, _, problems := checkMapping(t)
	require.Equal(t, program.ExitSettings, code)
	require.Contains(t, problems, "<file>")

	file := fileOf(t, "m.yaml", "sitemaps: [{sitemap: books, keep_imports: 3}]")
	for _, args := range [][]string{{exampleSample}, {"--sitemap", "books"}} {
		code, out, problems := checkMapping(t, append([]string{file}, args...)...)
		require.Equal(t, program.ExitSettings, code)
		require.Empty(t, out)
		programtest.RequireProblems(t, "worker", strings.TrimSuffix(problems, "\n"), file+" has no mappings: leave out the sample and --sitemap, or add a mapping")
	}
	code, out, problems := checkMapping(t, file)
	require.Equal(t, program.ExitOK, code, problems)
	require.Equal(t, "ok\n", out)
}
