package mapping

import (
	"bytes"
	"errors"
	"math"
	"strconv"
)

// maxExponent exceeds the exponent of any PostgreSQL numeric.
const maxExponent = 1_000_000

var (
	errNotANumber      = errors.New("is not a number")
	errNotWhole        = errors.New("is not a whole number")
	errIntegerTooLarge = errors.New("is beyond the range of a 64-bit integer")
)

// decimal is a number as written: whole.fraction × 10^exponent.
type decimal struct {
	negative        bool
	whole, fraction []byte // digits; one of them may be empty
	exponent        int
}

// parseDecimal parses a plain decimal number: digits, at most one point, an optional
// exponent.
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

// appendInteger appends the number as a 64-bit integer.
func (d decimal) appendInteger(to []byte) ([]byte, error) {
	digits := bytes.TrimLeft(append(append(to, d.whole...), d.fraction...)[len(to):], "0")
	before := len(digits) - len(d.fraction) + d.exponent // digits before the point
	digits = bytes.TrimRight(digits, "0")
	switch {
	case len(digits) == 0:
		return append(to, '0'), nil
	case before > 19:
		return to, errIntegerTooLarge
	case before < len(digits):
		return to, errNotWhole
	}
	var n uint64 // holds 19 digits
	for i := range before {
		n *= 10
		if i < len(digits) {
			n += uint64(digits[i] - '0')
		}
	}
	switch {
	case d.negative && n <= -math.MinInt64:
		return strconv.AppendInt(to, -int64(n), 10), nil
	case !d.negative && n <= math.MaxInt64:
		return strconv.AppendUint(to, n, 10), nil
	}
	return to, errIntegerTooLarge
}
