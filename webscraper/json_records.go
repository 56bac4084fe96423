package webscraper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"unicode/utf8"
)

// ReadJSONRecords reads the records of a JSON Lines file, such as one from
// [Client.DownloadScrapingJobJSON]. It holds one record in memory; the limit of
// its length is maxRecordBytes, and [DefaultMaxRecordBytes] if that is 0. Blank
// lines, \r\n and a byte order mark at the beginning are passed over.
//
// A line that is not a record, because it was cut, is not an object, is not
// UTF-8 or is too long, yields a [*RecordError], after which the reading goes on
// with the next line. An error of r is the last thing yielded. As everywhere in
// encoding/json, half a surrogate pair (\ud800) becomes U+FFFD, and of two
// columns with the same name the last counts.
//
// To decode records into a struct of your own, use [JSONLinesReader] and
// json.Unmarshal.
func ReadJSONRecords(r io.Reader, maxRecordBytes int) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		lines := NewJSONLinesReader(r, maxRecordBytes)
		for lines.Next() {
			line := lines.Line()
			fields, err := parseJSONRecord(line, lines.max)
			if err != nil {
				err = &RecordError{Line: lines.lines, Offset: line.Offset, Err: err}
			}
			if !yield(Record{Number: line.Number, Fields: fields}, err) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Record{}, err)
		}
	}
}

func parseJSONRecord(line Line, limit int) ([]Field, error) {
	if line.TooLong {
		return nil, fmt.Errorf("%w: %d bytes, of %d allowed", ErrRecordTooLong, line.Size, limit)
	}
	if !utf8.Valid(line.Data) {
		return nil, errNotUTF8
	}
	var syntaxErr *json.SyntaxError
	if err := json.Unmarshal(line.Data, new(json.RawMessage)); errors.As(err, &syntaxErr) {
		if line.Unterminated {
			return nil, fmt.Errorf("the last line has no newline and is not complete JSON: %w", err)
		}
		return nil, fmt.Errorf("not JSON at byte %d of the line: %w", syntaxErr.Offset, err)
	}
	if line.Data[0] != '{' {
		return nil, fmt.Errorf("not a JSON object: %.40q", line.Data)
	}
	return objectFields(line.Data)
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
