package webscraper

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

const lineWhiteSpace = " \t\r" // the white space of JSON that can stand in a line

// jsonLines splits a JSON Lines file into lines.
type jsonLines struct {
	br      *bufio.Reader
	max     int
	resume  func() error
	long    []byte // collects a line that is longer than br's buffer
	row     Row
	offset  int64 // of the next byte
	records int64 // lines returned so far
	lines   int64 // lines read so far, blank ones included
	ended   bool  // the end of the file was reached
	failure error
}

func newJSONLines(r io.Reader, maxRecordBytes int) *jsonLines {
	return &jsonLines{br: bufio.NewReaderSize(r, maxPrefixBytes), max: maxRecordBytes}
}

func (r *jsonLines) next() bool {
	if r.resume != nil {
		r.failure = r.resume()
		r.resume = nil
	}
	for !r.ended && r.failure == nil {
		if r.readLine() {
			r.records++
			r.row.Number = r.records
			return true
		}
	}
	r.row = Row{}
	return false
}

func (r *jsonLines) current() *Row { return &r.row }
func (r *jsonLines) line() int64   { return r.lines }
func (r *jsonLines) err() error    { return r.failure }

// goOn has the next row be the one after end.
func (r *jsonLines) goOn(file io.ReadSeeker, end, number int64) error {
	if _, err := file.Seek(end, io.SeekStart); err != nil {
		return fmt.Errorf("webscraper: resume JSON Lines at byte %d: %w", end, err)
	}
	r.offset, r.records = end, number
	return nil
}

// readLine reads up to the next newline or the end of the file, and reports
// whether it found a line that is not blank.
func (r *jsonLines) readLine() bool {
	if r.offset == 0 {
		// An error of Peek comes again when the line is read.
		if mark, _ := r.br.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
			n, _ := r.br.Discard(len(byteOrderMark))
			r.offset += int64(n)
		}
	}
	line := Row{Offset: r.offset}
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
			r.failure = fmt.Errorf("webscraper: read JSON Lines at byte %d: %w", r.offset, err)
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
		line.Err = tooLong(line.Size, r.max)
		data = data[:min(len(data), maxPrefixBytes)]
		line.Cut = int64(len(data)) < line.Size
	}
	line.Raw = bytes.Trim(data, lineWhiteSpace)
	r.row = line
	return true
}

// collect adds chunk to what was read of the line and returns it all, or as
// much as is kept of a line that is too long. A line that came in one chunk is
// not copied.
func (r *jsonLines) collect(chunk []byte, more bool) []byte {
	if len(r.long) == 0 && !more {
		return chunk
	}
	// One byte over the limit is kept: it may be the \r of a \r\n.
	if len(r.long)+len(chunk) <= max(r.max, maxPrefixBytes)+1 {
		r.long = append(r.long, chunk...)
	}
	return r.long
}
