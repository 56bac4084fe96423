package mapping_test

import (
	"fmt"
	"strings"
	"testing"
	_ "time/tzdata" // for machines without it

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

// null represents NULL among texts.
const null = "NULL"

// read reads the only mapping of a file.
func read(t testing.TB, file string) *mapping.Mapping {
	t.Helper()
	mappings, err := mapping.Parse("mappings.yaml", []byte(file))
	require.NoError(t, err)
	require.Len(t, mappings.All(), 1)
	return mappings.All()[0]
}

// column returns a mapping with one column, v.
func column(t testing.TB, rest string) *mapping.Mapping {
	t.Helper()
	return read(t, "mappings: [{sitemap: s, table: t, mode: replace-job, columns: [{name: v, "+rest+"}]}]")
}

func texts(values [][]byte) []string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = null
		if value != nil {
			texts[i] = string(value)
		}
	}
	return texts
}

// row converts a record that fits.
func row(t testing.TB, m *mapping.Mapping, record string) []string {
	t.Helper()
	values, err := m.NewConverter().Row([]byte(record))
	require.NoError(t, err, record)
	return texts(values)
}

func TestRecordBecomesARow(t *testing.T) {
	mappings, err := mapping.ReadFile("testdata/mappings.yaml")
	require.NoError(t, err)
	require.Equal(t, []string{
		"https://books.example/1", "Light in the Attic", "1299.00", "22", "true", "2026-11-24T15:04:00+02:00", `{"pages": 12}`,
	}, row(t, mappings.For(sink.DefaultAccount, "books"), `{"web-scraper-order":"1614248295-1","product-link-href":"https:\/\/books.example\/1",
		"product":" Light  in the\u00a0Attic","price":"$1,299.00","stock":"In stock (22 available)","availability":"Yes",
		"seen_at":"24\/11\/2026 15:04","details":{"pages": 12}}`))
	require.Equal(t, []string{
		"https://books.example/2", "Soumission", null, null, null, null, null,
	}, row(t, mappings.For(sink.DefaultAccount, "books"), `{"product-link-href":"https:\/\/books.example\/2","product":"Soumission","price":"null","stock":"","details":null}`))
	require.Equal(t, []string{"1614248295-1", "1299.5"},
		row(t, mappings.For(sink.DefaultAccount, "shop-eu"), `{"web_scraper_order":"1614248295-1","price":"1.299,5 €"}`))
}

func TestValuesBecomeTheColumnType(t *testing.T) {
	for written, values := range map[string]map[string]string{
		`type: text`: {
			`"a"`: "a", `""`: "", `"null"`: "null", `null`: null, `1.50`: "1.50", `-1e3`: "-1e3", `true`: "true", `{"a": [1]}`: `{"a": [1]}`, `["a", "b"]`: `["a", "b"]`,
			`"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"`: "\"\\/\b\f\n\r\té😀", `"\ud83dx"`: "\ufffdx", `"\ude00"`: "\ufffd", `"\ud83d\u0041"`: "\ufffdA",
		},
		`type: numeric`: {
			`1`: "1", `"1"`: "1", `"-1.50"`: "-1.50", `"+1"`: "+1", `".5"`: ".5", `"5."`: "5.", `1.5E+3`: "1.5E+3", `"1e-3"`: "1e-3", `"007"`: "007", `null`: null,
			`"123456789012345678901234567890.12"`: "123456789012345678901234567890.12",
			`1e131071`:                            "1e131071", `"0.00001e131076"`: "0.00001e131076", `1e-16383`: "1e-16383", `"0e200000"`: "0e200000",
		},
		`type: integer`: {
			`1`: "1", `"12.0"`: "12", `1e3`: "1000", `"1.5e1"`: "15", `"120e-1"`: "12", `"0.012e3"`: "12", `"-0"`: "0", `"0e99"`: "0", `"007"`: "7", `"+3"`: "3", `null`: null,
			`9223372036854775807`: "9223372036854775807", `"-9223372036854775808"`: "-9223372036854775808", `922337203685477580.70e1`: "9223372036854775807",
		},
		`type: boolean`: {
			`true`: "true", `false`: "false", `"TRUE"`: "true", `"yes"`: "true", `"Y"`: "true", `"on"`: "true", `"1"`: "true", `1`: "true",
			`"False"`: "false", `"no"`: "false", `"n"`: "false", `"OFF"`: "false", `"0"`: "false", `0`: "false", `null`: null,
		},
		`type: timestamp, layout: rfc3339`: {
			`"2026-11-24T15:04:05+02:00"`: "2026-11-24T15:04:05+02:00", `"2026-11-24T15:04:05.123456789Z"`: "2026-11-24T15:04:05.123456789Z", `null`: null,
			`"2026-11-24T15:04:05+20:00"`: "2026-11-23T19:04:05Z", // beyond PostgreSQL's range
		},
		`type: timestamp, layout: unix`:                         {`1614248295`: "2021-02-25T10:18:15Z", `"1614248295"`: "2021-02-25T10:18:15Z", `-62135596800`: "0001-01-01T00:00:00Z"},
		`type: timestamp, layout: unix-ms`:                      {`1614248295123`: "2021-02-25T10:18:15.123Z", `"0"`: "1970-01-01T00:00:00Z"},
		`type: timestamp, layout: unix, time_zone: Europe/Riga`: {`1614248295`: "2021-02-25T12:18:15+02:00"},
		`type: timestamp, layout: "2/1/2006 15:04", time_zone: Europe/Riga`: {
			`"24/11/2026 15:04"`: "2026-11-24T15:04:00+02:00", `"1/7/2026 15:04"`: "2026-07-01T15:04:00+03:00",
			`"1/1/1900 00:00"`: "1899-12-31T22:23:26Z", // local mean time
		},
		`type: timestamp, layout: "2006-01-02"`:                      {`"1900-01-01"`: "1900-01-01T00:00:00Z", `"2079-12-31"`: "2079-12-31T00:00:00Z"},
		`type: timestamp, layout: "2006-01-02", years: [1500, 9999]`: {`"1789-07-14"`: "1789-07-14T00:00:00Z", `"9999-12-31"`: "9999-12-31T00:00:00Z"},
		`type: timestamp, layout: "Jan _2, 2006 3:04 PM -0700"`:      {`"Nov  4, 2026 3:04 PM -0500"`: "2026-11-04T15:04:00-05:00"},
		`type: timestamp, layout: "20060102", clean: [trim]`:         {`20261124`: "2026-11-24T00:00:00Z", `" 20261124 "`: "2026-11-24T00:00:00Z"},
		`type: jsonb`:                {`{"a": 1}`: `{"a": 1}`, `"a\/b"`: `"a\/b"`, `"[1]"`: `"[1]"`, `1.0`: "1.0", `true`: "true", `null`: null},
		`type: jsonb, clean: [trim]`: {`" a\"\\\n\u0001\/é "`: `"a\"\\\n\u0001/é"`, `[" a "]`: `[" a "]`},
		`type: jsonb, clean: [trim, empty-is-null, parse-json]`:     {`" [1, {\"a\": \"\\u00e9\"}] "`: `[1, {"a": "\u00e9"}]`, `"null"`: null, `" "`: null, `"1"`: "1", `{"a": 1}`: `{"a": 1}`},
		`from: web-scraper-order, type: text`:                       {`1,"web_scraper_order":"1-1"`: "1-1", `1,"web-scraper-order":"1-2"`: "1-2", `1,"web-scraper-order":null,"web_scraper_order":"1-3"`: "1-3", `1,"web_scraper_order":"1-4","web-scraper-order":"1-5"`: "1-5", `1,"web-scraper-order":"1-6","web_scraper_order":"1-7"`: "1-6"},
		`from: web_scraper_start_url, type: text`:                   {`1,"web-scraper-start-url":"u"`: "u"},
		`from: "a\"\\é", type: text`:                                {`1,"a\"\\é":"2"`: "2", `1,"\u0061\"\\\u00e9":"3"`: "3"},
		`type: text, clean: [lower]`:                                {`1,"v":"LAST"`: "last", `"FIRST","\u0076":2`: "2"},
		`from: " ", type: text`:                                     {`1," ":{"v":[{"}":"]\\"}]}`: `{"v":[{"}":"]\\"}]}`},
		`type: integer, clean: [money]`:                             {`"$1,299.00"`: "1299", `1.299e3`: "1299"},
		`type: numeric, clean: [trim, empty-is-null, null-text]`:    {`" "`: null, `" NULL "`: null, `" 1 "`: "1"},
		`type: boolean, clean: [trim, empty-is-null, first-number]`: {`"1 left"`: "true", `true`: "true"},
	} {
		m := column(t, written)
		converter := m.NewConverter() // carries nothing over from the previous record
		for value, want := range values {
			record := ` { "other" : "{\"v\":0}" , "v" :` + value + ` , "more":[] } `
			got, err := converter.Row([]byte(record))
			require.NoError(t, err, "%s of %s", written, value)
			require.Equal(t, []string{want}, texts(got), "%s of %s", written, value)
		}
	}
}

func TestUnmappedRecordHasAReason(t *testing.T) {
	for _, c := range []struct {
		column, value, want string
	}{
		{`type: numeric`, `"abc"`, `column "v": "abc" is not a number`},
		{`type: numeric`, `""`, `column "v": "" is not a number; the cleaner empty-is-null makes it NULL`},
		{`type: numeric`, `" \u00a0"`, `column "v": " \u00a0" is not a number; the cleaners trim and empty-is-null make it NULL`},
		{`type: numeric`, `"null"`, `column "v": "null" is not a number; the cleaner null-text makes it NULL`},
		{`type: numeric`, `true`, `column "v": true is not a number`},
		{`type: numeric`, `[1]`, `column "v": [1] is not a number`},
		{`type: numeric`, `{"a":1}`, `column "v": {"a":1} is not a number`},
		{`type: integer`, `"12.5"`, `column "v": "12.5" is not a whole number`},
		{`type: integer`, `1e-1`, `column "v": 1e-1 is not a whole number`},
		{`type: integer`, `0.001`, `column "v": 0.001 is not a whole number`},
		{`type: integer`, `9223372036854775808`, `column "v": 9223372036854775808 is beyond the range of a 64-bit integer`},
		{`type: integer`, `"-9223372036854775809"`, `column "v": "-9223372036854775809" is beyond the range of a 64-bit integer`},
		{`type: integer`, `1e400000000`, `column "v": 1e400000000 is beyond the range of a 64-bit integer`},
		{`type: boolean`, `"maybe"`, `column "v": "maybe" is not one of true, false, yes, no, y, n, on, off, 1, 0`},
		{`type: boolean`, `2`, `column "v": 2 is not one of true, false, yes, no, y, n, on, off, 1, 0`},
		{`type: timestamp, layout: "2006-01-02"`, `"24/11/2026"`, `column "v": "24/11/2026" is not a time of the layout 2006-01-02`},
		{`type: timestamp, layout: "2006-01-02"`, `"2026-02-30"`, `column "v": "2026-02-30" is not a time of the layout 2006-01-02`},
		{`type: timestamp, layout: "2006-01-02"`, `["2026-02-03"]`, `column "v": ["2026-02-03"] is not a time of the layout 2006-01-02`},
		{`type: timestamp, layout: "2006-01-02"`, `"0000-01-01"`, `column "v": "0000-01-01" is not between the years 1900 and 2079: other calendars are not converted; for other years, set the column's years`},
		{`type: timestamp, layout: "02/01/2006"`, `"24/11/2567"`, `column "v": "24/11/2567" is not between the years 1900 and 2079: other calendars are not converted; for other years, set the column's years`},
		{`type: timestamp, layout: "2006/01/02"`, `"1404/09/03"`, `column "v": "1404/09/03" is not between the years 1900 and 2079: other calendars are not converted; for other years, set the column's years`},
		{`type: timestamp, layout: "2006-01-02"`, `"2083-08-09"`, `column "v": "2083-08-09" is not between the years 1900 and 2079: other calendars are not converted; for other years, set the column's years`},
		{`type: timestamp, layout: "2006-01-02"`, `"1899-12-31"`, `column "v": "1899-12-31" is not between the years 1900 and 2079: other calendars are not converted; for other years, set the column's years`},
		{`type: timestamp, layout: "02/01/06", years: [1990, 2030]`, `"24/11/67"`, `column "v": "24/11/67" is not between the years 1990 and 2030: other calendars are not converted; for other years, set the column's years`},
		{`type: timestamp, layout: "2006-01-02", years: [1, 9999]`, `"0000-01-01"`, `column "v": "0000-01-01" is not between the years 1 and 9999`},
		{`type: timestamp, layout: rfc3339`, `"0001-01-01T00:00:00+20:00"`, `column "v": "0001-01-01T00:00:00+20:00" is not between the years 1 and 9999`},
		{`type: timestamp, layout: unix`, `1.5`, `column "v": 1.5 is not a whole number of seconds since 1970`},
		{`type: timestamp, layout: unix`, `9223372036854775807`, `column "v": 9223372036854775807 is not between the years 1 and 9999`},
		{`type: timestamp, layout: unix-ms`, `"now"`, `column "v": "now" is not a whole number of milliseconds since 1970`},
		{`type: timestamp, layout: unix-ms`, `9223372036854775807`, `column "v": 9223372036854775807 is not between the years 1 and 9999`},
		{`type: jsonb, clean: [parse-json]`, `"{"`, `column "v": "{" is not JSON`},
		{`type: jsonb, clean: [parse-json]`, `""`, `column "v": "" is not JSON; the cleaner empty-is-null makes it NULL`},
		{`type: text, required: true`, `null`, `column "v" is required, but the record has null`},
		{`type: text, required: true, from: w`, `1`, `column "v" is required, but the record has no "w"`},
		{`type: text, required: true, clean: [null-text]`, `"Null"`, `column "v" is required, but "Null" counts as NULL`},
		{`type: text, clean: [money]`, `"free"`, `column "v": "free" is not an amount that the cleaner money knows, such as $1,299.00`},
		{`type: numeric`, `"` + strings.Repeat("é", 61) + `"`, `column "v": "` + strings.Repeat("é", 60) + `…" is not a number`},
		{`type: numeric`, `[` + strings.Repeat("1,", 100) + `1]`, `column "v": [` + strings.Repeat("1,", 29) + `1… is not a number`},
	} {
		_, err := column(t, c.column).NewConverter().Row([]byte(`{"v":` + c.value + `}`))
		require.EqualError(t, err, c.want, "%s of %s", c.column, c.value)
	}
}

func TestOnlyPlainDecimalNumbersAreNumbers(t *testing.T) {
	converter := column(t, "type: numeric").NewConverter()
	for _, text := range []string{
		"NaN", "Infinity", "-inf", "0x1F", "1_000", "1,000", " 1", "1 ", ".", "-", "+", "e1", "1e", "1e+", "1e1.5", "--1", "1..2", "1.2.3", "١", "½", "1\u00a0",
	} {
		_, err := converter.Row(fmt.Appendf(nil, `{"v":%q}`, text))
		require.ErrorContains(t, err, "is not a number", text)
	}
}

func TestFirstColumnThatDoesNotFitIsTheReason(t *testing.T) {
	m := read(t, `
mappings:
  - sitemap: s
    table: t
    columns: [{name: a, type: text}, {name: b, type: integer}, {name: c, type: integer}, {name: d, from: b, type: text}]
    mode: replace-job`)
	_, err := m.NewConverter().Row([]byte(`{"c":"x","b":"y","a":"z"}`))
	require.EqualError(t, err, `column "b": "y" is not a number`)
	require.Equal(t, []string{null, "1", "2", "1"}, row(t, m, `{"c":2,"b":1}`), "two columns from one key")
}

func TestColumnsOfTheKeyAreRequired(t *testing.T) {
	m := read(t, `mappings: [{sitemap: s, table: t, mode: append, columns: [{name: url, type: text}, {name: n, type: integer}], key: [n, url]}]`)
	_, err := m.NewConverter().Row([]byte(`{"url":"u"}`))
	require.EqualError(t, err, `column "n" is required, but the record has no "n"`)
}

func TestKeyTooLongForAnIndexIsRefused(t *testing.T) {
	m := read(t, `mappings: [{sitemap: s, table: t, mode: append, columns: [{name: url, type: text}, {name: n, type: integer}], key: [n, url]}]`)
	long := strings.Repeat("x", 1999)
	require.Equal(t, []string{long, "1"}, row(t, m, `{"n":1,"url":"`+long+`"}`))
	_, err := m.NewConverter().Row([]byte(`{"n":10,"url":"` + long + `"}`))
	require.EqualError(t, err, `the key (n, url) is 2001 bytes long: want at most 2000, to fit a PostgreSQL index`)
}

func TestEmptyTextIsNotNull(t *testing.T) {
	for _, clean := range []string{"trim", "collapse-space", "lower", "upper", "null-text"} {
		require.Equal(t, []string{""}, row(t, column(t, "type: text, clean: ["+clean+"]"), `{"v":""}`), clean)
	}
	require.Equal(t, []string{""}, row(t, column(t, "type: text, clean: [trim]"), `{"v":" \t\u00a0"}`))
	require.Equal(t, []string{""}, row(t, column(t, "type: text, clean: [collapse-space, lower]"), `{"v":" "}`))
}

func TestNonObjectsAreRefused(t *testing.T) {
	converter := column(t, "type: text").NewConverter()
	for _, record := range []string{``, ` `, `null`, `[{"v":1}]`, `"v"`, `{`, `{"v"`, `{"v":`, `{"v":"`, `{"v":1`, `{"v":1,`, `{"v":1,}`, `{"v":[1}`, `{"v":{"a":"b}`, `{1:2}`, `{"v" 1}`, `{"v":}`} {
		_, err := converter.Row([]byte(record))
		require.EqualError(t, err, "the record is not a JSON object", record)
	}
	require.Equal(t, []string{null}, row(t, column(t, "type: text"), ` {} `))
}

func TestRecordsWithPreviousKeysAreRead(t *testing.T) {
	c := read(t, `mappings: [{sitemap: s, table: t, mode: replace-job, columns: [{name: v, type: text}, {name: w, type: text}, {name: x, from: v, type: text}]}]`).NewConverter()
	for _, test := range []struct{ record, v, w string }{
		{`{"v":"1","w":"2"}`, "1", "2"},
		{`{"v":"3","w":"4"}`, "3", "4"},
		{`{"v":"a\"b","w":"\\"}`, `a"b`, `\`},
		{`{"v":5,"w":null}`, "5", null},
		{`{"v":"6","w":"7"}`, "6", "7"},
		{`{"w":"1","a":"","v":"2"}`, "2", "1"},
		{`{"w":"3","a":"4","v":"5"}`, "5", "3"},
		{` {"w":"3","a":"4","v":"6"}`, "6", "3"},
		{`{"v":"1","v":"2"}`, "2", null},
		{`{"v":"3","v":"4"}`, "4", null},
		{`{"v":"5","v":"6"}`, "6", null},
		{`{"\u0076":"1"}`, "1", null},
		{`{"\u0076":"2"}`, "2", null},
		{`{"\u0076":"3"}`, "3", null},
		{`{"v":"1"`, "", ""},
		{`{"v":"1"}`, "1", null},
		{`{}`, null, null},
		{`{}`, null, null},
		{`{"v":"1"}`, "1", null},
	} {
		values, err := c.Row([]byte(test.record))
		if test.v == "" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err, test.record)
		require.Equal(t, []string{test.v, test.w, test.v}, texts(values), test.record)
	}
}

func TestConvertingAllocatesNothing(t *testing.T) {
	mappings, err := mapping.ReadFile("testdata/mappings.yaml")
	require.NoError(t, err)
	converter := mappings.For(sink.DefaultAccount, "books").NewConverter()
	require.Zero(t, testing.AllocsPerRun(100, func() { _, err = converter.Row(book) }))
	require.NoError(t, err)

	for clean, value := range map[string]string{
		"lower": strings.Repeat("Ä Title ", 8), "upper": strings.Repeat("Ä Title ", 8),
		"money": "1,299.00 USD" + strings.Repeat(" ", 40) + "$", "money-comma": "١٢٣٬٤٥٦٬٧٨٩٬١٢٣٬٤٥٦٬٧٨٩٬١٢٣٬٤٥٦٬٧٨٩",
	} {
		column := mapping.Column{Name: "v", From: "v", Type: mapping.Text, Clean: []string{clean}}
		converter, record := (&mapping.Mapping{Columns: []mapping.Column{column}}).NewConverter(), []byte(`{"v":"`+value+`"}`)
		require.Zero(t, testing.AllocsPerRun(100, func() { _, err = converter.Row(record) }), clean)
		require.NoError(t, err)
	}
}

// book is a typical exported record of 520 bytes.
var book = []byte(`{"web-scraper-order":"1614248295-1","web-scraper-start-url":"https:\/\/books.example\/catalogue\/page-1.html",` +
	`"product-link":"Light in the Attic","product-link-href":"https:\/\/books.example\/catalogue\/a-light-in-the-attic_1000\/index.html",` +
	`"product":"A Light  in the Attic","price":"$1,299.00","stock":"In stock (22 available)","availability":"yes","seen_at":"24\/11\/2026 15:04",` +
	`"description":"It's hard to imagine a world without it. This now-classic collection of poetry and drawings celebrates its anniversary","details":{"pages":176}}`)

func BenchmarkRow(b *testing.B) {
	mappings, err := mapping.ReadFile("testdata/mappings.yaml")
	require.NoError(b, err)
	converter := mappings.For(sink.DefaultAccount, "books").NewConverter()
	b.SetBytes(int64(len(book)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := converter.Row(book); err != nil {
			b.Fatal(err)
		}
	}
}
