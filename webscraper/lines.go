package webscraper

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// lines reads a file line by line, or several lines where they are one row.
type lines struct {
	br   *bufio.Reader
	max  int    // bytes of a row
	long []byte // collects a row that spans several reads

	row     Row
	offset  int64 // of the next byte
	rows    int64 // returned so far
	ended   bool  // the end of the file was reached
	failure error
}

// skipBOM skips a byte order mark.
func (l *lines) skipBOM() error {
	// The next read returns an error of Peek again.
	start, _ := l.br.Peek(len(byteOrderMark))
	switch {
	case string(start) == byteOrderMark:
		n, _ := l.br.Discard(len(byteOrderMark))
		l.offset += int64(n)
	case bytes.HasPrefix(start, []byte("\xFF\xFE")), bytes.HasPrefix(start, []byte("\xFE\xFF")):
		return errUTF16
	}
	return nil
}

var errUTF16 = unreadable("it is UTF-16: save it as UTF-8")

// resume makes the row after end the next one, if that is further on.
func (l *lines) resume(file io.ReadSeeker, end, number int64) error {
	if end <= l.offset {
		return nil
	}
	if _, err := file.Seek(end, io.SeekStart); err != nil {
		return fmt.Errorf("webscraper: resume at byte %d: %w", end, err)
	}
	l.br.Reset(file)
	l.offset, l.rows = end, number
	return nil
}

// next reads up to a newline that ends the row, or to the end of the file. It calls
// endsRow with each piece, to know whether a newline at its end ends the row. It returns
// the row, with its line end in Raw and Size, and the last piece; of a row that is too
// long, Raw has only the beginning.
func (l *lines) next(endsRow func(piece []byte) bool) (row Row, piece []byte, err error) {
	row.Offset = l.offset
	l.long = l.long[:0]
	for more := true; more; {
		piece, err = l.br.ReadSlice('\n')
		l.offset += int64(len(piece))
		ends := endsRow(piece)
		switch {
		case err == nil:
			more = !ends
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF: // not wrapped: an error that wraps it is not the end
			l.ended, more = true, false
		default:
			return row, nil, err
		}
		row.Size += int64(len(piece))
		row.Raw = l.collect(piece, more)
	}
	row.End = l.offset
	return row, piece, nil
}

// collect adds a piece to the row so far and returns the row, or the beginning of one
// that is too long. A row read in one piece is not copied.
func (l *lines) collect(piece []byte, more bool) []byte {
	if len(l.long) == 0 && !more {
		return piece
	}
	// Keep two bytes over the limit: they may be the line end.
	room := max(l.max, maxPrefixBytes) + 2 - len(l.long)
	l.long = append(l.long, piece[:min(room, len(piece))]...)
	return l.long
}

// cut keeps the beginning of a row that is too long.
func (r *Row) cut() {
	r.Raw = r.Raw[:min(len(r.Raw), maxPrefixBytes)]
	r.Cut = int64(len(r.Raw)) < r.Size
}
