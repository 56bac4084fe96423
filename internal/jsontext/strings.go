package jsontext

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// AsString returns text without copying it, for a callee that does not keep it.
func AsString(text []byte) string { return unsafe.String(unsafe.SliceData(text), len(text)) } //nolint:gosec // avoids copying all data

// StringEnd returns the index after the string that starts at begin, or 0 if it does not
// end.
func StringEnd(text []byte, begin int) int {
	for end := begin + 1; ; end++ {
		quote := bytes.IndexByte(text[end:], '"')
		if quote < 0 {
			return 0
		}
		end += quote
		backslashes := 0
		for text[end-1-backslashes] == '\\' { // ends at the first quote
			backslashes++
		}
		if backslashes%2 == 0 {
			return end + 1
		}
	}
}

// Unescape decodes the text between a string's quotes. It returns text itself if there are
// no escapes; otherwise it appends the result to buffer and returns the longer buffer. As
// in encoding/json, a lone surrogate becomes U+FFFD.
func Unescape(buffer, text []byte) (longer, unescaped []byte) {
	if bytes.IndexByte(text, '\\') < 0 {
		return buffer, text
	}
	longer = appendUnescaped(buffer, text)
	return longer, longer[len(buffer):]
}

func appendUnescaped(buffer, text []byte) []byte {
	for {
		next := bytes.IndexByte(text, '\\')
		if next < 0 || next+1 == len(text) {
			return append(buffer, text...)
		}
		buffer = append(buffer, text[:next]...)
		c := text[next+1]
		text = text[next+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, size := decodeEscape(text)
			buffer = utf8.AppendRune(buffer, r)
			text = text[size:]
			continue
		} // others, such as quotes and slashes, mean themselves
		buffer = append(buffer, c)
	}
}

// UnstorableEscape returns the index of the first escape in valid JSON that PostgreSQL's
// text type cannot store, \u0000 or a lone surrogate, or -1.
func UnstorableEscape(text []byte) int {
	for at := 0; ; {
		next := bytes.IndexByte(text[at:], '\\') // only strings have any
		if next < 0 {
			return -1
		}
		at += next + 2
		if text[at-1] != 'u' {
			continue
		}
		r, size := decodeEscape(text[at:])
		if r == 0 || utf16.IsSurrogate(r) {
			return at - len(`\u`)
		}
		at += size
	}
}

// decodeEscape reads the digits after \u and, for the first half of a surrogate pair, the
// escape of the second half. It returns a lone surrogate unchanged.
func decodeEscape(text []byte) (r rune, size int) {
	r = utf16Unit(text)
	if utf16.IsSurrogate(r) && bytes.HasPrefix(text[4:], []byte(`\u`)) {
		if pair := utf16.DecodeRune(r, utf16Unit(text[6:])); pair != utf8.RuneError {
			return pair, 10
		}
	}
	return r, min(4, len(text))
}

// utf16Unit reads four hexadecimal digits. It returns U+FFFD if they are invalid.
func utf16Unit(text []byte) (unit rune) {
	if len(text) < 4 {
		return utf8.RuneError
	}
	for _, c := range text[:4] {
		unit <<= 4
		switch {
		case '0' <= c && c <= '9':
			unit |= rune(c - '0')
		case 'a' <= c && c <= 'f':
			unit |= rune(c - 'a' + 10)
		case 'A' <= c && c <= 'F':
			unit |= rune(c - 'A' + 10)
		default:
			return utf8.RuneError
		}
	}
	return unit
}

// shortEscapes has the letter after the backslash for control characters with a short
// escape.
var shortEscapes = [' ']byte{'\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r'}

// AppendQuote appends text as a JSON string, with the escapes that JSON requires.
func AppendQuote(to, text []byte) []byte {
	const hexDigits = "0123456789abcdef"
	to = append(to, '"')
	for {
		plain := plainLen(text)
		to = append(to, text[:plain]...)
		if plain == len(text) {
			return append(to, '"')
		}
		switch c := text[plain]; {
		case c >= ' ': // a quote, a backslash
			to = append(to, '\\', c)
		case shortEscapes[c] != 0:
			to = append(to, '\\', shortEscapes[c])
		default:
			to = append(to, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
		}
		text = text[plain+1:]
	}
}

// plainLen returns the length of the prefix that needs no escapes.
func plainLen(text []byte) int {
	for i, c := range text {
		if c < ' ' || c == '"' || c == '\\' {
			return i
		}
	}
	return len(text)
}
