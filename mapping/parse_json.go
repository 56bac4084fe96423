package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

var (
	errNotJSON     = errors.New("is not JSON")
	errJSONEscape  = errors.New(`is JSON with a character that PostgreSQL does not take (\u0000, or half of a surrogate pair)`)
	errJSONTooDeep = fmt.Errorf("is JSON nested more than %d deep", maxDepth)
)

// maxDepth is how deep JSON may be nested that is parsed. PostgreSQL's stack takes
// some thousands.
const maxDepth = 1000

// parsedJSON is text as jsonb takes it, nil for null.
func parsedJSON(text []byte) ([]byte, error) {
	if !json.Valid(text) {
		return nil, errNotJSON
	}
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return nil, nil
	}
	depth := 0
	for s := (scanner{data: text}); s.at < len(text); {
		begin := s.at
		switch c := text[s.at]; {
		case c == '"':
			s.text()
			if !hasCharacters(text[begin+1 : s.at-1]) {
				return nil, errJSONEscape
			}
			continue
		case c == '-' || (c >= '0' && c <= '9'):
			for s.at < len(text) && bytes.IndexByte([]byte("+-.eE0123456789"), text[s.at]) >= 0 {
				s.at++
			}
			if number, _ := parseDecimal(text[begin:s.at]); number.checkNumeric() != nil {
				return nil, errTooManyDigits
			}
			continue
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return nil, errJSONTooDeep
			}
		case c == '}' || c == ']':
			depth--
		}
		s.at++
	}
	return text, nil
}

// hasCharacters says whether PostgreSQL has a character for each escape in a
// JSON string.
func hasCharacters(text []byte) bool {
	for {
		next := bytes.IndexByte(text, '\\')
		if next < 0 {
			return true
		}
		if text[next+1] != 'u' {
			text = text[next+2:]
			continue
		}
		unit := utf16Unit(text[next+2:])
		text = text[next+6:]
		switch {
		case unit == 0 || (unit >= 0xDC00 && unit < 0xE000):
			return false
		case unit >= 0xD800 && unit < 0xDC00:
			if !bytes.HasPrefix(text, []byte(`\u`)) {
				return false
			}
			if low := utf16Unit(text[2:]); low < 0xDC00 || low > 0xDFFF {
				return false
			}
			text = text[6:]
		}
	}
}
