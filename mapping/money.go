package mapping

import (
	"bytes"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	errNotMoney      = errors.New("is not an amount that the cleaner money knows, such as $1,299.00")
	errNotMoneyComma = errors.New("is not an amount that the cleaner money-comma knows, such as 1.299,00 €")
	errNoNumber      = errors.New("holds no number")
	errWhichNumber   = errors.New("does not tell what its first number is")
)

// currencies are the codes of ISO 4217 that are in use, or were until lately.
const currencies = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD " +
	"CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD " +
	"HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD " +
	"MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG " +
	"QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS " +
	"UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"

// currencyWords are written like a currency's symbol.
var currencyWords = map[string]bool{
	"kr": true, "kr.": true, "zł": true, "Kč": true, "Ft": true, "Rs": true, "Rs.": true, "lei": true, "лв": true, "лв.": true, "руб.": true,
}

// amount makes of an amount of money its number: with a point, 1299.00 of $1,299.00.
func amount(point, thousands byte, otherwise error) cleaner {
	return func(into, text []byte) (longer, cleaned []byte, err error) {
		longer, cleaned, ok := appendAmount(into, bytes.TrimSpace(text), point, thousands)
		if !ok {
			err = otherwise
		}
		return longer, cleaned, err
	}
}

// appendAmount appends the number of an amount of money: a currency before or
// after it or none, a minus before or after the currency or none.
func appendAmount(to, text []byte, point, thousands byte) (longer, number []byte, ok bool) {
	const digits = "0123456789"
	first, last := bytes.IndexAny(text, digits), bytes.LastIndexAny(text, digits)
	if first < 0 {
		return to, nil, false
	}
	before, negative := cutMinus(text[:first], bytes.CutPrefix)
	if first > 0 && text[first-1] == point && !isCurrency(before) { // $.99, but Rs.500
		before = bytes.TrimSpace(before[:len(before)-1])
		first--
	}
	if len(before) > 0 && !negative {
		before, negative = cutMinus(before, bytes.CutSuffix)
	}
	after := bytes.TrimSpace(text[last+1:])
	if (len(before) > 0 && !isCurrency(before)) || (len(after) > 0 && !isCurrency(after)) {
		return to, nil, false
	}
	return appendNumber(to, text[first:last+1], negative, point, func(separator rune) bool {
		return separator == rune(thousands) || separator == '\'' || separator == '’' || unicode.Is(unicode.Zs, separator)
	})
}

var minuses = [][]byte{[]byte("-"), []byte("−")}

// cutMinus cuts a minus from the beginning or the end of text, by bytes.CutPrefix or
// bytes.CutSuffix, and white space around the rest.
func cutMinus(text []byte, cut func(text, minus []byte) ([]byte, bool)) (rest []byte, ok bool) {
	for _, minus := range minuses {
		if rest, ok = cut(text, minus); ok {
			break
		}
	}
	return bytes.TrimSpace(rest), ok
}

// isCurrency knows $, US$, USD and kr.
func isCurrency(text []byte) bool {
	if symbol, size := utf8.DecodeLastRune(text); isSymbol(symbol) {
		letters := text[:len(text)-size]
		return len(letters) <= 3 && isUpper(letters)
	}
	if len(text) == 3 && isUpper(text) {
		return strings.Contains(currencies, string(text))
	}
	return currencyWords[string(text)]
}

// isSymbol knows $ and €.
func isSymbol(r rune) bool { return unicode.Is(unicode.Sc, r) }

func isUpper(letters []byte) bool {
	for _, c := range letters {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return true
}

// appendNumber appends a number as numeric takes it. The whole part may be
// separated into thousands, all by the same separator.
func appendNumber(to, text []byte, negative bool, point byte, separates func(rune) bool) (longer, number []byte, ok bool) {
	begin := len(to)
	if negative {
		to = append(to, '-')
	}
	whole, rest := cutDigits(text)
	if len(whole) == 0 {
		whole = []byte("0") // .99
	}
	to = append(to, whole...)
	for separator := rune(0); len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		var digits []byte
		digits, rest = cutDigits(rest[size:])
		switch {
		case r == rune(point) && len(digits) > 0 && len(rest) == 0:
			to = append(append(to, '.'), digits...)
		case separates(r) && (separator == 0 || r == separator) && len(digits) == 3 && len(whole) <= 3 && whole[0] != '0':
			separator = r
			to = append(to, digits...)
		default:
			return to[:begin], nil, false
		}
	}
	return to, to[begin:], true
}

// firstNumber takes the first number of a text, written with a point: 12 of "12
// in stock", 1299.5 of "only 1,299.5 km".
func firstNumber(into, text []byte) (longer, cleaned []byte, err error) {
	first := bytes.IndexAny(text, "0123456789")
	if first < 0 {
		return into, nil, errNoNumber
	}
	before := text[:first]
	if rest, point := bytes.CutSuffix(before, []byte(".")); point && standsAlone(rest) {
		before = rest
		first--
	}
	before = bytes.TrimRightFunc(before, isSymbol) // -$5
	before, negative := cutMinus(before, bytes.CutSuffix)
	negative = negative && standsAlone(before)
	text = text[first:]
	end := bytes.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789.,'’", r) })
	if end < 0 {
		end = len(text)
	}
	number := bytes.TrimRight(text[:end], ".,'’") // of the sentence
	if isThousands(number, text[len(number):]) {
		return into, nil, errWhichNumber
	}
	longer, cleaned, ok := appendNumber(into, number, negative, '.', func(separator rune) bool {
		return strings.ContainsRune(",'’", separator)
	})
	if !ok {
		return into, nil, errWhichNumber
	}
	return longer, cleaned, nil
}

// standsAlone says whether a number may begin after the text: nothing of a word
// or of another number precedes it.
func standsAlone(before []byte) bool {
	r, _ := utf8.DecodeLastRune(before)
	return len(before) == 0 || unicode.IsSpace(r) || isSymbol(r) || strings.ContainsRune("(-−:", r)
}

// isThousands says whether a number may be the thousands of a longer one, as
// three digits follow after a space: 1 299.
func isThousands(number, after []byte) bool {
	_, rest := cutDigits(number)
	r, size := utf8.DecodeRune(after)
	digits, _ := cutDigits(after[size:])
	return len(number) <= 3 && len(rest) == 0 && unicode.IsSpace(r) && len(digits) == 3
}
