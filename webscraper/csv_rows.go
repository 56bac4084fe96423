package webscraper

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// csvRows splits a CSV file into the rows below its header, and those into values.
type csvRows struct {
	br      *bufio.Reader
	max     int
	columns []string
	// headerErr is the Err of every row.
	headerErr error
	begun     bool // the header has been read
	resume    func() error

	long     []byte // collects a row that did not come in one piece
	unquoted []byte // holds the values that had quotes in them
	values   [][]byte
	row      Row
	offset   int64 // of the next byte
	rows     int64 // rows returned so far
	lines    int64 // lines read so far, blank ones included
	rowLine  int64 // the row's first line
	ended    bool  // the end of the file was reached
	failure  error
}

func newCSVRows(r io.Reader, maxRecordBytes int) *csvRows {
	return &csvRows{br: bufio.NewReaderSize(r, maxPrefixBytes), max: maxRecordBytes}
}

func (r *csvRows) next() bool {
	if !r.begun {
		r.begun = true
		r.readHeader()
		if r.failure == nil && r.resume != nil {
			r.failure = r.resume()
		}
	}
	for !r.ended && r.failure == nil {
		if r.read(true) {
			r.rows++
			r.row.Number = r.rows
			if r.row.Values, r.row.Err = r.parse(); r.row.Err == nil {
				r.row.Columns = r.columns
			}
			return true
		}
	}
	r.row = Row{}
	return false
}

func (r *csvRows) current() *Row { return &r.row }
func (r *csvRows) line() int64   { return r.rowLine }
func (r *csvRows) err() error    { return r.failure }

// goOn has the next row be the one after end.
func (r *csvRows) goOn(file io.ReadSeeker, end, number int64) error {
	if end <= r.offset {
		return nil
	}
	if _, err := file.Seek(end, io.SeekStart); err != nil {
		return fmt.Errorf("webscraper: resume CSV at byte %d: %w", end, err)
	}
	r.br.Reset(file)
	r.offset, r.rows = end, number
	return nil
}

// readHeader reads the first line that is not blank. It is not quoted, so that a
// quote in it is part of a name.
func (r *csvRows) readHeader() {
	if r.failure != nil {
		return
	}
	// An error of Peek comes again when the line is read.
	if mark, _ := r.br.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		n, _ := r.br.Discard(len(byteOrderMark))
		r.offset += int64(n)
	}
	for !r.read(false) || len(bytes.Trim(r.row.Raw, "\r")) == 0 {
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

// read reads up to the next newline, or, if quotes count, to the next one
// outside of quotes, or to the end of the file. It reports whether it found
// something that is not blank.
func (r *csvRows) read(quotes bool) bool {
	row := Row{Offset: r.offset}
	var raw, chunk []byte
	var place csvPlace
	r.long = r.long[:0]
	r.rowLine = r.lines + 1
	for more := true; more; {
		var err error
		chunk, err = r.br.ReadSlice('\n')
		r.offset += int64(len(chunk))
		if quotes {
			place = place.after(chunk)
		}
		switch {
		case err == nil:
			r.lines++
			more = place == inQuotes
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF: // itself: a reader may wrap it in an error that is not the end
			r.ended, more = true, false
		default:
			r.failure = fmt.Errorf("webscraper: read CSV at byte %d: %w", row.Offset, err)
			return false
		}
		row.Size += int64(len(chunk))
		raw = r.collect(chunk, more)
	}
	row.End = r.offset
	if row.Size == int64(len(raw)) {
		row.Raw = trimLineEnd(raw)
		row.Size = int64(len(row.Raw))
	} else {
		row.Raw = raw
		row.Size -= int64(len(chunk) - len(trimLineEnd(chunk)))
	}
	if row.Size > int64(r.max) {
		row.Raw = row.Raw[:min(len(row.Raw), maxPrefixBytes)]
		row.Cut = int64(len(row.Raw)) < row.Size
	}
	r.row = row
	return row.Size > 0
}

func trimLineEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}

// collect adds chunk to what was read of the row and returns it all, or as much
// as is kept of a row that is too long. A row that came in one chunk is not
// copied.
func (r *csvRows) collect(chunk []byte, more bool) []byte {
	if len(r.long) == 0 && !more {
		return chunk
	}
	// Two bytes over the limit are kept: they may be the line end.
	room := max(r.max, maxPrefixBytes) + 2 - len(r.long)
	r.long = append(r.long, chunk[:min(room, len(chunk))]...)
	return r.long
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
