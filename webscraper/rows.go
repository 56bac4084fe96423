package webscraper

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

var (
	// ErrRecordTooLong is the Err of a [Row] over the reader's limit.
	ErrRecordTooLong = errors.New("the record is too long")
	// ErrUnreadable is the [RowReader.Err] of a file that is not what it is to be as
	// a whole: of another encoding, say. It comes with the reason.
	ErrUnreadable = errors.New("the file cannot be read")
)

// defaultMaxRecordBytes is the limit of a record's length where none is given:
// 16 MiB.
const defaultMaxRecordBytes = 16 << 20

const (
	// maxPrefixBytes is how much is kept of a row that is too long.
	maxPrefixBytes = 64 << 10
	byteOrderMark  = "\uFEFF"
)

// Row is one record as it stands in a file: a line of JSON Lines, or a row of CSV
// below the header.
type Row struct {
	// Number counts the rows that are not blank, beginning with 1.
	Number int64
	// Offset is the position in the file of the row's first byte, and End the
	// position just after its line end.
	Offset, End int64
	// Raw is the row without its line end, and, in JSON Lines, without white space
	// around it. Of a row that is too long it is the first 64 KiB. Like Values it
	// is valid until the next call of Next.
	Raw []byte
	// Size is the length of the whole row in bytes: in JSON Lines up to its newline,
	// in CSV without its line end.
	Size int64
	// Cut says that Raw is not all of the row.
	Cut bool
	// Columns are the names in the header of a CSV file, and Values has one value
	// for each; both are nil beside an Err, and in JSON Lines.
	Columns []string
	Values  [][]byte
	// Err says why the row is not a record: [ErrRecordTooLong], or in CSV also
	// [csv.ErrFieldCount], [csv.ErrQuote] or [csv.ErrBareQuote], each with details,
	// or that it is not UTF-8.
	Err error
}

// RowReader reads a download of a scraping job row by row. A byte order mark at
// the beginning and blank lines are passed over. It needs memory for one record,
// and allocates none for a row of usual length.
//
// It does not look into the JSON of a line. Of CSV the first line has the names of
// the columns, and newlines in values stay as they are. Another delimiter than the
// comma is taken if header and rows agree in it. After a row that is not a record it
// goes on after the next newline outside of quotes, so that a quote that is never
// closed takes the rest of the file along.
type RowReader struct {
	lines  *lines
	begin  func()      // reads what stands before the rows; nil for nothing
	read   func() bool // reads up to the end of a row, and reports whether it is not blank
	begun  bool
	resume func() error
}

// NewRowReader returns a reader of the rows of a file, which is in [FormatJSON] or
// [FormatCSV]. Rows longer than maxRecordBytes, quotes and newlines included, are
// not kept in memory but have [ErrRecordTooLong] as their Err; 0 means
// 16 MiB.
func NewRowReader(file io.Reader, format Format, maxRecordBytes int) *RowReader {
	if maxRecordBytes <= 0 {
		maxRecordBytes = defaultMaxRecordBytes
	}
	r := &RowReader{lines: &lines{br: bufio.NewReaderSize(file, maxPrefixBytes), max: maxRecordBytes}}
	switch format {
	case FormatJSON:
		r.read = r.lines.readJSON
	case FormatCSV:
		rows := &csvRows{lines: r.lines}
		r.begin, r.read = rows.begin, rows.read
	default:
		r.lines.failure = fmt.Errorf("webscraper: there is no reading of the format %q: want %q or %q", format, FormatJSON, FormatCSV)
	}
	return r
}

// ResumeRowReader returns a reader that goes on in the file where another one
// stopped: end and number are the End and the Number of the last row that was
// dealt with, both 0 for none.
func ResumeRowReader(file io.ReadSeeker, format Format, maxRecordBytes int, end, number int64) *RowReader {
	r := NewRowReader(file, format, maxRecordBytes)
	if _, err := file.Seek(0, io.SeekStart); err != nil && r.lines.failure == nil { // a header is read first
		r.lines.failure = fmt.Errorf("webscraper: resume at the beginning: %w", err)
	}
	r.resume = func() error { return r.lines.goOn(file, end, number) }
	return r
}

// Next reads the next row. It returns false at the end of the file and at an error
// of the underlying reader, which [RowReader.Err] returns. What was read of a row
// before such an error is not returned.
func (r *RowReader) Next() bool {
	in := r.lines
	if !r.begun && in.failure == nil {
		r.begun = true
		if in.failure = in.skipMark(); in.failure == nil && r.begin != nil {
			r.begin()
		}
		if in.failure == nil && r.resume != nil {
			in.failure = r.resume()
		}
	}
	for !in.ended && in.failure == nil {
		if r.read() {
			in.rows++
			in.row.Number = in.rows
			return true
		}
	}
	in.row = Row{}
	return false
}

// Row returns the row that the last call of Next read.
func (r *RowReader) Row() Row { return r.lines.row }

// Err returns the error that ended the reading, [ErrUnreadable] for one; nil at the
// end of the file.
func (r *RowReader) Err() error { return r.lines.failure }

func unreadable(format string, args ...any) error {
	return fmt.Errorf("webscraper: %w: %w", ErrUnreadable, fmt.Errorf(format, args...))
}

func tooLong(size int64, limit int) error {
	return fmt.Errorf("%w: %d bytes, of %d allowed", ErrRecordTooLong, size, limit)
}
