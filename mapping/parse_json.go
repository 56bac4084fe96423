package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
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
	if jsontext.UnstorableEscape(text) >= 0 {
		return nil, errJSONEscape
	}
	depth := 0
	for at := 0; at < len(text); at++ {
		switch c := text[at]; {
		case c == '"':
			at = jsontext.StringEnd(text, at) - 1
		case c == '-' || (c >= '0' && c <= '9'):
			end := at
			for end < len(text) && bytes.IndexByte([]byte("+-.eE0123456789"), text[end]) >= 0 {
				end++
			}
			if number, _ := parseDecimal(text[at:end]); number.checkNumeric() != nil {
				return nil, errTooManyDigits
			}
			at = end - 1
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return nil, errJSONTooDeep
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return text, nil
}
