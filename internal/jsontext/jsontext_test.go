package jsontext_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
)

// walked returns the members of text, and whether all were reached.
func walked(text []byte) (members []string, ended bool) {
	walk := jsontext.MembersOf(text)
	for {
		member, ok := walk.Next()
		if !ok {
			return members, walk.Ended()
		}
		members = append(members, string(member.Text))
	}
}

func TestMembersAreReturnedAsWritten(t *testing.T) {
	for _, test := range []struct {
		text    string
		members []string
		ended   bool
	}{
		{`{}`, nil, true},
		{" \t{\r\n} ", nil, true},
		{`{"a":"1","b":null}`, []string{`"a":"1"`, `"b":null`}, true},
		{` { "a\"" : [ "}" , { "b" : 1 } ] , "" :-1.5e3 } rest`, []string{`"a\"" : [ "}" , { "b" : 1 } ]`, `"" :-1.5e3`}, true},
		{`{"a":"\\","b":"\\\"","c":"","d":{}}`, []string{`"a":"\\"`, `"b":"\\\""`, `"c":""`, `"d":{}`}, true},
		{`{"a":1,}`, []string{`"a":1`}, false},
		{`{"a":1 "b":2}`, []string{`"a":1`}, false},
		{`{"a":"1""b":2}`, []string{`"a":"1"`}, false},
		{`{"a":1,"b":"x`, []string{`"a":1`}, false},
		{`{"a":1`, nil, false},
		{`{"a":}`, nil, false},
		{`{"a"`, nil, false},
		{`{"a" 1}`, nil, false},
		{`{1:2}`, nil, false},
		{`{`, nil, false},
		{`[{"a":1}]`, nil, false},
		{``, nil, false},
	} {
		members, ended := walked([]byte(test.text))
		require.Equal(t, test.members, members, test.text)
		require.Equal(t, test.ended, ended, test.text)
	}
}

func TestUnstorableEscapesAreFound(t *testing.T) {
	for text, want := range map[string]int{
		`{"a":"b\u0000"}`: 7, `"\ud800x"`: 1, `"\ud800\ud800"`: 1, `"\uD83D"`: 1, `"\n\udc00"`: 3, `"\ud83d\n"`: 1, `"\ud83d\ude00\udE00"`: 13,
		`"\\u0000"`: -1, `"\\\/\ud83d\ude00\u00e9\ufffd"`: -1, `[]`: -1,
	} {
		require.Equal(t, want, jsontext.UnstorableEscape([]byte(text)), text)
	}
}

func TestExportedObjectsArePlain(t *testing.T) {
	for _, text := range []string{
		`{"a":"1"}`, `{"":"","b":null}`, `{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00","é":"\u007f12345678é"}`, `{"a":"1","a":"12345678"}`,
	} {
		require.True(t, jsontext.IsPlain([]byte(text)), text)
		for cut := range text {
			require.False(t, jsontext.IsPlain([]byte(text[:cut])), text[:cut])
		}
	}
	for _, text := range []string{
		`[]`, `{"a":"1"} `, `{"a":"1"}}`, `{"a":"1",}`, `{"a":"1";"b":"2"}`, `{"a" "1"}`, `{,"a":"1"}`, `{"a":"\u0000"}`, `{"a":"\ud83d"}`, `{"a":"\ude00"}`,
		`{"a":"\u12"}`, `{"a":"\x"}`, `{"a":"123456\"}`, "{\"a\":\"1234\n678\"}", "{\"a\":\"\xff\"}", "{\"a\":\"12345678\x80\"}", `{"a":nul}`, `{"a":null"b":null}`, `{"a":"1"`, `{"a":"1""b":"2"}`,
	} {
		require.False(t, jsontext.IsPlain([]byte(text)), text)
	}
}

func TestTextWithoutEscapesIsNotCopied(t *testing.T) {
	buffer, text := make([]byte, 0, 64), []byte("caf\xc3\xa9")
	longer, same := jsontext.Unescape(buffer, text)
	require.Empty(t, longer)
	require.Same(t, &text[0], &same[0])
	longer, e := jsontext.Unescape(append(buffer, "before"...), []byte(`\u00e9`))
	require.Equal(t, "beforeé", string(longer))
	require.Equal(t, "é", string(e))
}

func TestNothingIsAllocated(t *testing.T) {
	record := []byte(`{"a":"1","b\/":{"c":[1]},"d":"\ud83d\ude00"}`)
	buffer := make([]byte, 0, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		members := jsontext.MembersOf(record)
		for member, ok := members.Next(); ok; member, ok = members.Next() {
			buffer, _ = jsontext.Unescape(buffer[:0], member.Key())
			buffer = jsontext.AppendQuote(buffer[:0], member.Value())
		}
	}))
}

// FuzzText compares the package with encoding/json.
func FuzzText(f *testing.F) {
	for _, seed := range []string{
		`{"a":"1","b":null}`, `{"a":{"b":["}"]},"c":1}`, `{"a\"b":"\\","c":"\\\""}`, " {\n\"a\" :\t\"b\"\r} ", `{"":{}}`, `{"a":[1,{"b":2},3],"d":4}`,
		`{"v":"a","w":null,"a\"é":1}`, ` { "w" : [ "}" , { "v" : "\\" } ] , "v" : -1.5e3 } `, `{"v":"1","\u0076":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83d"}`,
		`{"a\"\u00e9":{"v":{}},"v":true,"v":""}`, `{"v":`, `[{"v":1}]`, `{"v":"\u12"}`, `{"v":"\`, `{"b":1,"a":2,}`, `{"b":]1[,"a":2}`, `{"b":1],"a":[2}`,
		`{"b":"x"y,"a":2}`, `{"b":"\\\/","a":\/}`, `{"b":1,"a"}`, `{"a":"\ude00\ud83d\u0041","b":"\ud83d\ud83d\ude00"}`, ` "\` + "\x01\xff", "\b\t\n\f\r\x00\x1f\x7f",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		requireQuoted(t, text)
		requireMembers(t, text)
		requireStorable(t, text)
		for _, text := range [][]byte{text, fmt.Appendf(nil, `{"a":%q}`, text), fmt.Appendf(nil, `{"%s":"12345678","b":null}`, text)} {
			if jsontext.IsPlain(text) {
				require.True(t, json.Valid(text) && text[0] == '{' && utf8.Valid(text) && jsontext.UnstorableEscape(text) < 0, "%q", text)
			}
		}
	})
}

// requireQuoted quotes text and unquotes it again.
func requireQuoted(t *testing.T, text []byte) {
	quoted := jsontext.AppendQuote([]byte("before"), text)[len("before"):]
	var decoded string
	require.NoError(t, json.Unmarshal(quoted, &decoded))
	require.Equal(t, valid(text), decoded)
	if utf8.Valid(text) && !bytes.ContainsAny(text, "\u2028\u2029") { // encoding/json escapes these for JavaScript
		var encoded bytes.Buffer
		encoder := json.NewEncoder(&encoded)
		encoder.SetEscapeHTML(false)
		require.NoError(t, encoder.Encode(string(text)))
		require.Equal(t, strings.TrimSuffix(encoded.String(), "\n"), string(quoted))
	}
	require.Equal(t, len(quoted), jsontext.StringEnd(quoted, 0))
	_, unescaped := jsontext.Unescape(nil, quoted[1:len(quoted)-1])
	require.Equal(t, string(text), string(unescaped))
}

// requireMembers iterates over text, which may be invalid JSON.
func requireMembers(t *testing.T, text []byte) {
	var members []string
	walk := jsontext.MembersOf(text)
	decoder := json.NewDecoder(bytes.NewReader(text))
	isObject := json.Valid(text) && bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
	if isObject {
		_, err := decoder.Token()
		require.NoError(t, err)
	}
	for member, ok := walk.Next(); ok; member, ok = walk.Next() {
		members = append(members, string(member.Text))
		if !isObject {
			continue
		}
		key, err := decoder.Token()
		require.NoError(t, err)
		_, unescaped := jsontext.Unescape(nil, member.Key())
		require.Equal(t, key, valid(unescaped))
		var value json.RawMessage
		require.NoError(t, decoder.Decode(&value))
		require.Equal(t, string(value), string(member.Value()))
	}
	if isObject {
		require.True(t, walk.Ended())
		require.False(t, decoder.More())
	}
	if walk.Ended() && string(text) == "{"+strings.Join(members, ",")+"}" {
		slices.Reverse(members)
		require.Equal(t, isObject, json.Valid([]byte("{"+strings.Join(members, ",")+"}")), "members do not overlap")
	}
}

// requireStorable compares the strings in text: encoding/json decodes unstorable escapes as
// U+FFFD or U+0000.
func requireStorable(t *testing.T, text []byte) {
	if !json.Valid(text) || !utf8.Valid(text) || bytes.Contains(bytes.ToLower(text), []byte(`\ufffd`)) || bytes.Contains(text, []byte("\ufffd")) {
		return
	}
	storable := true
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	for token, err := decoder.Token(); err == nil; token, err = decoder.Token() {
		decoded, _ := token.(string)
		storable = storable && !strings.ContainsAny(decoded, "\x00\ufffd")
	}
	require.Equal(t, storable, jsontext.UnstorableEscape(text) < 0)
}

// valid returns text as encoding/json decodes it: each invalid UTF-8 byte becomes U+FFFD.
func valid(text []byte) string { return string([]rune(string(text))) }

func TestDuplicateNamesAreFound(t *testing.T) {
	var names jsontext.Names
	for range 2 { // the second time, from the cache
		for _, test := range []struct {
			object string
			own    bool
			inside string
		}{
			{`{"a":"1","b":"2","c":3}`, false, ""},
			{`{"a":"1","c":3,"b":"2"}`, false, ""},
			{`{"a":"1","a":"2"}`, true, ""},
			{`{"a":1,"b":2,"\u0061":3}`, true, ""},
			{`{"\u0061":1,"\u0061":3}`, true, ""},
			{`{"\u00e9":1,"é":3}`, true, ""},
			{`{"a\/b":1,"a/b":3}`, true, ""},
			{`{"a\nb":1,"a\\nb":2,"a\\u0061":3,"aa":4}`, false, ""},
			{`{"a\"b":1,"a\u0022b":2}`, true, ""},
			{`{"":1,"":2}`, true, ""},
			{`{}`, false, ""},
			{`{"a":{"b":1,"c":[{"d":1},{"d":2}]},"b":{"a":1}}`, false, ""},
			{`{"a":{"b":1,"c":{"b":1},"b":2}}`, false, "b"},
			{`{"a":[[],[{"b":"]{","c" :1 , "\u0062":2}]]}`, false, "b"},
			{`{"a":[{"b":":"},"b",{"b":"c"}],"a":1}`, true, ""},
			{`{"a":{"b":1,"b":2},"a":1}`, true, "b"},
			{`{"a":{"b":1,"b"`, false, ""},
			{`{"a":]}`, false, ""},
			{`["a","a"]`, false, ""},
			{``, false, ""},
		} {
			own, inside := names.Twice([]byte(test.object))
			require.Equal(t, test.own, own, test.object)
			require.Equal(t, test.inside, string(inside), test.object)
		}
	}
	deep := strings.Repeat(`[{"a":`, 1<<20)
	own, inside := names.Twice([]byte(`{"b":` + deep))
	require.False(t, own)
	require.Nil(t, inside)
	many := []byte(`{"a":1`)
	for i := range 10_000 {
		many = fmt.Appendf(many, `,"name %d":%d`, i, i)
	}
	own, _ = names.Twice(append(many, `,"name 17":1}`...))
	require.True(t, own)
	own, _ = names.Twice(append(many, '}'))
	require.False(t, own)
}

func TestLongNamesAndDeepNestingDoNotHoldMemory(t *testing.T) {
	var names jsontext.Names
	long := strings.Repeat("x", 1<<20)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 100 {
		own, _ := names.Twice(fmt.Appendf(nil, `{"%s%d":1}`, long, i))
		require.False(t, own)
	}
	own, inside := names.Twice([]byte(`{"a":` + strings.Repeat("[", 8<<20) + strings.Repeat("]", 8<<20) + `}`))
	require.False(t, own)
	require.Nil(t, inside)
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(20<<20))
	own, _ = names.Twice([]byte(`{"a":1,"a":2}`))
	require.True(t, own)
	_, inside = names.Twice([]byte(`{"a":` + strings.Repeat("[", 9_998) + `{"b":1,"b":2}` + strings.Repeat("]", 9_998) + `}`))
	require.Equal(t, "b", string(inside))
}

func TestCheckingNamesAllocatesNothing(t *testing.T) {
	var names jsontext.Names
	records := [][]byte{[]byte(`{"a":"x","b":[{"c":"y","d":1}],"e":null}`), []byte(`{"a":"x","e":"\""}`)}
	check := func() {
		for _, record := range records {
			names.Twice(record)
		}
	}
	check()
	require.Zero(t, testing.AllocsPerRun(100, check))
}

func BenchmarkNames(b *testing.B) {
	var names jsontext.Names
	for shape, record := range map[string]string{
		"products": `{"web-scraper-order":"1614248295-1","web-scraper-start-url":"https:\/\/webscraper.io\/test-sites","product":"IdeaTab A3500L","price":"$88.99","description":"` + strings.Repeat(`Black, 7\" IPS `, 20) + `"}`,
		"short":    `{"web-scraper-order":"1614248295-1","web-scraper-start-url":"https:\/\/webscraper.io","a":"1","b":"two","c":"","d":"4.00","e":"five","f":"6","g":"seven"}`,
		"typed":    `{"web-scraper-order":"1614248295-1","price":1.5,"old":null,"on":true,"links":[{"href":"https:\/\/a.example\/","text":"a"}]}`,
	} {
		b.Run(shape, func(b *testing.B) {
			object := []byte(record)
			b.SetBytes(int64(len(object)))
			for b.Loop() {
				names.Twice(object)
			}
		})
	}
}
