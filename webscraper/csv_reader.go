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

// CSVRow is one row of a CSV file, below the header.
type CSVRow struct {
	// Number counts the rows that are not blank, beginning with 1.
	Number int64
	// Offset is the position in the file of the row's first byte, and End the
	// position just after its line end.
	Offset, End int64
	// Raw is the row as it stands in the file, without its line end. Of a row
	// that is too long it is the first 64 KiB. Like Values it is valid until the
	// next call of Next.
	Raw []byte
	// Size is the length of the whole row in bytes, without its line end.
	Size int64
	// Values has one value for each column; nil beside an Err.
	Values [][]byte
	// Err says why the row is not a record: [ErrRecordTooLong],
	// [csv.ErrFieldCount], [csv.ErrQuote], [csv.ErrBareQuote], each with details,
	// that it is not UTF-8, or what is wrong with the header.
	Err error
}

// CSVReader reads the rows of a CSV file, such as a download of a scraping job:
// a byte order mark, one line with the names of the columns, and values that may
// contain newlines, which stay as they are. Blank lines are passed over. It
// needs memory for one row.
//
// After a row that is not a record it goes on with the next one: that begins
// after the next newline outside of quotes, so that a quote that is never closed
// takes the rest of the file along.
type CSVReader struct {
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
	row      CSVRow
	offset   int64 // of the next byte
	rows     int64 // rows returned so far
	lines    int64 // lines read so far, blank ones included
	rowLine  int64 // the row's first line
	ended    bool  // the end of the file was reached
	err      error
}

// NewCSVReader returns a reader of the rows of r. Rows longer than
// maxRecordBytes, quotes and newlines included, are not kept in memory but have
// [ErrRecordTooLong] as their Err; 0 means [DefaultMaxRecordBytes].
func NewCSVReader(r io.Reader, maxRecordBytes int) *CSVReader {
	if maxRecordBytes <= 0 {
		maxRecordBytes = DefaultMaxRecordBytes
	}
	return &CSVReader{br: bufio.NewReaderSize(r, maxPrefixBytes), max: maxRecordBytes}
}

// ResumeCSVReader returns a reader that goes on where another one stopped: end
// and number are the End and the Number of the last row that was dealt with,
// both 0 for none. The file has to stand at its beginning: the header is read
// first.
func ResumeCSVReader(file io.ReadSeeker, maxRecordBytes int, end, number int64) *CSVReader {
	r := NewCSVReader(file, maxRecordBytes)
	r.resume = func() error {
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
	return r
}

// Next reads the next row. It returns false at the end of the file and at an
// error of the underlying reader, which [CSVReader.Err] returns. What was read of
// a row before such an error is not returned.
func (r *CSVReader) Next() bool {
	if !r.begun {
		r.begun = true
		r.readHeader()
		if r.err == nil && r.resume != nil {
			r.err = r.resume()
		}
	}
	for !r.ended && r.err == nil {
		if r.read(true) {
			r.rows++
			r.row.Number = r.rows
			r.row.Values, r.row.Err = r.parse()
			return true
		}
	}
	r.row = CSVRow{}
	return false
}

// Row returns the row that the last call of Next read.
func (r *CSVReader) Row() CSVRow { return r.row }

// Columns returns the names in the header, in their order. They are known once
// Next has been called.
func (r *CSVReader) Columns() []string { return r.columns }

// Err returns the error that ended the reading; nil at the end of the file.
func (r *CSVReader) Err() error { return r.err }

// readHeader reads the first line that is not blank. It is not quoted, so that a
// quote in it is part of a name.
func (r *CSVReader) readHeader() {
	// An error of Peek comes again when the line is read.
	if mark, _ := r.br.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		n, _ := r.br.Discard(len(byteOrderMark))
		r.offset += int64(n)
	}
	for !r.read(false) || len(bytes.Trim(r.row.Raw, "\r")) == 0 {
		if r.ended || r.err != nil {
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
func (r *CSVReader) read(quotes bool) bool {
	row := CSVRow{Offset: r.offset}
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
			r.err = fmt.Errorf("webscraper: read CSV at byte %d: %w", row.Offset, err)
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
func (r *CSVReader) collect(chunk []byte, more bool) []byte {
	if len(r.long) == 0 && !more {
		return chunk
	}
	// Two bytes over the limit are kept: they may be the line end.
	room := max(r.max, maxPrefixBytes) + 2 - len(r.long)
	r.long = append(r.long, chunk[:min(room, len(chunk))]...)
	return r.long
}

// parse returns the row's values, or why it is not a record.
func (r *CSVReader) parse() ([][]byte, error) {
	if r.row.Size > int64(r.max) {
		return nil, fmt.Errorf("%w: %d bytes, of %d allowed", ErrRecordTooLong, r.row.Size, r.max)
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
func (r *CSVReader) cutValue(row []byte) (value, rest []byte, more bool, err error) {
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
