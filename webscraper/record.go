package webscraper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// ErrRecordTooLong is the reason of a [RecordError] for a record over the
// reader's limit.
var ErrRecordTooLong = errors.New("the record is too long")

var errNotUTF8 = errors.New("the record is not valid UTF-8")

// Record is one scraped record.
type Record struct {
	// Number counts the records of the file, beginning with 1. A record that
	// could not be read has a number too.
	Number int64
	// Fields are the columns in the order of the file.
	Fields []Field
}

// Field is one column of a record.
type Field struct {
	Column string
	// Value is a string in every record of a CSV file and in most of a JSON
	// file. The others are nil, bool, [json.Number] with all its digits, and
	// [json.RawMessage] for an array or object as it stands in the file.
	Value any
}

// Value returns the value of a column, of the types that [Field] lists, and
// whether the record has that column.
//
// The built-in columns web-scraper-order and web-scraper-start-url, which newer
// exports spell web_scraper_order and web_scraper_start_url, are found by either
// name. The order, "<unix seconds>-<n>", is unique within one file, and different
// whenever a page is scraped anew.
func (r Record) Value(column string) (value any, ok bool) {
	for _, spelling := range spellings(column) {
		for _, field := range r.Fields {
			if field.Column == spelling {
				return field.Value, true
			}
		}
	}
	return nil, false
}

// spellings are the names that a column may have in the file, the given one first.
func spellings(column string) []string {
	if other, ok := otherSpelling[column]; ok {
		return []string{column, other}
	}
	return []string{column}
}

var otherSpelling = map[string]string{
	"web-scraper-order": "web_scraper_order", "web_scraper_order": "web-scraper-order",
	"web-scraper-start-url": "web_scraper_start_url", "web_scraper_start_url": "web-scraper-start-url",
}

// Text returns the value of a column as text: a string as it is, a number as
// its digits, a truth value as true or false, an array or object as JSON, and
// "" for null and for a column that the record does not have.
func (r Record) Text(column string) string {
	value, _ := r.Value(column)
	switch value := value.(type) {
	case string:
		return value
	case json.Number:
		return value.String()
	case bool:
		return strconv.FormatBool(value)
	case json.RawMessage:
		return string(value)
	default:
		return ""
	}
}

// MarshalJSON writes the record as an object with its columns in order.
func (r Record) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, field := range r.Fields {
		if i > 0 {
			b.WriteByte(',')
		}
		column, err := json.Marshal(field.Column)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(field.Value)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", field.Column, err)
		}
		b.Write(column)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// RecordError says which record of a file could not be read, and why.
type RecordError struct {
	// Line is the record's first line, beginning with 1, blank lines included.
	Line int64
	// Offset is the position in the file of that line's first byte.
	Offset int64
	Err    error
}

// Error returns the place and the reason.
func (e *RecordError) Error() string {
	return fmt.Sprintf("webscraper: line %d (byte %d): %v", e.Line, e.Offset, e.Err)
}

// Unwrap returns the reason.
func (e *RecordError) Unwrap() error { return e.Err }
