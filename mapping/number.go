package mapping

import (
	"bytes"
	"errors"
	"strconv"
)

// maxExponent is more than any number that PostgreSQL's numeric holds can need.
const maxExponent = 1_000_000

var (
	errNotANumber      = errors.New("is not a number")
	errNotWhole        = errors.New("is not a whole number")
	errIntegerTooLarge = errors.New("is beyond the range of a 64-bit integer")
)

// decimal is a number as it is written: whole.fraction × 10^exponent.
type decimal struct {
	negative        bool
	whole, fraction []byte // digits; one of them may be empty
	exponent        int
}

// parseDecimal reads a plain decimal number: digits, at most one point among
// them, an exponent.
func parseDecimal(text []byte) (d decimal, ok bool) {
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		d.negative = text[0] == '-'
		text = text[1:]
	}
	d.whole, text = cutDigits(text)
	if len(text) > 0 && text[0] == '.' {
		d.fraction, text = cutDigits(text[1:])
	}
	if len(d.whole)+len(d.fraction) == 0 {
		return d, false
	}
	if len(text) == 0 {
		return d, true
	}
	if text[0] != 'e' && text[0] != 'E' {
		return d, false
	}
	text = text[1:]
	sign := 1
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		if text[0] == '-' {
			sign = -1
		}
		text = text[1:]
	}
	digits, rest := cutDigits(text)
	if len(digits) == 0 || len(rest) > 0 {
		return d, false
	}
	for _, c := range digits {
		d.exponent = min(10*d.exponent+int(c-'0'), maxExponent+1)
	}
	d.exponent *= sign
	return d, true
}

func cutDigits(text []byte) (digits, rest []byte) {
	for i, c := range text {
		if c < '0' || c > '9' {
			return text[:i], text[i:]
		}
	}
	return text, nil
}

// significant returns the digits of the whole part without zeros before them,
// or, when that is 0, those of the fraction, and how many digits before the point
// the first of them is; negative when zeros stand between.
func (d decimal) significant() (first []byte, before int) {
	if first = bytes.TrimLeft(d.whole, "0"); len(first) > 0 {
		return first, len(first) + d.exponent
	}
	first = bytes.TrimLeft(d.fraction, "0")
	return first, d.exponent - (len(d.fraction) - len(first))
}

// appendInteger appends the number as an integer of 64 bits.
func (d decimal) appendInteger(to []byte) ([]byte, error) {
	first, before := d.significant()
	if len(first) > 0 && before > 19 {
		return to, errIntegerTooLarge
	}
	begin := len(to)
	if d.negative {
		to = append(to, '-')
	}
	to = append(to, '0')
	left := len(d.whole) + d.exponent // of the digits before the point
	for _, digits := range [][]byte{d.whole, d.fraction} {
		for _, c := range digits {
			if left--; left >= 0 {
				to = append(to, c)
			} else if c != '0' {
				return to[:begin], errNotWhole
			}
		}
	}
	for ; left > 0 && len(first) > 0; left-- {
		to = append(to, '0')
	}
	n, err := strconv.ParseInt(string(to[begin:]), 10, 64)
	if err != nil {
		return to[:begin], errIntegerTooLarge
	}
	return strconv.AppendInt(to[:begin], n, 10), nil
}
