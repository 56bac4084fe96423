package mapping_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // the driver "postgres"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
)

func TestPostgreSQLAcceptsTheValues(t *testing.T) {
	db := connect(t)
	for _, c := range []struct {
		column string
		json   []string
	}{
		{`type: text`, []string{`""`, `"\\n\t\u0001é😀"`, `"NULL"`, `"\\N"`, `{"a":1}`}},
		{`type: numeric`, []string{
			`1`, `"+1"`, `".5"`, `"5."`, `"-.5e-3"`, `1E+2`, `"007"`, `1e131071`, `-9e131071`, `"0.00001e131076"`, `1e-16383`, `"0e200000"`, `"0e-16383"`, `"000e999999"`,
			`"` + strings.Repeat("9", 131072) + "." + strings.Repeat("9", 16383) + `"`, `"0.` + strings.Repeat("0", 16382) + `1"`,
		}},
		{`type: numeric, clean: [money]`, []string{`"$1,299.00"`, `"-$.99"`, `"1’299’000"`, `"007"`}},
		{`type: integer`, []string{`9223372036854775807`, `"-9223372036854775808"`, `"1.5e1"`, `"+3"`, `"-0"`, `"00.0"`, `1e18`}},
		{`type: boolean`, []string{`true`, `"no"`, `"Y"`, `0`}},
		{`type: timestamp, layout: rfc3339`, []string{
			`"2026-11-24T15:04:05+02:00"`, `"0001-01-01T00:00:00Z"`, `"9999-12-31T23:59:59.999999999Z"`, `"2026-11-24T15:04:05+23:59"`, `"2026-11-24T15:04:05-16:00"`, `"2026-11-24T15:04:05+15:59"`,
			`"9999-12-31T23:59:59-15:00"`, `"0001-01-01T00:00:00+15:00"`,
		}},
		{`type: timestamp, layout: unix`, []string{`-62135596800`, `253402300799`, `0`}},
		{`type: timestamp, layout: "2006-01-02 15:04", time_zone: Europe/Riga, years: [1, 9999]`, []string{`"1900-01-01 00:00"`, `"2026-03-29 03:30"`, `"0001-01-02 00:00"`}},
		{`type: jsonb`, []string{`"a\/b"`, `{"a": [1, null, "\u00e9"]}`, `1.50`, `false`}},
		{`type: jsonb, clean: [trim]`, []string{`" \u0001\"\\\n "`, `""`}},
		{`type: jsonb, clean: [parse-json]`, []string{`" [1, {\"a\": \"\\ud83d\\ude00\"}] "`, `"` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `"`, `"[1e131071,1e-16383]"`}},
	} {
		m := column(t, c.column)
		converter := m.NewConverter()
		for _, value := range c.json {
			values, err := converter.Row([]byte(`{"v":` + value + `}`))
			require.NoError(t, err, "%s of %.80s", c.column, value)
			var stored bool
			require.NoError(t, db.Get(&stored, `SELECT $1::`+m.Columns[0].Type.PostgreSQL()+` IS NOT NULL`, string(values[0])), "%s of %.80s", c.column, value)
			require.True(t, stored)
		}
	}
}

func TestPostgreSQLReadsTheIntendedTimes(t *testing.T) {
	db := connect(t)
	converter := column(t, `type: timestamp, layout: "2006-01-02 15:04", time_zone: Europe/Riga`).NewConverter()
	for text, want := range map[string]string{"2026-07-01 15:04": "2026-07-01 12:04:00", "2026-11-24 15:04": "2026-11-24 13:04:00", "1900-01-01 00:00": "1899-12-31 22:23:26"} {
		values, err := converter.Row(fmt.Appendf(nil, `{"v":%q}`, text))
		require.NoError(t, err)
		var utc string
		require.NoError(t, db.Get(&utc, `SELECT ($1::timestamptz AT TIME ZONE 'UTC')::text`, string(values[0])))
		require.Equal(t, want, utc)
	}
}

// The widest rows and the longest keys that a mapping allows fit.
func TestPostgreSQLStoresTheWidestRows(t *testing.T) {
	db := connect(t)
	var names, columns, definitions, parameters []string
	record := map[string]string{}
	for i := range 300 {
		name := fmt.Sprintf("c%d", i)
		names = append(names, name)
		columns = append(columns, "{name: "+name+", type: text}")
		definitions = append(definitions, name+" text")
		parameters = append(parameters, fmt.Sprintf("$%d", i+1))
		record[name] = fmt.Sprintf("%023d", i) // the longest that stays in the row
		if i < 31 {
			record[name] = fmt.Sprintf("%064d", i)
		}
	}
	key := strings.Join(names[:31], ", ")
	m := read(t, "mappings: [{sitemap: s, table: t, mode: upsert, key: ["+key+"], columns: ["+strings.Join(columns, ", ")+"]}]")
	data, err := json.Marshal(record)
	require.NoError(t, err)
	values, err := m.NewConverter().Row(data)
	require.NoError(t, err)

	db.MustExec(`CREATE TABLE t (scrapingjob_id bigint NOT NULL DEFAULT 1, ` + strings.Join(definitions, ", ") + `)`)
	db.MustExec(`CREATE UNIQUE INDEX ON t (scrapingjob_id, ` + key + `)`)
	arguments := make([]any, len(values))
	for i, value := range values {
		arguments[i] = string(value)
	}
	_, err = db.Exec(`INSERT INTO t VALUES (1, `+strings.Join(parameters, ", ")+`)`, arguments...)
	require.NoError(t, err)
}

func connect(t *testing.T) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Open("postgres", postgrestest.NewDatabase(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
