package mapping

import (
	"bytes"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

var errNotAnObject = errors.New("the record is not a JSON object")

// scanner goes through a JSON object without decoding it. What is not JSON it
// goes through as far as it makes sense of it.
type scanner struct {
	data []byte
	at   int
}

// white goes over white space and returns the byte after it, 0 at the end.
func (s *scanner) white() byte {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// open goes over the object's brace and says whether a key follows.
func (s *scanner) open() (more bool, err error) {
	if s.white() != '{' {
		return false, errNotAnObject
	}
	s.at++
	switch s.white() {
	case '"':
		return true, nil
	case '}':
		return false, nil
	default:
		return false, errNotAnObject
	}
}

// member goes over a key and its value, both as they stand in the JSON, the key
// without its quotes, and says whether another key follows.
func (s *scanner) member() (key, value []byte, more bool, err error) {
	begin := s.at + 1
	if !s.text() {
		return nil, nil, false, errNotAnObject
	}
	key = s.data[begin : s.at-1]
	if s.white() != ':' {
		return nil, nil, false, errNotAnObject
	}
	s.at++
	first := s.white()
	begin = s.at
	if !s.value(first) {
		return nil, nil, false, errNotAnObject
	}
	value = s.data[begin:s.at]
	switch s.white() {
	case ',':
		s.at++
		if s.white() == '"' {
			return key, value, true, nil
		}
	case '}':
		return key, value, false, nil
	}
	return nil, nil, false, errNotAnObject
}

// text goes over a string, beginning at its quote.
func (s *scanner) text() bool {
	from := s.at + 1
	for end := from; ; end++ {
		quote := bytes.IndexByte(s.data[end:], '"')
		if quote < 0 {
			return false
		}
		end += quote
		backslashes := 0
		for s.data[end-1-backslashes] == '\\' { // ends at the first quote
			backslashes++
		}
		if backslashes%2 == 0 {
			s.at = end + 1
			return true
		}
	}
}

// value goes over a value that begins with first.
func (s *scanner) value(first byte) bool {
	switch first {
	case '"':
		return s.text()
	case '{', '[':
		return s.nested()
	}
	begin := s.at
	for ; s.at < len(s.data); s.at++ {
		switch s.data[s.at] {
		case ',', '}', ' ', '\t', '\r', '\n':
			return s.at > begin
		}
	}
	return false
}

// nested goes over an object or an array.
func (s *scanner) nested() bool {
	for depth := 0; s.at < len(s.data); s.at++ {
		switch s.data[s.at] {
		case '"':
			if !s.text() {
				return false
			}
			s.at--
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				s.at++
				return true
			}
		}
	}
	return false
}

// appendUnescaped appends the text that a JSON string stands for, given without
// its quotes. As in encoding/json, a lone surrogate becomes U+FFFD.
func appendUnescaped(to, text []byte) []byte {
	for {
		next := bytes.IndexByte(text, '\\')
		if next < 0 || next+1 == len(text) {
			return append(to, text...)
		}
		to = append(to, text[:next]...)
		c := text[next+1]
		text = text[next+2:]
		switch c {
		case 'b':
			to = append(to, '\b')
		case 'f':
			to = append(to, '\f')
		case 'n':
			to = append(to, '\n')
		case 'r':
			to = append(to, '\r')
		case 't':
			to = append(to, '\t')
		case 'u':
			unit := utf16Unit(text)
			text = text[min(4, len(text)):]
			if utf16.IsSurrogate(unit) {
				low := rune(0)
				if bytes.HasPrefix(text, []byte(`\u`)) {
					low = utf16Unit(text[2:])
				}
				if unit = utf16.DecodeRune(unit, low); unit != utf8.RuneError {
					text = text[6:]
				}
			}
			to = utf8.AppendRune(to, unit)
		default: // a quote, a backslash, a slash
			to = append(to, c)
		}
	}
}

// utf16Unit reads four hexadecimal digits; U+FFFD if they are not.
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

const hexDigits = "0123456789abcdef"

// appendQuoted appends text as a JSON string.
func appendQuoted(to, text []byte) []byte {
	to = append(to, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c < ' ':
			to = append(to, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
		default:
			to = append(to, c)
		}
	}
	return append(to, '"')
}
