package webscraper

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"unicode/utf8"
)

// csvRows splits a CSV file into the rows below its header, and those into values.
type csvRows struct {
	*lines
	columns []string
	// headerErr is the Err of every row.
	headerErr error
	unquoted  []byte // holds the values that had quotes in them
	values    [][]byte
}

// begin reads the header, the first line that is not blank. It is not quoted, so that
// a quote in it is part of a name.
func (r *csvRows) begin() {
	for !r.readRow(false) || len(bytes.Trim(r.row.Raw, "\r")) == 0 {
		if r.ended || r.failure != nil {
			return
		}
	}
	if r.row.Size > int64(r.max) {
		r.headerErr = fmt.Errorf("it is %d bytes long, of %d allowed", r.row.Size, r.max)
		return
	}
	names := csv.NewReader(bytes.NewReader(r.row.Raw))
	names.LazyQuotes = true
	if r.columns, r.headerErr = names.Read(); r.headerErr != nil {
		return
	}
	for _, column := range r.columns {
		if !utf8.ValidString(column) {
			r.headerErr = fmt.Errorf("the column %q is not valid UTF-8", column)
		}
	}
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

// readRow reads up to the next newline, or, if quotes count, to the next one
// outside of quotes, or to the end of the file. It reports whether it found
// something that is not blank.
func (r *csvRows) readRow(quotes bool) bool {
	var place csvPlace
	row, last, err := r.next(func(piece []byte) bool {
		if quotes {
			place = place.after(piece)
		}
		return place != inQuotes
	})
	if err != nil {
		r.failure = fmt.Errorf("webscraper: read CSV at byte %d: %w", row.Offset, err)
		return false
	}
	whole := row.Size == int64(len(row.Raw))
	row.Size -= int64(len(last) - len(trimLineEnd(last)))
	if whole {
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

// parse returns the row's values, or why it is not a record.
func (r *csvRows) parse() ([][]byte, error) {
	if r.row.Size > int64(r.max) {
		return nil, tooLong(r.row.Size, r.max)
	}
	if r.headerErr != nil {
		return nil, fmt.Errorf("the header is not readable: %w", r.headerErr)
	}
	r.values, r.unquoted = r.values[:0], r.unquoted[:0]
	for rest, more := r.row.Raw, true; more; {
		var value []byte
		var err error
		if value, rest, more, err = r.cutValue(rest); err != nil {
			return nil, fmt.Errorf("%w, value %d", err, len(r.values)+1)
		}
		r.values = append(r.values, value)
	}
	if len(r.values) != len(r.columns) {
		return nil, fmt.Errorf("%w: %d values for %d columns", csv.ErrFieldCount, len(r.values), len(r.columns))
	}
	for i, value := range r.values {
		if !utf8.Valid(value) {
			return nil, fmt.Errorf("%w in column %q", errNotUTF8, r.columns[i])
		}
	}
	return r.values, nil
}

// cutValue cuts a row after its first value; more says whether a comma follows.
func (r *csvRows) cutValue(row []byte) (value, rest []byte, more bool, err error) {
	if len(row) == 0 || row[0] != '"' {
		value, rest, more = bytes.Cut(row, []byte(","))
		if bytes.IndexByte(value, '"') >= 0 {
			err = csv.ErrBareQuote
		}
		return value, rest, more, err
	}
	begin := len(r.unquoted)
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
	if len(r.unquoted) > begin {
		r.unquoted = append(r.unquoted, value...)
		value = r.unquoted[begin:]
	}
	switch {
	case len(rest) == 0:
		return value, nil, false, nil
	case rest[0] == ',':
		return value, rest[1:], true, nil
	default:
		return nil, nil, false, csv.ErrQuote
	}
}

// csvPlace is where in a row a byte stands.
type csvPlace int

const (
	atValue csvPlace = iota
	inValue
	inQuotes
	// afterQuote follows a quote within quotes: the first half of a doubled one,
	// or the end.
	afterQuote
)

// after is the place after so many bytes more. A misplaced quote does not count:
// the row then ends with its line.
func (p csvPlace) after(chunk []byte) csvPlace {
	for len(chunk) > 0 {
		switch p {
		case inQuotes:
			quote := bytes.IndexByte(chunk, '"')
			if quote < 0 {
				return inQuotes
			}
			p, chunk = afterQuote, chunk[quote+1:]
		case inValue:
			comma := bytes.IndexByte(chunk, ',')
			if comma < 0 {
				return inValue
			}
			p, chunk = atValue, chunk[comma+1:]
		default:
			switch chunk[0] {
			case '"':
				p = inQuotes
			case ',':
				p = atValue
			default:
				p = inValue
			}
			chunk = chunk[1:]
		}
	}
	return p
}
