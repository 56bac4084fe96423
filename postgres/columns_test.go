package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestColumnsKeepTheOrderOfFirstAppearance(t *testing.T) {
	t.Parallel()
	i := attempt{committedColumns: []string{"before"}}
	var w recordWriter
	for _, step := range []struct {
		record string
		added  []string
	}{
		{`{"web-scraper-order":"1-1","price":"1","title":null}`, []string{"web_scraper_order", "price", "title"}},
		{`{"web-scraper-order":"1-2","price":"1","title":"{\"no\":[\"key\"]}"}`, nil},
		{` { "title" : { "a" : [ "}", { "b" : 1 } ] , "c" : "\\" } , "more" : [ ] } `, []string{"more"}},
		{`{"web_scraper_order":"1-3","n":-1.5e3,"t":true,"before":1}`, []string{"n", "t"}},
		{`{"\u0070rice":"1","\"":"2","caf\u00e9":"3","café":"4","":"5"}`, []string{`"`, "café", ""}},
		{`{}`, nil},
		{`[{"no":1}]`, []string{"no"}}, // is rejected anyway
		{`{"nul\u0000":1,"last":2,"cut":"x`, []string{"last"}},
		{`{"cut":`, nil},
		{``, nil},
	} {
		w.scan([]byte(step.record))
		added := i.newColumns(w.columns)
		require.Equal(t, append([]string{}, step.added...), added, step.record)
		i.committedColumns = append(i.committedColumns, added...)
	}
	require.Equal(t, []string{"before", "web_scraper_order", "price", "title", "more", "n", "t", `"`, "café", "", "no", "last"}, i.committedColumns)
}

func TestColumnsAreLimitedToWhatAViewCanHave(t *testing.T) {
	t.Parallel()
	var (
		i attempt
		w recordWriter
	)
	for n := range 3 * maxColumns {
		w.scan(fmt.Appendf(nil, `{"a":1,"%d":1,"z":1}`, n))
	}
	require.Len(t, i.newColumns(w.columns), maxColumns)
	require.LessOrEqual(t, len(w.added), maxMembers)
	w.scan([]byte("{" + strings.Repeat(`"a":1,`, 2*maxMembers) + `"b":1}`))
	require.Len(t, w.members, maxMembers)
}

// FuzzColumns compares the scanner with encoding/json.
func FuzzColumns(f *testing.F) {
	for _, seed := range []string{
		`{"a":"1","b":null}`, `{"a":{"b":["}"]},"c":1}`, `{"a\"b":"\\","c":"\\\""}`, " {\n\"a\" :\t\"b\"\r} ", `{"":{}}`, `{"a":[1,{"b":2},3],"d":4}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		var (
			i attempt
			w recordWriter
		)
		w.scan(record)
		found := i.newColumns(w.columns)
		if !json.Valid(record) || !strings.HasPrefix(strings.TrimLeft(string(record), " \t\r\n"), "{") {
			return
		}
		want := []string{}
		decoder := json.NewDecoder(bytes.NewReader(record))
		_, err := decoder.Token()
		require.NoError(t, err)
		for decoder.More() {
			key, err := decoder.Token()
			require.NoError(t, err)
			var value json.RawMessage
			require.NoError(t, decoder.Decode(&value))
			name, ok := columnOf(strings.ReplaceAll(key.(string), `\`, `\\`))
			if ok && !strings.ContainsRune(name, '�') && !slices.Contains(want, name) {
				want = append(want, name)
			}
		}
		found = slices.DeleteFunc(found, func(name string) bool { return strings.ContainsRune(name, '�') })
		require.Equal(t, want, found)
	})
}
