package webscraper

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strings"
	"unicode/utf8"
)

// csvRows splits a CSV file into the rows below its header, and rows into values.
type csvRows struct {
	*lines
	csvForm
	columns  []string
	unquoted []byte // values that had quotes in them
	values   [][]byte
}

func (r *csvRows) start() {
	if r.csvForm, r.failure = findCSVForm(r.lines); r.failure != nil {
		return
	}
	var err error
	if r.columns, err = r.readHeader(); err != nil {
		r.failure = unreadable("its header is invalid: %w", err)
	}
}

// readHeader reads the column names from the first line that is not blank.
func (r *csvRows) readHeader() (columns []string, err error) {
	for !r.readRow(r.quotedNames) || len(bytes.Trim(r.row.Raw, "\r")) == 0 {
		if r.ended || r.failure != nil {
			return nil, nil
		}
	}
	if r.row.Size > int64(r.max) {
		return nil, tooLong(r.row.Size, r.max)
	}
	if !r.quotedNames {
		return strings.Split(string(r.row.Raw), string(rune(r.comma))), nil
	}
	values, err := r.split()
	for _, value := range values {
		columns = append(columns, string(value))
	}
	return columns, err
}

func (r *csvRows) read() bool {
	if !r.readRow(true) {
		return false
	}
	if r.row.Values, r.row.Err = r.parse(); r.row.Err == nil {
		r.row.Columns = r.columns
	}
	return true
}

// readRow reads up to the end of the file or the next newline; if quotes is true,
// newlines within quotes do not count. It reports whether the row is not blank.
func (r *csvRows) readRow(quotes bool) bool {
	var place csvPlace
	row, last, err := r.next(func(piece []byte) bool {
		if quotes {
			place = place.after(piece, r.comma)
		}
		return place != inQuotes
	})
	if err != nil {
		r.failure = fmt.Errorf("webscraper: read CSV at byte %d: %w", row.Offset, err)
		return false
	}
	complete := row.Size == int64(len(row.Raw))
	row.Size -= int64(len(last) - len(trimLineEnd(last)))
	if complete {
		row.Raw = trimLineEnd(row.Raw)
		row.Size = int64(len(row.Raw))
	}
	if row.Size > int64(r.max) {
		row.cut()
	}
	r.row = row
	return row.Size > 0
}

func trimLineEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

func (r *csvRows) parse() ([][]byte, error) {
	if r.row.Size > int64(r.max) {
		return nil, tooLong(r.row.Size, r.max)
	}
	values, err := r.split()
	if err != nil {
		return nil, err
	}
	if len(values) != len(r.columns) {
		return nil, fmt.Errorf("%w: %d values for %d columns", csv.ErrFieldCount, len(values), len(r.columns))
	}
	for i, value := range values {
		if !utf8.Valid(value) {
			return nil, fmt.Errorf("the record is not valid UTF-8 in column %q", r.columns[i])
		}
	}
	return values, nil
}

// split returns the row's values, valid until the next call.
func (r *csvRows) split() ([][]byte, error) {
	r.values, r.unquoted = r.values[:0], r.unquoted[:0]
	for rest, more := r.row.Raw, true; more; {
		var value []byte
		var err error
		if value, rest, more, err = r.cutValue(rest); err != nil {
			return nil, fmt.Errorf("%w, value %d", err, len(r.values)+1)
		}
		r.values = append(r.values, value)
	}
	return r.values, nil
}

// cutValue cuts a row after its first value; more reports whether another one follows.
func (r *csvRows) cutValue(row []byte) (value, rest []byte, more bool, err error) {
	if len(row) == 0 || row[0] != '"' {
		value, rest, more = row, nil, false
		if comma := bytes.IndexByte(row, r.comma); comma >= 0 {
			value, rest, more = row[:comma], row[comma+1:], true
		}
		if bytes.IndexByte(value, '"') >= 0 {
			err = csv.ErrBareQuote
		}
		return value, rest, more, err
	}
	start := len(r.unquoted)
	for rest = row[1:]; ; {
		quote := bytes.IndexByte(rest, '"')
		if quote < 0 {
			return nil, nil, false, csv.ErrQuote
		}
		value, rest = rest[:quote], rest[quote+1:]
		if len(rest) == 0 || rest[0] != '"' {
			break
		}
		r.unquoted = append(append(r.unquoted, value...), '"')
		rest = rest[1:]
	}
	if len(r.unquoted) > start {
		r.unquoted = append(r.unquoted, value...)
		value = r.unquoted[start:]
	}
	switch {
	case len(rest) == 0:
		return value, nil, false, nil
	case rest[0] == r.comma:
		return value, rest[1:], true, nil
	default:
		return nil, nil, false, csv.ErrQuote
	}
}

// csvPlace is where a byte is in a row.
type csvPlace int

const (
	atValue csvPlace = iota
	inValue
	inQuotes
	// afterQuote follows a quote within quotes: the first half of a doubled one, or
	// the closing one.
	afterQuote
)

// after returns the place after chunk. A misplaced quote does not count: the row
// then ends with its line.
func (p csvPlace) after(chunk []byte, comma byte) csvPlace {
	for len(chunk) > 0 {
		switch p {
		case inQuotes:
			quote := bytes.IndexByte(chunk, '"')
			if quote < 0 {
				return inQuotes
			}
			p, chunk = afterQuote, chunk[quote+1:]
		case inValue:
			end := bytes.IndexByte(chunk, comma)
			if end < 0 {
				return inValue
			}
			p, chunk = atValue, chunk[end+1:]
		default:
			switch chunk[0] {
			case '"':
				p = inQuotes
			case comma:
				p = atValue
			default:
				p = inValue
			}
			chunk = chunk[1:]
		}
	}
	return p
}
