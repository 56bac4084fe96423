package webscraper

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// DefaultMaxRecordBytes is the limit of a record's length where none is
	// given: 16 MiB.
	DefaultMaxRecordBytes = 16 << 20
	// maxPrefixBytes is how much is kept of a line that is too long.
	maxPrefixBytes = 64 << 10
)

const (
	byteOrderMark  = "\uFEFF"
	lineWhiteSpace = " \t\r" // the white space of JSON that can stand in a line
)

// Line is one line of a JSON Lines file.
type Line struct {
	// Number counts the lines that are not blank, beginning with 1.
	Number int64
	// Offset is the position in the file of the line's first byte, and End the
	// position just after its newline.
	Offset, End int64
	// Data is the line without surrounding white space. It is valid until the
	// next call of Next.
	Data []byte
	// Size is the length of the whole line in bytes, without its newline.
	Size int64
	// TooLong says that the line is over the reader's limit. Data then holds
	// its first 64 KiB only; the rest was read over.
	TooLong bool
	// Unterminated says that the file ends without a newline after this line,
	// so that it may have been cut.
	Unterminated bool
}

// JSONLinesReader splits a JSON Lines file, such as a download of a scraping
// job, into lines. Blank lines and a byte order mark at the beginning are
// passed over. It does not look into the JSON: see [ReadJSONRecords] for that.
// It needs memory for one record, and allocates none for a line of usual
// length.
type JSONLinesReader struct {
	br      *bufio.Reader
	max     int
	long    []byte // collects a line that is longer than br's buffer
	line    Line
	offset  int64 // of the next byte
	records int64 // lines returned so far
	lines   int64 // lines read so far, blank ones included
	ended   bool  // the end of the file was reached
	err     error
}

// JSONLinesOption changes how a [JSONLinesReader] reads.
type JSONLinesOption func(*JSONLinesReader)

// ContinueAfter makes a reader go on where another one stopped: end and number
// are the End and the Number of the last line that was dealt with, both 0 for
// none. The reader's input must already stand at the byte end of the file.
func ContinueAfter(end, number int64) JSONLinesOption {
	return func(r *JSONLinesReader) { r.offset, r.records = end, number }
}

// NewJSONLinesReader returns a reader of the lines of r. Lines longer than
// maxRecordBytes are not kept in memory but marked as too long; 0 means
// [DefaultMaxRecordBytes].
func NewJSONLinesReader(r io.Reader, maxRecordBytes int, opts ...JSONLinesOption) *JSONLinesReader {
	if maxRecordBytes <= 0 {
		maxRecordBytes = DefaultMaxRecordBytes
	}
	lr := &JSONLinesReader{br: bufio.NewReaderSize(r, maxPrefixBytes), max: maxRecordBytes}
	for _, opt := range opts {
		opt(lr)
	}
	return lr
}

// Next reads the next line that is not blank. It returns false at the end of
// the file and at an error of the underlying reader, which [JSONLinesReader.Err]
// returns. What was read of a line before such an error is not returned.
func (r *JSONLinesReader) Next() bool {
	for !r.ended && r.err == nil {
		if r.readLine() {
			r.records++
			r.line.Number = r.records
			return true
		}
	}
	r.line = Line{}
	return false
}

// Line returns the line that the last call of Next read.
func (r *JSONLinesReader) Line() Line { return r.line }

// Err returns the error that ended the reading; nil at the end of the file.
func (r *JSONLinesReader) Err() error { return r.err }

// readLine reads up to the next newline or the end of the file, and reports
// whether it found a line that is not blank.
func (r *JSONLinesReader) readLine() bool {
	if r.offset == 0 {
		// An error of Peek comes again when the line is read.
		if mark, _ := r.br.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
			n, _ := r.br.Discard(len(byteOrderMark))
			r.offset += int64(n)
		}
	}
	line := Line{Offset: r.offset}
	data, blank := []byte(nil), true
	r.long = r.long[:0]
	for more := true; more; {
		chunk, err := r.br.ReadSlice('\n')
		r.offset += int64(len(chunk))
		switch {
		case err == nil:
			chunk = chunk[:len(chunk)-1]
			more = false
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF:
			r.ended = true
			if r.offset == line.Offset {
				return false
			}
			line.Unterminated = true
			more = false
		default:
			r.err = fmt.Errorf("webscraper: read JSON Lines at byte %d: %w", r.offset, err)
			return false
		}
		line.Size += int64(len(chunk))
		blank = blank && len(bytes.Trim(chunk, lineWhiteSpace)) == 0
		data = r.collect(chunk, more)
	}
	line.End = r.offset
	r.lines++
	if blank {
		return false
	}
	length := line.Size
	if line.Size == int64(len(data)) && bytes.HasSuffix(data, []byte("\r")) {
		length--
	}
	if length > int64(r.max) {
		line.TooLong = true
		data = data[:min(len(data), maxPrefixBytes)]
	}
	line.Data = bytes.Trim(data, lineWhiteSpace)
	r.line = line
	return true
}

// collect adds chunk to what was read of the line and returns it all, or as
// much as is kept of a line that is too long. A line that came in one chunk is
// not copied.
func (r *JSONLinesReader) collect(chunk []byte, more bool) []byte {
	if len(r.long) == 0 && !more {
		return chunk
	}
	// One byte over the limit is kept: it may be the \r of a \r\n.
	if len(r.long)+len(chunk) <= max(r.max, maxPrefixBytes)+1 {
		r.long = append(r.long, chunk...)
	}
	return r.long
}
