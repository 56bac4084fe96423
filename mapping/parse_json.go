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
	decoder, depth := json.NewDecoder(bytes.NewReader(text)), 0
	decoder.UseNumber()
	for token, err := decoder.Token(); err == nil; token, err = decoder.Token() {
		switch token := token.(type) {
		case json.Number:
			if number, _ := parseDecimal([]byte(token)); number.checkNumeric() != nil {
				return nil, errTooManyDigits
			}
		case json.Delim:
			if token == '}' || token == ']' {
				depth--
			} else if depth++; depth > maxDepth {
				return nil, errJSONTooDeep
			}
		}
	}
	return text, nil
}
