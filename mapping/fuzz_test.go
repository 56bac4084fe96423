package mapping_test

import (
	"encoding/json"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// FuzzRowAgreesWithEncodingJSON compares keys and values with encoding/json.
func FuzzRowAgreesWithEncodingJSON(f *testing.F) {
	for _, record := range []string{
		`{"v":"a","w":null,"a\"é":1}`, ` { "w" : [ "}" , { "v" : "\\" } ] , "v" : -1.5e3 } `, `{"v":"1","\u0076":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83d"}`,
		`{"a\"\u00e9":{"v":{}},"v":true,"v":""}`, `{"v":`, `[{"v":1}]`, `{"v":"\u12"}`, `{"v":"\`,
	} {
		f.Add([]byte(record))
	}
	m := read(f, `
mappings:
  - sitemap: s
    table: t
    columns: [{name: v, type: text}, {name: w, type: text}, {name: x, from: "a\"é", type: text}]
    mode: replace-job`)
	f.Fuzz(func(t *testing.T, record []byte) {
		values, err := m.NewConverter().Row(record)
		var want map[string]json.RawMessage
		if !utf8.Valid(record) || json.Unmarshal(record, &want) != nil || want == nil {
			return // invalid JSON: it only needs to return
		}
		require.NoError(t, err)
		for i, key := range []string{"v", "w", `a"é`} {
			raw, found := want[key]
			var text string
			switch {
			case !found || string(raw) == "null":
				require.Nil(t, values[i], key)
			case raw[0] == '"':
				require.NoError(t, json.Unmarshal(raw, &text))
				require.Equal(t, text, string(values[i]), key)
			default:
				require.Equal(t, string(raw), string(values[i]), key)
			}
		}
	})
}

var plainDecimal = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$`)

// FuzzNumbersAgreeWithMathBig compares numeric and integer with math/big.
func FuzzNumbersAgreeWithMathBig(f *testing.F) {
	for _, text := range []string{"1", "-1.50", ".5", "5.", "1e3", "120e-1", "0.012e3", "9223372036854775808", "-9223372036854775808", "1e19", "0.0", "00.10e1", "1_0", "0x1"} {
		f.Add(text)
	}
	numeric, integer := column(f, "type: numeric").NewConverter(), column(f, "type: integer").NewConverter()
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || len(text) > 1000 {
			return
		}
		record, err := json.Marshal(map[string]string{"v": text})
		require.NoError(t, err)
		want, ok := new(big.Rat).SetString(strings.TrimPrefix(text, "+"))
		ok = ok && plainDecimal.MatchString(text)

		values, err := numeric.Row(record)
		if ok {
			require.NoError(t, err)
			require.Equal(t, text, string(values[0]))
		}
		values, err = integer.Row(record)
		if ok && want.IsInt() && want.Num().IsInt64() {
			require.NoError(t, err)
			require.Equal(t, want.Num().String(), string(values[0]))
		} else if !strings.ContainsAny(text, "eE") { // math/big is not given longer exponents
			require.Error(t, err, "%q", values)
		}
	})
}

// FuzzCleanersKeepEveryDigit requires that an amount of money is either refused or becomes a
// number with exactly its digits.
func FuzzCleanersKeepEveryDigit(f *testing.F) {
	for _, text := range []string{"$1,299.00", "1.299,00 €", "12 in stock", "-$.99", "1 299,00 EUR", "1’299", "Rs.500", "only 1,299.5 km",
		"₹1,29,900/-", "475\u202f000 F Cfa", "\u200f١٬٢٩٩٫٥٠ ر.س.", "CHF 1'299.-", "KWD 1.250", "１２，８００円", "T€ 500", "$5 - $7"} {
		f.Add(text)
	}
	number := regexp.MustCompile(`^-?\d+(\.\d+)?$`)
	converters := map[string]*mapping.Converter{}
	for _, clean := range []string{"money", "money-comma", "first-number"} {
		converters[clean] = column(f, "type: text, clean: ["+clean+"]").NewConverter()
	}
	digits := func(text string) string {
		return strings.Map(func(r rune) rune {
			if !unicode.IsDigit(r) {
				return -1
			}
			value := rune(0)
			for unicode.IsDigit(r - value - 1) { // digits come in runs of ten
				value++
			}
			return '0' + value%10
		}, text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		record, err := json.Marshal(map[string]string{"v": text})
		require.NoError(t, err)
		for clean, converter := range converters {
			values, err := converter.Row(record)
			if err != nil {
				continue
			}
			cleaned := string(values[0])
			require.Regexp(t, number, cleaned, "%s of %q", clean, text)
			left := digits(text)
			if clean == "first-number" {
				require.Contains(t, left, strings.TrimPrefix(digits(cleaned), "0"), "%s of %q", clean, text)
			} else if digits(cleaned) != "0"+left { // .99
				require.Equal(t, left, digits(cleaned), "%s of %q", clean, text)
			}
		}
	})
}

// FuzzJSONBIsJSON requires that any text becomes valid JSON.
func FuzzJSONBIsJSON(f *testing.F) {
	for _, text := range []string{"a", ` "\` + "\x01", `{"a":[1,"\u00e9"]}`, "null", "[", `"\ud800"`} {
		f.Add(text)
	}
	cleaned := column(f, "type: jsonb, clean: [null-text]").NewConverter()
	parsed := column(f, "type: jsonb, clean: [parse-json]").NewConverter()
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		record, err := json.Marshal(map[string]string{"v": text})
		require.NoError(t, err)
		values, err := cleaned.Row(record)
		require.NoError(t, err)
		if values[0] != nil {
			var got string
			require.NoError(t, json.Unmarshal(values[0], &got))
			require.Equal(t, text, got)
		}
		values, err = parsed.Row(record)
		if err == nil && values[0] != nil {
			require.True(t, json.Valid(values[0]))
		}
	})
}
