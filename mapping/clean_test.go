package mapping_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// refused is the expected result for a text that a cleaner refuses.
const refused = "REFUSED"

func TestCleaners(t *testing.T) {
	for clean, cases := range map[string]map[string]string{
		"trim":           {" \t\r\n\u00a0\u2003a b\u3000\u202f": "a b", "a": "a", " ": ""},
		"collapse-space": {"  a\u00a0 b\n\nc ": "a b c", "a": "a"},
		"lower":          {"ÀB1": "àb1"},
		"upper":          {"àb1": "ÀB1"},
		"empty-is-null":  {"": null, " ": " ", "a": "a"},
		"null-text":      {"null": null, " NULL\u00a0": null, "Null": null, "nulls": "nulls", "": "", "nil": "nil"},
		"money": {
			"$1,299.00": "1299.00", "€ 1,299.00": "1299.00", "USD 1,299.00": "1299.00", "1,299.00 USD": "1299.00", "1299": "1299", "1,234,567": "1234567",
			"-$5.00": "-5.00", "$-5.00": "-5.00", "$ - 5": "-5", "−5": "-5", "US$5": "5", "R$ 5.5": "5.5", "5 kr": "5", "Kč 5": "5", "5.5zł": "5.5",
			" \u00a0$5 ": "5", "$1 299.00": "1299.00", "1\u202f299\u202f000 Ft": "1299000", "CHF 1'299.50": "1299.50", "1’299": "1299", "Rs.500": "500", "Rs. 500": "500",
			"$.99": "0.99", ".99": "0.99", "-.5": "-0.5", "0.5": "0.5", "$5 CAD": "5", "$1,299.00 USD": "1299.00", "1.299": "1.299", "007": "007", "₿0.00012": "0.00012",

			"": refused, "$": refused, "free": refused, "from $5": refused, "$5 - $7": refused, "5-7": refused, "5K": refused, "5 mln": refused, "5 PCS": refused, "5%": refused,
			"1,29": refused, "1,2999": refused, "1299,000": refused, "0,299": refused, "1,299,00": refused, "1,299'000": refused, "1.299,00": refused, "1.299.000": refused,
			"1,,299": refused, "$5.": refused, "5,": refused, ",5": refused, "--5": refused, "-$-5": refused, "5-": refused, "+5": refused, "(5.00)": refused, "($5.00)": refused,
			"$5 was $7": refused, "12  345": refused, "1,29,900": refused, "1e5": refused, "USD": refused, "$€5": refused, "ab$5": refused, "ABCD$5": refused, "$5\n$6": refused, "5\n600": refused, "5\t600": refused, ". 5": refused, "$ . 500": refused,
		},
		"money-comma": {
			"1.299,00 €": "1299.00", "€ 1.299,00": "1299.00", "1 299,00 EUR": "1299.00", "1\u00a0299,5 kr.": "1299.5", "12,99": "12.99", "1299": "1299", "1.299": "1299",
			"-5,00 €": "-5.00", "−5 €": "-5", "€ ,99": "0.99", "CHF 1’299,50": "1299.50", "1.234.567,8": "1234567.8", "лв 5": "5", "5 лв.": "5", "5,5 руб.": "5.5",

			"1,299.00": refused, "12.99": refused, "1.29": refused, "29,-": "29", "1,299,000": refused, "gratis": refused, "": refused,
		},
		"first-number": {
			"12 in stock": "12", "In stock (22 available)": "22", "only 1,299.5 km": "1299.5", "4.5 out of 5": "4.5", "-5 °C": "-5", "Temp: −5": "-5", "5-10 days": "5",
			"SKU-12": "12", "Page 3.": "3", "1, 2, 3": "1", "$5": "5", "-$5": "-5", "$-5": "-5", ".5 l": "0.5", "No.5": "5", "12": "12", "3x4": "3", "1'299 m": "1299", "12 3456": "12", "1299 300": "1299", "2.5 100": "2.5",
			"2024-01-05": "2024", "10%": "10", "007": "007",

			"": refused, "sold out": refused, "1 299 reviews": refused, "1\u00a0299": refused, "12\n345 left": refused, "1.299,00": refused, "1,5": refused, "1.2.3": refused, "12,5 kg": refused,
		},
	} {
		converter := column(t, "type: text, clean: ["+clean+"]").NewConverter()
		for text, want := range cases {
			record, err := json.Marshal(map[string]string{"v": text})
			require.NoError(t, err)
			values, err := converter.Row(record)
			if want == refused {
				require.Error(t, err, "%s of %q: %q", clean, text, values)
				continue
			}
			require.NoError(t, err, "%s of %q", clean, text)
			require.Equal(t, []string{want}, texts(values), "%s of %q", clean, text)
		}
	}
}

func TestCleanersRunInOrder(t *testing.T) {
	require.Equal(t, []string{" "}, row(t, column(t, "type: text, clean: [empty-is-null]"), `{"v":" "}`))
	require.Equal(t, []string{""}, row(t, column(t, "type: text, clean: [empty-is-null, trim]"), `{"v":" "}`))
	require.Equal(t, []string{null}, row(t, column(t, "type: text, clean: [trim, empty-is-null]"), `{"v":" "}`))
	require.Equal(t, []string{"A B"}, row(t, column(t, "type: text, clean: [upper, collapse-space]"), `{"v":" a\tb"}`))
	require.Equal(t, []string{"a b"}, row(t, column(t, "type: text, clean: [upper, collapse-space, lower]"), `{"v":" a\tb"}`))
}

func TestOnlyStringsAreCleaned(t *testing.T) {
	for value, want := range map[string]string{`1.299`: "1.299", `true`: "true", `{"a":" B"}`: `{"a":" B"}`, `[" "]`: `[" "]`} {
		require.Equal(t, []string{want}, row(t, column(t, "type: text, clean: [money-comma, upper]"), `{"v":`+value+`}`))
	}
}
