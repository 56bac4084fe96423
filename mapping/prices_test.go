package mapping_test

import (
	"encoding/json"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// cleaned returns the cleaned text, or the reason why the cleaner refuses it.
func cleaned(t *testing.T, converter *mapping.Converter, text string) (value, reason string) {
	t.Helper()
	record, err := json.Marshal(map[string]string{"v": text})
	require.NoError(t, err)
	values, err := converter.Row(record)
	if err != nil {
		return refused, err.Error()
	}
	return texts(values)[0], ""
}

// Prices as shops write them, with the results of money and money-comma.
func TestPricesOfShops(t *testing.T) {
	money, comma := column(t, "type: numeric, clean: [empty-is-null, money]").NewConverter(), column(t, "type: numeric, clean: [empty-is-null, money-comma]").NewConverter()
	for _, c := range []struct{ text, money, comma string }{
		{"", null, null},

		// Words and symbols, before and after.
		{"475\u202f000 F Cfa", "475000", "475000"},
		{"142\u202f000\u202fF\u202fCFA", "142000", "142000"},
		{"350 000 FCFA", "350000", "350000"},
		{"฿1,290.00", "1290.00", refused},
		{"21,000 บาท", "21000", refused},
		{"12,800円", "12800", refused},
		{"￥12,800", "12800", refused},
		{"￦12,800", "12800", refused},
		{"12,800원", "12800", refused},
		{"1.299.000 đ", refused, "1299000"},
		{"1.299.000₫", refused, "1299000"},
		{"1.299.000 VNĐ", refused, "1299000"},
		{"Rp1.299.000", refused, "1299000"},
		{"Rp 1.299.000,50", refused, "1299000.50"},
		{"1.299,00 TL", refused, "1299.00"},
		{"1.299,00 ₺", refused, "1299.00"},
		{"RM 12.90", "12.90", refused},
		{"RM12.90", "12.90", refused},
		{"R 1 299.00", "1299.00", refused},
		{"R1,299.00", "1299.00", refused},
		{"Q125.50", "125.50", refused},
		{"R$ 1.299,90", refused, "1299.90"},
		{"S/ 12.90", "12.90", refused},
		{"S/. 12.90", "12.90", refused},
		{"65 EGP", "65", "65"},
		{"EGP 65.00", "65.00", refused},
		{"C$5", "5", "5"},
		{"A$5.50", "5.50", refused},
		{"AU$5.50", "5.50", refused},
		{"HK$1,200", "1200", refused},
		{"NT$1,200", "1200", refused},
		{"USD$5", "5", "5"},
		{"USD $ 5", "5", "5"},
		{"5 $ CAD", "5", "5"},
		{"5\u00a0$\u00a0US", "5", "5"},
		{"Dhs. 5", "5", "5"},
		{"Dhs 5", "5", "5"},
		{"5 DH", "5", "5"},
		{"AED 1,250.00", "1250.00", refused},
		{"149 900 ֏", "149900", "149900"},
		{"239,000 Դրամ", "239000", refused},
		{"1 299,00 кн", refused, "1299.00"},
		{"1 299 р.", "1299", "1299"},
		{"1 299,50 руб", refused, "1299.50"},
		{"899 грн.", "899", "899"},
		{"15 000 ТГ", "15000", "15000"},
		{"12,90 ZŁ", refused, "12.90"},
		{"5 EUROS", "5", "5"},
		{"KSh 1,500", "1500", refused},
		{"GH¢ 120.00", "120.00", refused},
		{"120.00 د.إ.\u200f", "120.00", refused},
		{"\u200f120,00 ر.س", refused, "120.00"},
		{"\u200f-120,00 ر.س", refused, "-120.00"},
		{"$1,299.00 M.N.", "1299.00", refused},

		// Lakhs.
		{"₹1,29,900", "129900", refused},
		{"₹12,34,56,789.50", "123456789.50", refused},
		{"Rs. 1,29,900/-", "129900", refused},
		{"INR 1,29,900", "129900", refused},
		{"৳1,29,900", "129900", refused},
		{"₹129,900", "129900", refused},
		{"₹1,299", "1299", refused},
		{"$1,29,900", refused, refused},
		{"1,29,900", refused, refused},
		{"₹1,2,900", refused, refused},
		{"₹1,29,90", refused, refused},
		{"₹129,29,900", refused, refused},
		{"₹1,29,900,000", refused, refused},
		{"₹1,299,00,000", refused, refused},
		{"₹0,29,900", refused, refused},
		{"₹1.29.900", refused, refused},
		{"₹1,29", refused, "1.29"},

		// Digits and separators of other scripts.
		{"١٢٣٫٥", "123.5", "123.5"},
		{"١٬٢٩٩٫٥٠ ر.س.", "1299.50", "1299.50"},
		{"۱٬۲۹۹٬۰۰۰ تومان", "1299000", "1299000"},
		{"₹१,२९,९००", "129900", refused},
		{"฿๑,๒๙๐.๕๐", "1290.50", refused},
		{"１２，８００円", "12800", refused},
		{"￥１２．５０", "12.50", refused},
		{"1٢3", refused, refused},
		{"١۲", refused, refused},

		// Invisible characters.
		{"\u200e$5.00\u200e", "5.00", refused},
		{"\u200b5.00", "5.00", refused},
		{"\u00a05.00\u00a0€", "5.00", refused},
		{"\ufeff\u2068€\u200b 5.00\u2069", "5.00", refused},
		{"US\u200b$\u00a05.00", "5.00", refused},
		{"19\u200b99", refused, refused},
		{"\u200b", refused, refused},

		// No decimals.
		{"CHF 1'299.-", "1299", "1299"},
		{"Fr. 29.–", "29", "29"},
		{"29,-", refused, "29"},
		{"29,-- €", refused, "29"},
		{"1.299,- Kč", refused, "1299"},
		{"1 299:-", "1299", "1299"},
		{"KSh 500/=", "500", "500"},
		{"29.95.-", refused, refused},
		{"29,95,-", refused, refused},
		{"29:95", refused, refused},
		{"29-", refused, refused},
		{"29:", refused, refused},
		{"29/", refused, refused},

		// Three decimals, and what may be thousands.
		{"€1.299", refused, "1299"},
		{"1,299 €", "1299", refused},
		{"KWD 1.250", "1.250", "1250"},
		{"1,250 DT", "1250", "1.250"},
		{"1.250 د.ك.", "1.250", "1250"},
		{"1.250 دينار", refused, "1250"},
		{"€0.299", "0.299", refused},
		{"€1299.999", "1299.999", refused},
		{"€1,299.999", "1299.999", refused},
		{"€1.2999", "1.2999", refused},

		// More than one amount, or none.
		{"from $5", refused, refused},
		{"$5 - $7", refused, refused},
		{"$1,29", refused, "1.29"},
		{"12,5,5", refused, refused},
		{"12,800円(税込)", refused, refused},

		// Thousands, millions, cents, liters.
		{"250K€", refused, refused},
		{"1.5M€", refused, refused},
		{"2.5B$", refused, refused},
		{"B$ 2.5", refused, refused},
		{"5K$", refused, refused},
		{"5M$", refused, refused},
		{"5T$", refused, refused},
		{"5G$", refused, refused},
		{"T€ 500", refused, refused},
		{"K€ 500", refused, refused},
		{"5K", refused, refused},
		{"K 5", refused, refused},
		{"5 M", refused, refused},
		{"5 L", refused, refused},
		{"L 5", refused, refused},
		{"5 R", refused, refused},
		{"$5 R", refused, refused},
		{"5 Q", refused, refused},
		{"₹5L", refused, refused},
		{"₹5 Cr", refused, refused},
		{"5万円", refused, refused},
		{"1만 원", refused, refused},
		{"5 тыс. руб.", refused, refused},
		{"1,5 triệu", refused, refused},
		{"Rp 500rb", refused, refused},
		{"14.1K sold", refused, refused},
		{"99¢", refused, refused},
		{"5 km", refused, refused},
		{"5 ft", refused, refused},
		{"5 cup", refused, refused},
	} {
		value, reason := cleaned(t, money, c.text)
		require.Equal(t, c.money, value, "money of %q: %s", c.text, reason)
		value, reason = cleaned(t, comma, c.text)
		require.Equal(t, c.comma, value, "money-comma of %q: %s", c.text, reason)
	}
}

func TestRefusedPriceHasAReason(t *testing.T) {
	for _, c := range []struct{ clean, text, want string }{
		{"money", "250K€", `column "v": "250K€" has "K€" next to its number, which is not a currency that the cleaner money knows`},
		{"money", "T€ 500", `column "v": "T€ 500" has "T€" next to its number, which is not a currency that the cleaner money knows`},
		{"money-comma", "14.1K sold", `column "v": "14.1K sold" has "K sold" next to its number, which is not a currency that the cleaner money-comma knows`},
		{"money", "€1.299", `column "v": "€1.299" has three digits after its point, which may be thousands: the cleaner money-comma reads them as thousands`},
		{"money-comma", "HK$1,200", `column "v": "HK$1,200" has three digits after its comma, which may be thousands: the cleaner money reads them as thousands`},
		{"money", "$1,29", `column "v": "$1,29" is not an amount that the cleaner money knows, such as $1,299.00`},
		{"money-comma", "12.99", `column "v": "12.99" is not an amount that the cleaner money-comma knows, such as 1.299,00 €`},
	} {
		_, reason := cleaned(t, column(t, "type: numeric, clean: ["+c.clean+"]").NewConverter(), c.text)
		require.Equal(t, c.want, reason)
	}
}

// Every Unicode digit is read correctly.
func TestDigitsOfAllScriptsAreRead(t *testing.T) {
	converter := column(t, "type: numeric, clean: [money]").NewConverter()
	digits := 0
	for r := range unicode.MaxRune {
		if unicode.IsDigit(r) {
			value, reason := cleaned(t, converter, string(r))
			require.Equal(t, string(rune('0'+digits%10)), value, "%U: %s", r, reason)
			digits++
		}
	}
	require.Greater(t, digits, 600)
}

func BenchmarkPrice(b *testing.B) {
	for clean, text := range map[string]string{"money": "$1,299.00", "money-comma": "1 299,00 €", "money ": "475 000 FCFA", " money": "1,299.00 USD"} {
		converter := column(b, "type: numeric, clean: ["+clean+"]").NewConverter()
		record, err := json.Marshal(map[string]string{"v": text})
		require.NoError(b, err)
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = converter.Row(record)
			}
		})
	}
}
