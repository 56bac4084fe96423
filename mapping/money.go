package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
)

var (
	errNoNumber    = errors.New("has no number")
	errWhichNumber = errors.New("has an ambiguous first number")
)

// amounts is the format of amounts that a cleaner reads: as in $1,299.00 or in 1.299,00 €.
type amounts struct {
	cleaner               string // its name
	point, thousands      byte
	errNone, errThousands error
}

var (
	money = &amounts{"money", '.', ',',
		errors.New("is not an amount that the cleaner money knows, such as $1,299.00"),
		errors.New("has three digits after its point, which may be thousands: the cleaner money-comma reads them as thousands")}
	moneyComma = &amounts{"money-comma", ',', '.',
		errors.New("is not an amount that the cleaner money-comma knows, such as 1.299,00 €"),
		errors.New("has three digits after its comma, which may be thousands: the cleaner money reads them as thousands")}
)

// isDigit reports whether r is an ASCII digit.
func isDigit(r rune) bool { return r >= '0' && r <= '9' }

// clean converts an amount of money to a number for numeric: $1,299.00 to 1299.00. A
// currency may precede or follow the number; a minus may precede the currency or the
// number.
func (a *amounts) clean(into, text []byte) (longer, number []byte, err error) {
	text = bytes.TrimFunc(text, isBlank)
	if bytes.ContainsFunc(text, isOfOtherScript) {
		var ok bool
		if into, text, ok = a.appendASCII(into, text); !ok {
			return into, nil, a.errNone
		}
	}
	first, last := bytes.IndexFunc(text, isDigit), bytes.LastIndexFunc(text, isDigit)
	if first < 0 {
		return into, nil, a.errNone
	}
	before, negative := cutMinus(bytes.TrimRightFunc(text[:first], isBlank), bytes.CutPrefix)
	if first > 0 && text[first-1] == a.point {
		if _, abbreviation := currencyOf(before); !abbreviation { // $.99, not Rs.500
			before = bytes.TrimRightFunc(before[:len(before)-1], isBlank)
			first--
		}
	}
	if !negative {
		before, negative = cutMinus(before, bytes.CutSuffix)
		before = bytes.TrimRightFunc(before, isBlank)
	}
	digits := text[first : last+1]
	after := a.cutNoDecimals(digits, text[last+1:])
	var of currency
	for i, word := range [...][]byte{before, after} {
		if len(word) == 0 {
			continue
		}
		c, ok := currencyOf(word)
		if !ok || i == 1 && len(word) == 1 && word[0] != '$' { // 5 R
			return into, nil, fmt.Errorf("has %q next to its number, which is not a currency that the cleaner %s knows", shortened(string(word)), a.cleaner)
		}
		of = currency{lakhs: of.lakhs || c.lakhs, thousand: of.thousand || c.thousand}
	}
	if len(before)+len(after) > 0 && !of.thousand && a.mayBeThousands(digits) {
		return into, nil, a.errThousands
	}
	longer, number, ok := appendNumber(into, digits, negative, a.point, of.lakhs, func(separator rune) bool {
		return separator == rune(a.thousands) || separator == '\'' || separator == '’' || unicode.Is(unicode.Zs, separator)
	})
	if !ok {
		err = a.errNone
	}
	return longer, number, err
}

// isOfOtherScript reports whether a character is a digit or a separator of a non-Latin
// script.
func isOfOtherScript(r rune) bool {
	return r > unicode.MaxLatin1 && (r == '٫' || r == '٬' || r == '．' || r == '，' || unicode.IsDigit(r))
}

// appendASCII appends the text with the digits of other scripts in ASCII: 123.5 for ١٢٣٫٥.
// ok is false for digits of two scripts.
func (a *amounts) appendASCII(to, text []byte) (longer, ascii []byte, ok bool) {
	begin, zero := len(to), rune(-1)
	for _, r := range jsontext.AsString(text) {
		switch {
		case r == '٫':
			r = rune(a.point)
		case r == '٬':
			r = rune(a.thousands)
		case r == '．':
			r = '.'
		case r == '，':
			r = ','
		case unicode.IsDigit(r): // a script's digits are consecutive
			first := r
			for unicode.IsDigit(first - 1) {
				first--
			}
			value := (r - first) % 10
			if zero >= 0 && zero != r-value {
				return to[:begin], nil, false
			}
			zero, r = r-value, '0'+value
		}
		to = utf8.AppendRune(to, r)
	}
	return to, to[begin:], true
}

// cutNoDecimals removes, from the text after a number, a sign for no decimals, as in 29.-,
// 29:- and 500/-, and white space.
func (a *amounts) cutNoDecimals(number, after []byte) (rest []byte) {
	if len(after) > 1 {
		switch sign := after[0]; {
		case sign == '/' && (after[1] == '-' || after[1] == '='):
			after = after[2:]
		case (sign == '.' || sign == ':' || sign == a.point) && bytes.IndexByte(number, a.point) < 0:
			if rest := bytes.TrimLeft(after[1:], "-–—−"); len(rest) < len(after)-1 {
				after = rest
			}
		}
	}
	return bytes.TrimLeftFunc(after, isBlank)
}

// mayBeThousands reports whether the decimals of a number may be thousands: in 1.299, not
// in 0.999, 1299.999 or 1,299.999.
func (a *amounts) mayBeThousands(number []byte) bool {
	whole, rest := cutDigits(number)
	return len(whole) > 0 && len(whole) <= 3 && whole[0] != '0' && len(rest) == 4 && rest[0] == a.point
}

// cutMinus removes a minus from the start or the end of text, with bytes.CutPrefix or
// bytes.CutSuffix.
func cutMinus(text []byte, cut func(text, minus []byte) ([]byte, bool)) (rest []byte, ok bool) {
	if rest, ok = cut(text, []byte("-")); !ok {
		rest, ok = cut(text, []byte("−"))
	}
	return rest, ok
}

// appendNumber appends a number for numeric. The integer part may be grouped into thousands
// by one separator, or by commas into lakhs: groups of two digits, except the last three.
func appendNumber(to, text []byte, negative bool, point byte, lakhs bool, separates func(rune) bool) (longer, number []byte, ok bool) {
	begin := len(to)
	if negative {
		to = append(to, '-')
	}
	whole, rest := cutDigits(text)
	if len(whole) == 0 {
		whole = []byte("0") // .99
	}
	to = append(to, whole...)
	twos, more := 0, func(rest []byte) bool { return len(rest) > 0 && rest[0] == ',' }
	for separator, groups := rune(0), 0; len(rest) > 0; groups++ {
		r, size := utf8.DecodeRune(rest)
		var digits []byte
		digits, rest = cutDigits(rest[size:])
		separated := separates(r) && (groups == 0 || r == separator) && len(whole) <= 3 && whole[0] != '0'
		switch {
		case r == rune(point) && len(digits) > 0 && len(rest) == 0:
			to = append(to, '.')
		case separated && len(digits) == 3 && (twos == 0 || !more(rest)):
		case separated && len(digits) == 2 && lakhs && r == ',' && twos == groups && len(whole) < 3 && more(rest):
			twos++
		default:
			return to[:begin], nil, false
		}
		separator = r
		to = append(to, digits...)
	}
	return to, to[begin:], true
}

// firstNumber extracts the first number of a text, with a decimal point: 12 from "12 in
// stock", 1299.5 from "only 1,299.5 km".
func firstNumber(into, text []byte) (longer, cleaned []byte, err error) {
	first := bytes.IndexFunc(text, isDigit)
	if first < 0 {
		return into, nil, errNoNumber
	}
	before := text[:first]
	if rest, point := bytes.CutSuffix(before, []byte(".")); point && mayPrecede(rest) {
		before = rest
		first--
	}
	before = bytes.TrimRightFunc(before, isSymbol) // -$5
	before, negative := cutMinus(before, bytes.CutSuffix)
	negative = negative && mayPrecede(bytes.TrimSpace(before))
	text = text[first:]
	end := bytes.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune("0123456789.,'’", r) })
	if end < 0 {
		end = len(text)
	}
	number := bytes.TrimRight(text[:end], ".,'’") // of the sentence
	if isThousands(number, text[len(number):]) {
		return into, nil, errWhichNumber
	}
	longer, cleaned, ok := appendNumber(into, number, negative, '.', false, func(separator rune) bool {
		return strings.ContainsRune(",'’", separator)
	})
	if !ok {
		return into, nil, errWhichNumber
	}
	return longer, cleaned, nil
}

// mayPrecede reports whether a number may start after the text: it does not end in a word
// or in another number.
func mayPrecede(before []byte) bool {
	r, _ := utf8.DecodeLastRune(before)
	return len(before) == 0 || unicode.IsSpace(r) || isSymbol(r) || strings.ContainsRune("(-−:", r)
}

// isThousands reports whether a number may be the thousands of a longer one, as three
// digits follow after a space: 1 299.
func isThousands(number, after []byte) bool {
	_, rest := cutDigits(number)
	r, size := utf8.DecodeRune(after)
	digits, _ := cutDigits(after[size:])
	return len(number) <= 3 && len(rest) == 0 && unicode.IsSpace(r) && len(digits) == 3
}
