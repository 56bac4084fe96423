package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
)

var errNotJSON = errors.New("is not JSON")

// parsedJSON is the text, nil for null. What jsonb does not take of JSON, PostgreSQL
// refuses.
func parsedJSON(text []byte) ([]byte, error) {
	if !json.Valid(text) {
		return nil, errNotJSON
	}
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return nil, nil
	}
	return text, nil
}
