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

func TestColumnsAreFoundInTheOrderOfTheirFirstAppearance(t *testing.T) {
	f := newColumnFinder([]string{"before"})
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
		require.Equal(t, step.added, append([]string(nil), f.look([]byte(step.record))...), step.record)
	}
	require.Equal(t, []string{"before", "web_scraper_order", "price", "title", "more", "n", "t", `"`, "café", "", "no", "last"}, f.found)
}

func TestColumnsAreNoMoreThanAViewCanHave(t *testing.T) {
	f := newColumnFinder(nil)
	for n := range 3 * maxColumns {
		f.look(fmt.Appendf(nil, `{"a":1,"%d":1,"z":1}`, n))
	}
	require.Len(t, f.found, maxColumns)
	require.LessOrEqual(t, len(f.seen), 2*maxColumns)
}

func TestLookingForColumnsThatAreKnownAllocatesNothing(t *testing.T) {
	f := newColumnFinder(nil)
	one, other := []byte(`{"a":"1","b":"2","c":"3"}`), []byte(`{"c":"1","a":"2"}`)
	require.Zero(t, testing.AllocsPerRun(100, func() { f.look(one); f.look(other) }))
}

// FuzzColumns holds the scanner against encoding/json.
func FuzzColumns(f *testing.F) {
	for _, seed := range []string{
		`{"a":"1","b":null}`, `{"a":{"b":["}"]},"c":1}`, `{"a\"b":"\\","c":"\\\""}`, " {\n\"a\" :\t\"b\"\r} ", `{"":{}}`, `{"a":[1,{"b":2},3],"d":4}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		finder := newColumnFinder(nil)
		found := slices.Clone(finder.look(record))
		if !json.Valid(record) || !strings.HasPrefix(strings.TrimLeft(string(record), " \t\r\n"), "{") {
			return
		}
		var want []string
		decoder := json.NewDecoder(bytes.NewReader(record))
		_, err := decoder.Token()
		require.NoError(t, err)
		for decoder.More() {
			key, err := decoder.Token()
			require.NoError(t, err)
			var value json.RawMessage
			require.NoError(t, decoder.Decode(&value))
			name, is := columnOf(strings.ReplaceAll(key.(string), `\`, `\\`))
			if is && !strings.ContainsRune(name, '�') && !slices.Contains(want, name) {
				want = append(want, name)
			}
		}
		found = slices.DeleteFunc(found, func(name string) bool { return strings.ContainsRune(name, '�') })
		require.Equal(t, want, found)
	})
}
