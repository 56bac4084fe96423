package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/postgres"
)

func TestCheckRecordSaysWhyJSONBCannotHoldARecord(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, record, reason string }{
		{"cut line", `{"title":"IdeaTab","pri`, "cut off: the JSON ends in the middle, after 23 bytes"},
		{"empty", ``, "cut off: the JSON ends in the middle, after 0 bytes"},
		{"garbage", `{"title":IdeaTab}`, "not JSON: invalid character 'I' looking for beginning of value at byte 10"},
		{"two objects", `{}{}`, "not JSON: invalid character '{' after top-level value at byte 3"},
		{"raw control character", "{\"a\":\"\x00\"}", `not JSON: invalid character '\x00' in string literal at byte 7`},
		{"array", `[1]`, "not a JSON object but an array"},
		{"string", `"a"`, "not a JSON object but a string"},
		{"number", `-12`, "not a JSON object but a number"},
		{"boolean", `false`, "not a JSON object but a boolean"},
		{"null", ` null`, "not a JSON object but null"},
		{"invalid UTF-8", "{\"a\":\"\xff\"}", "invalid UTF-8 at byte 7"},
		{"NUL escape", `{"a":"b\u0000"}`, `\u0000 at byte 8: PostgreSQL's text cannot hold it`},
		{"lone high surrogate", `{"a":"\ud800x"}`, `lone surrogate \ud800 at byte 7`},
		{"high surrogate twice", `{"a":"\ud800\ud800"}`, `lone surrogate \ud800 at byte 7`},
		{"high surrogate at the end", `{"a":"\uD83D"}`, `lone surrogate \uD83D at byte 7`},
		{"lone low surrogate", `{"a":"\udc00"}`, `lone surrogate \udc00 at byte 7`},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.EqualError(t, postgres.CheckRecord([]byte(test.record)), test.reason)
		})
	}
}

func TestCheckRecordAcceptsWhatJSONBHolds(t *testing.T) {
	t.Parallel()
	for _, record := range []string{
		`{}`,
		` {"a" :	1 }`,
		`{"url":"https:\/\/webscraper.io\/a"}`,
		`{"escaped backslash before u0000":"\\u0000"}`,
		`{"pair":"\ud83d\ude00","é":"\u00e9","emoji":"😀"}`,
		`{"nested":{"list":[1,2.50,null,true,"x"]}}`,
	} {
		require.NoError(t, postgres.CheckRecord([]byte(record)), record)
	}
}
