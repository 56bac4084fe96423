package mapping_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

func TestMappingsFileIsRead(t *testing.T) {
	mappings, err := mapping.ReadFile("testdata/mappings.yaml")
	require.NoError(t, err)
	require.Len(t, mappings.All(), 2)

	books := mappings.For(sink.DefaultAccount, "books")
	require.Equal(t, "books", books.Sitemap)
	require.Empty(t, books.SitemapPrefix)
	require.Equal(t, mapping.Table{Schema: "shop", Name: "books"}, books.Table)
	require.Equal(t, "shop.books", books.Table.String())
	require.Equal(t, mapping.Upsert, books.Mode)
	require.Equal(t, []string{"url"}, books.Key)
	require.Equal(t, &mapping.DeactivateMissing{Column: "active", BrakePercent: 20}, books.DeactivateMissing)

	url := books.Columns[0]
	require.Equal(t, "url", url.Name)
	require.Equal(t, "product-link-href", url.From)
	require.True(t, url.Required, "a column of the key")
	price := books.Columns[2]
	require.Equal(t, "price", price.From, "of the same name")
	require.Equal(t, []string{"trim", "empty-is-null", "null-text", "money"}, price.Clean)
	require.False(t, price.Required)
	seen := books.Columns[5]
	require.Equal(t, "02/01/2006 15:04", seen.Layout)
	require.Equal(t, "Europe/Riga", seen.TimeZone)

	var types []string
	for _, c := range books.Columns {
		types = append(types, c.Type.PostgreSQL())
	}
	require.Equal(t, []string{"text", "text", "numeric", "bigint", "boolean", "timestamptz", "jsonb"}, types)

	shop := mappings.All()[1]
	require.Equal(t, "shop-", shop.SitemapPrefix)
	require.Equal(t, mapping.ReplaceJob, shop.Mode)
	require.Empty(t, shop.Key)
	require.Nil(t, shop.DeactivateMissing)
}

func TestTableWithoutSchemaIsInPublic(t *testing.T) {
	require.Equal(t, mapping.Table{Schema: "public", Name: "books"},
		read(t, `mappings: [{sitemap: s, table: books, mode: replace-job, columns: [{name: v, type: text}]}]`).Table)
}

func TestExactNameWinsThenTheLongestPrefix(t *testing.T) {
	mapped := func(key, name string) string {
		return "  - {" + key + ": " + name + ", table: '" + name + "', mode: replace-job, columns: [{name: v, type: text}]}\n"
	}
	mappings, err := mapping.Parse("mappings.yaml", []byte("mappings:\n"+
		mapped("sitemap_prefix", "shop-")+mapped("sitemap_prefix", "shop-eu-")+mapped("sitemap", "shop-eu-de")+mapped("sitemap", "2024")))
	require.NoError(t, err)
	for name, want := range map[string]string{
		"shop-eu-de": "shop-eu-de", "shop-eu-fr": "shop-eu-", "shop-eu-": "shop-eu-", "shop-us": "shop-", "shop-": "shop-", "2024": "2024",
	} {
		require.Equal(t, want, mappings.For(sink.DefaultAccount, name).Table.Name, name)
	}
	for _, name := range []string{"shop", "", "Shop-eu", "my-shop-eu"} {
		require.Nil(t, mappings.For(sink.DefaultAccount, name), name)
	}
}

func TestAccountsHaveTheirOwnMappings(t *testing.T) {
	const rest = ", mode: replace-job, columns: [{name: v, type: text}]}\n"
	mappings, err := mapping.Parse("mappings.yaml", []byte("mappings:\n"+
		"  - {sitemap: books, table: plain"+rest+"  - {account: acme, sitemap: books, table: theirs"+rest+"  - {account: acme, sitemap_prefix: b, table: prefix"+rest))
	require.NoError(t, err)
	require.Equal(t, "plain", mappings.For(sink.DefaultAccount, "books").Table.Name)
	require.Equal(t, "theirs", mappings.For("acme", "books").Table.Name)
	require.Equal(t, "prefix", mappings.For("acme", "bo").Table.Name)
	require.Nil(t, mappings.For(sink.DefaultAccount, "bo"))
	require.Nil(t, mappings.For("globex", "books"))
	require.Equal(t, "default", mappings.All()[0].Account)

	require.Equal(t, []string{
		`4: sitemap "books" already has a mapping, on line 2`,
		`5: sitemap_prefix "acme:b" already has a mapping, on line 3`,
		`6: the mapping names the account "Acme": want 1 to 40 of a-z, 0-9 and -`,
		`7: account is empty: want a text`,
	}, problems(t, "mappings:\n  - {sitemap: books, table: t"+rest+"  - {account: acme, sitemap_prefix: b, table: u"+rest+
		"  - {account: default, sitemap: books, table: v"+rest+"  - {account: acme, sitemap_prefix: b, table: w"+rest+
		"  - {account: Acme, sitemap: books, table: x"+rest+"  - {account: , sitemap: films, table: y"+rest))
}

func TestNilMappingsMapNoSitemap(t *testing.T) {
	var none *mapping.Mappings
	require.Nil(t, none.For(sink.DefaultAccount, "books"))
	require.Empty(t, none.All())
}

func TestAliasesAreResolved(t *testing.T) {
	mappings, err := mapping.Parse("mappings.yaml", []byte(`
mappings:
  - sitemap: a
    table: &table shop.offers
    columns: &columns [{name: url, type: &text text}, &title {name: title, type: *text, clean: &clean [trim]}]
    key: &key [url]
    mode: &mode append
  - sitemap: b
    table: *table
    columns: *columns
    key: *key
    mode: *mode
  - sitemap: c
    table: other
    columns: [*title, {name: more, type: text, clean: *clean}]
    mode: replace-job
`))
	require.NoError(t, err)
	require.Equal(t, mappings.For(sink.DefaultAccount, "a").Columns, mappings.For(sink.DefaultAccount, "b").Columns)
	require.False(t, mappings.For(sink.DefaultAccount, "c").Columns[0].Required)
	require.Equal(t, []string{"trim"}, mappings.For(sink.DefaultAccount, "c").Columns[1].Clean)
}

func TestTwoMappingsMayFillOneTableDifferently(t *testing.T) {
	_, err := mapping.Parse("mappings.yaml", []byte(`
mappings:
  - sitemap: a
    table: shop.offers
    columns: [{name: shop, type: text}, {name: url, type: text}, {name: price, type: numeric, clean: [money]}]
    key: [shop, url]
    mode: upsert
    deactivate_missing: {column: active, brake_percent: 10}
  - sitemap_prefix: b-
    table: shop.offers
    columns: [{name: url, from: link, type: text}, {name: shop, type: text}, {name: price, type: numeric, clean: [money-comma]}]
    key: [url, shop]
    mode: upsert
    deactivate_missing: {column: active, brake_percent: 20}
`))
	require.NoError(t, err)
}

func TestFingerprintCoversTheConversion(t *testing.T) {
	const file = `mappings: [{sitemap: s, table: a.t, mode: upsert, key: [u], columns: [{name: u, type: text}, {name: v, type: timestamp, layout: "2006-01-02"}]}]`
	base := read(t, file)
	require.Regexp(t, "^[0-9a-f]{16}$", base.Fingerprint())
	require.Equal(t, base.Fingerprint(), read(t, file).Fingerprint())

	seen := []string{base.Fingerprint()}
	for _, change := range [][2]string{
		{"a.t", "a.t2"}, {"a.t", "b.t"}, {"upsert", "append"}, {"key: [u]", "key: [u, v]"}, {"name: u", "name: u, clean: [trim]"}, {"name: u", "name: u, clean: [lower]"},
		{"name: u", "name: u, from: w"}, {"2006-01-02", "2006-02-01"}, {"{name: v,", "{name: v, time_zone: Europe/Riga,"}, {"{name: v,", "{name: v, years: [1800, 2030],"}, {"{name: v,", "{name: v, required: true,"},
		{`type: timestamp, layout: "2006-01-02"`, "type: text"}, {`, {name: v, type: timestamp, layout: "2006-01-02"}`, ""},
		{`{name: u, type: text}, {name: v, type: timestamp, layout: "2006-01-02"}`, `{name: v, type: timestamp, layout: "2006-01-02"}, {name: u, type: text}`},
	} {
		changed := strings.Replace(file, change[0], change[1], 1)
		require.NotEqual(t, file, changed)
		changedPrint := read(t, changed).Fingerprint()
		require.NotContains(t, seen, changedPrint, "%q for %q", change[1], change[0])
		seen = append(seen, changedPrint)
	}
	for _, change := range [][2]string{
		{"sitemap: s", "sitemap: z"}, {"sitemap: s", "sitemap_prefix: s"}, {"name: u", "name: u, from: u"}, {"name: u", "name: u, required: true"}, {"{name: v,", "{name: v, time_zone: UTC,"},
		{"mode: upsert", "mode: upsert, deactivate_missing: {column: active, brake_percent: 20}"}, {"mode: upsert", "mode: upsert, keep_records: false"},
	} {
		require.Equal(t, base.Fingerprint(), read(t, strings.Replace(file, change[0], change[1], 1)).Fingerprint(), change[1])
	}
}

func TestUnreadableFileIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing.yaml")
	_, err := mapping.ReadFile(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "reading the mappings: open "+path)
}

// problems returns the problems of a file, without its name.
func problems(t *testing.T, file string) []string {
	t.Helper()
	mappings, err := mapping.Parse("m.yaml", []byte(file))
	require.Error(t, err)
	require.Nil(t, mappings)
	var reported []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		require.True(t, strings.HasPrefix(line, "m.yaml:"), line)
		reported = append(reported, strings.TrimPrefix(line, "m.yaml:"))
	}
	return reported
}

func TestAllProblemsAreReportedInTheOrderOfTheirLines(t *testing.T) {
	require.Equal(t, []string{
		`3: the mapping has no mode: want one of replace-job, upsert, append`,
		`4: table is "scrapehaul.books": the schema scrapehaul is reserved: want another one`,
		`6: column "price" has no type: want one of text, numeric, integer, boolean, timestamp, jsonb`,
		`7: type is "int": want one of text, numeric, integer, boolean, timestamp, jsonb`,
		`8: a column has the unknown key "form": want one of name, from, type, layout, time_zone, years, clean, required`,
		`10: column "ulr" of the key is not one of the columns: want one of price, stock, title, url`,
		`11: sitemap "books" already has a mapping, on line 3`,
		`14: cleaner is "moneey": want one of trim, collapse-space, lower, upper, empty-is-null, null-text, money, money-comma, first-number, parse-json`,
		`15: time_zone is "Europe/Rigga", which is unknown: want a name such as Europe/Riga, or UTC`,
		`16: mode is "replace": want one of replace-job, upsert, append`,
	}, problems(t, `
mappings:
  - sitemap: books
    table: scrapehaul.books
    columns:
      - {name: price}
      - {name: stock, type: int}
      - {name: title, type: text, form: product}
      - {name: url, type: text}
    key: [ulr]
  - sitemap: books
    table: other
    columns:
      - {name: price, type: numeric, clean: [moneey]}
      - {name: seen, type: timestamp, layout: "2006-01-02", time_zone: Europe/Rigga}
    mode: replace
`))
}

func TestInvalidFilesAreReported(t *testing.T) {
	for file, want := range map[string]string{
		``:                            `1: the file is empty: want "mappings:" and a list of them`,
		"# a comment\n":               `1: the file is empty: want "mappings:" and a list of them`,
		"---\n":                       `2: the file is empty: want "mappings:" and a list of them`,
		"[]":                          `1: the file is a list: want the keys mappings, sitemaps with their values`,
		"mappings":                    `1: the file is "mappings": want the keys mappings, sitemaps with their values`,
		"{}":                          `1: there are no mappings: want "mappings:" and a list of them`,
		"mappings:\n":                 `1: mappings is empty: want a list of mappings`,
		"\nmappings: []":              `2: mappings is an empty list: want at least one of the mappings`,
		"mappings: {sitemap: s}":      `1: mappings is an object: want a list of mappings`,
		"mappings:\n- books":          `2: a mapping is "books": want the keys account, sitemap, sitemap_prefix, table, columns, key, mode, deactivate_missing, keep_records with their values`,
		"mappings:\n  - a: [\n  b: 1": `2: not YAML here, or in what starts here: did not find expected ',' or ']'`,
		"mappings:\n\t- sitemap: a":   `2: not YAML: found character that cannot start any token`,
		"mappings: *missing":          `1: not YAML: unknown anchor 'missing' referenced`,
		"mappings: \xff":              `1: not YAML: `,
		"mapping: []":                 `1: the file has the unknown key "mapping": want one of mappings, sitemaps`,
		"1: 2":                        `1: the file has the unknown key "1": want one of mappings, sitemaps`,
		"mappings: []\nmappings: []":  `2: mappings is already set, on line 1`,
		"[a]: []":                     `1: the file has the unknown key a list: want one of mappings, sitemaps`,
		"mappings: &m [*m]":           `1: a mapping is a list: want the keys`,
		good + "---\nmappings: []\n":  `8: a second YAML document starts here: put all mappings into one list, in one document`,
		good + "---\n\"":              `9: not YAML: `,
		good + "  - <<: *x\n":         `8: not YAML: unknown anchor 'x' referenced`,
	} {
		require.True(t, slices.ContainsFunc(problems(t, file), func(problem string) bool { return strings.HasPrefix(problem, want) || strings.HasSuffix(problem, want) }),
			"%q: %q is not among %q", file, want, problems(t, file))
	}
}

// good is a file of six lines.
const good = `mappings:
  - sitemap: s
    table: t
    columns:
      - {name: url, type: text}
    key: [url]
    mode: upsert
`

func TestInvalidMappingsAreReported(t *testing.T) {
	require.NotNil(t, read(t, good))
	long := strings.Repeat("é", 32)
	for _, c := range []struct {
		old, changed, want string
	}{
		{"sitemap: s", `sitemap: ""`, `2: sitemap is empty`},
		{"sitemap: s", "sitemap:", `2: sitemap is empty: want a text`},
		{"sitemap: s", "sitemap: [s]", `2: sitemap is a list: want a text`},
		{"sitemap: s", `sitemap: "a\0"`, `2: sitemap is "a\x00": no name has the character U+0000`},
		{"sitemap: s", "sitemap_prefix: ''", `2: sitemap_prefix is empty`},
		{"sitemap: s", "sitemap: s\n    sitemap_prefix: s", `3: the mapping has both sitemap and sitemap_prefix: want one of them`},
		{"- sitemap: s\n    table: t", "- table: t", `2: the mapping names no sitemap: want sitemap with a name, or sitemap_prefix with the name prefix of several`},
		{"sitemap: s", "sitemap: s\n    <<: {}", `3: a mapping has the unknown key "<<": want one of account, sitemap, `},
		{"table: t", "", `2: the mapping has no table: want schema.table`},
		{"table: t", "table: a.b.c", `3: table is "a.b.c": want schema.table with one point, or the table's name only`},
		{"table: t", "table: .b", `3: table is ".b": want schema.table with one point, or the table's name only`},
		{"table: t", "table: b.", `3: table is "b.": want schema.table with one point, or the table's name only`},
		{"table: t", "table: sitemaps.b", `3: table is "sitemaps.b": the schema sitemaps is reserved: want another one`},
		{"table: t", "table: pg_catalog.b", `3: table is "pg_catalog.b": the schema pg_catalog is reserved: want another one`},
		{"table: t", "table: " + long, `3: the name of table "` + long + `" is 64 bytes long: want at most 63, PostgreSQL truncates longer ones`},
		{"table: t", "table: " + long + ".t", `3: the schema of table "` + long + `.t" is 64 bytes long: want at most 63, PostgreSQL truncates longer ones`},
		{"columns:\n      - {name: url, type: text}", "", `2: the mapping has no columns: want a list such as [{name: url, type: text}]`},
		{"columns:\n      - {name: url, type: text}", "columns: []", `4: columns is an empty list: want at least one of the columns`},
		{"columns:\n      - {name: url, type: text}", "columns: {url: text}", `4: columns is an object: want a list of columns`},
		{"- {name: url, type: text}", "- url", `5: a column is "url": want the keys name, from, type, layout, time_zone, years, clean, required with their values`},
		{"name: url, ", "", `5: the column has no name`},
		{"name: url", "name: ''", `5: name is empty`},
		{"name: url", "name: ~", `5: name is empty: want a text`},
		{"name: url", "name: url, type: text}\n      - {name: " + long, `6: the name of column "` + long + `" is 64 bytes long: want at most 63, PostgreSQL truncates longer ones`},
		{"name: url", "name: url, type: text}\n      - {name: scrapingjob_id", `6: column "scrapingjob_id" is already in every mapped table, with the job of each row: want another name`},
		{"name: url", "name: url, type: text}\n      - {name: ctid", `6: column "ctid" is a PostgreSQL system column: want another name`},
		{"name: url", "from: ''\n       , name: url", `5: from is empty`},
		{"name: url", "name: url, name: b", `5: name is already set, on line 5`},
		{"name: url", "name: url, required: 1", `5: required is "1": want true or false`},
		{"name: url", `name: url, required: "true"`, `5: required is "true": want true or false`},
		{"type: text", "type: timestamp", `5: column "url" has no layout: want rfc3339, unix, unix-ms, or a Go layout of 2 January 2006, 15:04:05, such as "2006-01-02 15:04:05"`},
		{"type: text", "type: text, layout: rfc3339", `5: column "url" has a layout and is of type text: only a timestamp has one`},
		{"type: text", "type: text, time_zone: UTC", `5: column "url" has a time_zone and is of type text: only a timestamp has one`},
		{"type: text", "type: Text", `5: type is "Text": want one of text, numeric, integer, boolean, timestamp, jsonb`},
		{"type: text", "type: jsonb", `6: column "url" of the key is jsonb, which cannot identify a row: want a column of another type`},
		{"type: text", "type: timestamp, layout: unix, time_zone: Local", `5: time_zone is "Local", which is unknown: want a name such as Europe/Riga, or UTC`},
		{"type: text", "type: timestamp, layout: unix, time_zone: ../etc", `5: time_zone is "../etc", which is unknown: want a name such as Europe/Riga, or UTC`},
		{"type: text", "type: timestamp, layout: unix, time_zone: ''", `5: time_zone is empty`},
		{"type: text", "type: text, years: [1900, 2000]", `5: column "url" has a range of years and is of type text: only a timestamp has one`},
		{"type: text", "type: timestamp, layout: unix, years: 2000", `5: years is "2000": want a list of years`},
		{"type: text", "type: timestamp, layout: unix, years: [2000]", `5: years has 1 entries: want the first and the last year, such as [1800, 2030]`},
		{"type: text", "type: timestamp, layout: unix, years: [0, 2000]", `5: the first of the years is "0": want a whole number from 1 to 9999`},
		{"type: text", "type: timestamp, layout: unix, years: [2000, 1999]", `5: the last of the years is "1999": want a whole number from 2000 to 9999`},
		{"type: text", "type: timestamp, layout: unix, years: [2000, ever]", `5: the last of the years is "ever": want a whole number from 2000 to 9999`},
		{"type: text", "type: text, clean: trim", `5: clean is "trim": want a list of cleaners`},
		{"type: text", "type: text, clean: []", `5: clean is an empty list: want at least one of the cleaners`},
		{"type: text", "type: text, clean: [trim, lower, trim]", `5: cleaner trim is already in the list`},
		{"type: text", "type: text, clean: [parse-json]", `5: cleaner parse-json makes jsonb: want it as the last cleaner of a column of that type`},
		{"- {name: url, type: text}", "- {name: url, type: text}\n      - {name: v, type: jsonb, clean: [parse-json, trim]}", `6: cleaner parse-json makes jsonb: want it as the last cleaner of a column of that type`},
		{"- {name: url, type: text}", "- {name: url, type: text}\n      - {name: url, type: text}", `6: column "url" is already defined, on line 5`},
		{"key: [url]", "", `2: the mapping has no key, which the mode upsert needs: want a list of columns such as [url]`},
		{"key: [url]", "key: url", `6: key is "url": want a list of columns`},
		{"key: [url]", "key: []", `6: key is an empty list: want at least one of the columns`},
		{"key: [url]", "key: [url, url]", `6: column "url" is already in the key`},
		{"key: [url]", "key: [[url]]", `6: a column of the key is a list: want a text`},
		{"mode: upsert", "mode: insert", `7: mode is "insert": want one of replace-job, upsert, append`},
		{"mode: upsert", "mode: upsert\n    keep_records: never", `8: keep_records is "never": want true or false`},
		{"mode: upsert", "mode: upsert\n    deactivate_missing: active", `8: deactivate_missing is "active": want the keys column, brake_percent with their values`},
		{"mode: upsert", "mode: upsert\n    deactivate_missing: {brake_percent: 1}", `8: deactivate_missing has no column: want the name of a boolean column that is not one of the columns, such as active`},
		{"mode: upsert", "mode: upsert\n    deactivate_missing: {column: active}", `8: deactivate_missing has no brake_percent: want the percentage of the active rows, from 1 to 100, that may be deactivated without asking an operator`},
		{"mode: upsert", "mode: upsert\n    deactivate_missing: {column: url, brake_percent: 1}", `8: column "url" of deactivate_missing is one of the columns: want another name, no record fills it`},
		{"mode: upsert", "mode: upsert\n    deactivate_missing: {column: scrapingjob_id, brake_percent: 1}", `8: column "scrapingjob_id" is already in every mapped table, with the job of each row: want another name`},
		{"mode: upsert", "mode: upsert\n    deactivate_missing: {column: active, brake_percent: 0}", `8: brake_percent is "0": want a whole number from 1 to 100`},
		{"mode: upsert", "mode: upsert\n    deactivate_missing: {column: active, brake_percent: 101}", `8: brake_percent is "101": want a whole number from 1 to 100`},
		{"mode: upsert", "mode: upsert\n    deactivate_missing: {column: active, brake_percent: 5.5}", `8: brake_percent is "5.5": want a whole number from 1 to 100`},
		{"mode: upsert", `mode: upsert` + "\n    deactivate_missing: {column: active, brake_percent: \"20\"}", `8: brake_percent is "20": want a whole number from 1 to 100`},
		{"mode: upsert", "mode: append\n    deactivate_missing: {column: active, brake_percent: 20}", `8: deactivate_missing is set with the mode append: want the mode upsert, or no deactivate_missing`},
	} {
		file := strings.Replace(good, c.old, c.changed, 1)
		require.NotEqual(t, good, file, c.old)
		reported := problems(t, file)
		if strings.HasSuffix(c.want, ", ") {
			require.True(t, strings.HasPrefix(reported[0], c.want), reported[0])
			continue
		}
		require.Equal(t, []string{c.want}, reported, file)
	}
}

func TestLayoutsWithoutADayOrWithAnAmbiguousTimeAreRefused(t *testing.T) {
	for layout, want := range map[string]string{
		"YYYY-MM-DD":                    "has no year",
		"02/01 15:04":                   "has no year",
		"2006":                          "lacks the month or the day",
		"01/2006":                       "lacks the month or the day",
		"2006-01-02 03:04":              "has an ambiguous hour: use 15, or 03 with PM",
		"2006-01-02 MST":                "has a time zone abbreviation (MST)",
		"2006-01-02 1504.05":            "",
		"20060102":                      "",
		"2006-002 15":                   "",
		"Mon, 2 Jan 06 3:04 pm":         "",
		"2006-01-02T15:04:05.000Z07:00": "",
	} {
		file := strings.Replace(good, "type: text", `type: timestamp, layout: "`+layout+`"`, 1)
		if want == "" {
			read(t, file)
			continue
		}
		reported := problems(t, file)
		require.Len(t, reported, 1)
		require.Contains(t, reported[0], `5: layout is "`+layout+`", which `+want)
	}
}

func TestConflictingMappingsToOneTableAreReported(t *testing.T) {
	other := strings.Replace(strings.TrimPrefix(good, "mappings:\n"), "sitemap: s", "sitemap: other", 1)
	_, err := mapping.Parse("m.yaml", []byte(good+other))
	require.NoError(t, err)
	for _, c := range []struct {
		old, changed, differ string
	}{
		{"type: text", "type: integer", "columns, their types or required"},
		{"- {name: url, type: text}", "- {name: url, type: text}\n      - {name: v, type: text}", "columns, their types or required"},
		{"mode: upsert", "mode: upsert\n    deactivate_missing: {column: active, brake_percent: 20}", "columns, their types or required"},
		{"mode: upsert", "mode: append", "modes"},
		{"key: [url]\n    mode: upsert", "mode: replace-job", "columns, their types or required, keys, modes"},
		{"table: t", "table: public.t", ""},
		{"table: t", "table: T", ""},
		{"name: url, type: text", "name: url, from: link, type: text, clean: [trim]", ""},
	} {
		changed := strings.Replace(other, c.old, c.changed, 1)
		require.NotEqual(t, other, changed)
		if c.differ == "" {
			_, err := mapping.Parse("m.yaml", []byte(good+changed))
			require.NoError(t, err)
			continue
		}
		require.Equal(t, []string{"8: table public.t has another mapping, on line 2, and the " + c.differ + " differ: want the same for one table"}, problems(t, good+changed))
	}
}

func TestColumnsAreLimited(t *testing.T) {
	columns := func(n int) string {
		var all, key []string
		for i := range n {
			name := strings.Repeat("x", i+1)[:1] + strings.Repeat("y", i/10) + string(rune('a'+i%10))
			all, key = append(all, "{name: "+name+", type: text}"), append(key, name)
		}
		return strings.NewReplacer("- {name: url, type: text}", "- "+strings.Join(all, "\n      - "), "[url]", "["+strings.Join(key[:min(n, 32)], ", ")+"]").Replace(good)
	}
	require.Equal(t, []string{`5: there are 301 columns: want at most 300, so that every row fits a PostgreSQL page`}, problems(t, columns(301))[:1])
	require.Equal(t, []string{`37: the key has 32 columns: want at most 31`}, problems(t, columns(32)))
	require.Len(t, read(t, columns(31)).Key, 31)
}

// FuzzParse requires that any file is either read or has its problems reported.
func FuzzParse(f *testing.F) {
	file, err := os.ReadFile("testdata/mappings.yaml")
	require.NoError(f, err)
	f.Add(file)
	for _, text := range []string{good, "mappings: &a [*a]", "a: &a {<<: *a}", "mappings:\n- &m {sitemap: s, columns: [*m]}", "? [a]\n: b", "--- !!binary x", "mappings: [!!int x]", "%YAML 1.2\n---\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		mappings, err := mapping.Parse("m.yaml", file)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				require.Regexp(t, `^m\.yaml:[1-9]\d*: .`, line)
			}
			return
		}
		for _, m := range mappings.All() {
			_, err := m.NewConverter().Row([]byte(`{"a":1}`))
			require.True(t, err == nil || strings.Contains(err.Error(), "is required"), err)
		}
	})
}
