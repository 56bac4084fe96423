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
	// ErrUnreadable is wrapped by the [RowReader.Err] of a file that is unusable as a
	// whole, such as one with another encoding. The error has the reason.
	ErrUnreadable = errors.New("the file cannot be read")
)

// DefaultMaxRecordBytes is the default limit of a record's length: 16 MiB.
const DefaultMaxRecordBytes = 16 << 20

const (
	// maxPrefixBytes is how much of a row that is too long is kept.
	maxPrefixBytes = 64 << 10
	byteOrderMark  = "\uFEFF"
)

// Row is one record as it is in a file: a line of JSON Lines, or a row of CSV below
// the header.
type Row struct {
	// Number counts the rows that are not blank, starting with 1.
	Number int64
	// Offset is the position in the file of the row's first byte, and End the
	// position after its line end.
	Offset, End int64
	// Raw is the row without its line end, and, in JSON Lines, without surrounding
	// white space. Of a row that is too long it is the first 64 KiB. Like Values it
	// is valid until the next call of Next.
	Raw []byte
	// Size is the length of the complete row in bytes: in JSON Lines up to its
	// newline, in CSV without its line end.
	Size int64
	// Cut reports whether Raw is only the beginning of the row.
	Cut bool
	// Columns are the names in the header of a CSV file, and Values has one value
	// for each; both are nil if Err is set, and in JSON Lines.
	Columns []string
	Values  [][]byte
	// Err says why the row is not a record: [ErrRecordTooLong], or in CSV also
	// [csv.ErrFieldCount], [csv.ErrQuote] or [csv.ErrBareQuote], each with details,
	// or that it is not UTF-8.
	Err error
}

// RowReader reads a download of a scraping job row by row. It skips a leading byte
// order mark and blank lines. It holds one record in memory, and does not allocate for
// a row of usual length.
//
// It does not parse the JSON of a line. The first line of CSV has the column names, and
// newlines in values are kept. It accepts another delimiter than the comma if header
// and rows agree on it. After a row that is not a record it continues after the next
// newline outside quotes, so a quote that is never closed swallows the rest of the
// file.
type RowReader struct {
	lines   *lines
	start   func()      // reads what comes before the rows; nil for nothing
	read    func() bool // reads up to the end of a row, and reports whether it is not blank
	started bool
	resume  func() error
}

// NewRowReader returns a reader of the rows of a file in [FormatJSON] or [FormatCSV].
// Rows longer than maxRecordBytes, including quotes and newlines, are not kept in
// memory but have [ErrRecordTooLong] as their Err; 0 means 16 MiB.
func NewRowReader(file io.Reader, format Format, maxRecordBytes int) *RowReader {
	if maxRecordBytes <= 0 {
		maxRecordBytes = DefaultMaxRecordBytes
	}
	r := &RowReader{lines: &lines{br: bufio.NewReaderSize(file, maxPrefixBytes), max: maxRecordBytes}}
	switch format {
	case FormatJSON:
		r.read = r.lines.readJSON
	case FormatCSV:
		rows := &csvRows{lines: r.lines}
		r.start, r.read = rows.start, rows.read
	default:
		r.lines.failure = fmt.Errorf("webscraper: the format %q is not supported: want %q or %q", format, FormatJSON, FormatCSV)
	}
	return r
}

// ResumeRowReader returns a reader that continues where another one stopped: end and
// number are the End and Number of the last row processed, both 0 for none.
func ResumeRowReader(file io.ReadSeeker, format Format, maxRecordBytes int, end, number int64) *RowReader {
	r := NewRowReader(file, format, maxRecordBytes)
	if _, err := file.Seek(0, io.SeekStart); err != nil && r.lines.failure == nil { // a header is read first
		r.lines.failure = fmt.Errorf("webscraper: resume at the beginning: %w", err)
	}
	r.resume = func() error { return r.lines.resume(file, end, number) }
	return r
}

// Next reads the next row. It returns false at the end of the file and on an error of
// the underlying reader, which [RowReader.Err] returns. A row cut off by such an error
// is not returned.
func (r *RowReader) Next() bool {
	in := r.lines
	if !r.started && in.failure == nil {
		r.started = true
		if in.failure = in.skipBOM(); in.failure == nil && r.start != nil {
			r.start()
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

// Err returns the error that ended the reading, such as one that wraps [ErrUnreadable];
// nil at the end of the file.
func (r *RowReader) Err() error { return r.lines.failure }

func unreadable(format string, args ...any) error {
	return fmt.Errorf("webscraper: %w: %w", ErrUnreadable, fmt.Errorf(format, args...))
}

func tooLong(size int64, limit int) error {
	return fmt.Errorf("%w: %d bytes, of %d allowed", ErrRecordTooLong, size, limit)
}
