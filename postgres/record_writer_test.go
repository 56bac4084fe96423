package postgres

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecordsAreWrittenInJSONBOrder(t *testing.T) {
	t.Parallel()
	var w recordWriter
	for _, test := range []struct{ record, written string }{
		{`{"title":"1","b":"2","a":"3","price":"4"}`, `{"a":"3","b":"2","price":"4","title":"1"}`},
		{`{"title":"5","b":"6","a":"7","price":"8"}`, `{"a":"7","b":"6","price":"8","title":"5"}`},
		{`{"title":"5","b":"6","price":"8"}`, `{"b":"6","price":"8","title":"5"}`},
		{`{"bb":{"y":[1,{"x":"}"}],"x":","},"a":-1.5e3}`, `{"a":-1.5e3,"bb":{"y":[1,{"x":"}"}],"x":","}}`},
		{`{"bb":1,"a":1,"bb":2,"a":2}`, `{"a":1,"a":2,"bb":1,"bb":2}`},
		{`{"b":"\/\/x\/","a":"\\/ \" \u00e9 \\"}`, `{"a":"\\\\/ \\" \\u00e9 \\\\","b":"//x/"}`},
		// anything less simple is unchanged
		{`{"b":1,"\u0062":"\/"}`, `{"b":1,"\\u0062":"\\/"}`},
		{`{"b":1, "a":2}`, `{"b":1, "a":2}`},
		{"{\"b\":\t1,\"a\":2}", `{"b":\t1,"a":2}`},
		{`{"b":1,"a":2,}`, `{"b":1,"a":2,}`},
		{`{"b":"x""a":2}`, `{"b":"x""a":2}`},
		{`{}`, `{}`},
		{``, ``},
	} {
		require.Equal(t, "before "+test.written, string(w.append([]byte("before "), []byte(test.record))), test.record)
	}
}

func TestWritingRecordsAllocatesNothing(t *testing.T) {
	var (
		w  recordWriter
		to []byte
	)
	one, other := []byte(`{"a":"1","b":"\/2","c":"3"}`), []byte(`{"c":"1","a":"2"}`)
	require.Zero(t, testing.AllocsPerRun(100, func() { to = w.append(w.append(to[:0], one), other) }))
}

// FuzzRecordWriter checks that the writer's output is JSON if and only if the record is, with the
// same value, also after another record.
func FuzzRecordWriter(f *testing.F) {
	for _, seed := range []string{
		`{"b":"1","a":null}`, `{"bb":{"b":["}"]},"c":1,"a":"\/"}`, `{"a\"b":"\\","c":"\\\""}`, " {\n\"b\" :\t\"b\"\r} ", `{"":{}}`, `{"b":[1,{"b":2},3],"a":4,"b":5}`,
		`{"b":1,"a":2,}`, `{"b":]1[,"a":2}`, `{"b":1],"a":[2}`, `{"b":"x"y,"a":2}`, `{"b":"\\\/","a":\/}`, `{"b":1,"a"}`,
	} {
		f.Add([]byte(seed), []byte(`{"b":1,"a":2}`))
	}
	f.Fuzz(func(t *testing.T, before, record []byte) {
		var w recordWriter
		w.append(nil, before)
		row := w.append(nil, record)
		require.Equal(t, -1, bytes.IndexAny(row, "\t\r\n"))
		written := []byte(unescaped.Replace(string(row)))
		require.Equal(t, json.Valid(record), json.Valid(written), "%q", written)
		if !json.Valid(record) {
			return
		}
		require.Equal(t, decoded(t, record), decoded(t, written))
	})
}

// unescaped undoes appendEscaped.
var unescaped = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r")

func decoded(t *testing.T, data []byte) (value any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&value))
	return value
}
