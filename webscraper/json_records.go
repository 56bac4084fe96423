package webscraper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// parseJSONRecord returns the members of the object that a line is to be.
func parseJSONRecord(line *Row) ([]Field, error) {
	if !utf8.Valid(line.Raw) {
		return nil, errNotUTF8
	}
	var syntaxErr *json.SyntaxError
	if err := json.Unmarshal(line.Raw, new(json.RawMessage)); errors.As(err, &syntaxErr) {
		if line.Unterminated {
			return nil, fmt.Errorf("the last line has no newline and is not complete JSON: %w", err)
		}
		return nil, fmt.Errorf("not JSON at byte %d of the line: %w", syntaxErr.Offset, err)
	}
	if line.Raw[0] != '{' {
		return nil, fmt.Errorf("not a JSON object: %.40q", line.Raw)
	}
	return objectFields(line.Raw)
}

// objectFields returns the members of a JSON object that is known to be valid.
func objectFields(data []byte) ([]Field, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	var fields []Field
	index := map[string]int{}
	for dec.More() {
		column, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		value, err := fieldValue(raw)
		if err != nil {
			return nil, err
		}
		field := Field{Column: column.(string), Value: value}
		if i, ok := index[field.Column]; ok {
			fields[i] = field
			continue
		}
		index[field.Column] = len(fields)
		fields = append(fields, field)
	}
	return fields, nil
}

// fieldValue returns a JSON value as one of the types that [Field] lists.
func fieldValue(raw json.RawMessage) (any, error) {
	switch raw[0] {
	case '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err
	case 'n':
		return nil, nil
	case 't', 'f':
		return raw[0] == 't', nil
	case '{', '[':
		return raw, nil
	default:
		return json.Number(raw), nil
	}
}
