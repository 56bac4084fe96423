package webscraper

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// lines reads a file line by line, or several of them where they are one row.
type lines struct {
	br   *bufio.Reader
	max  int    // bytes of a row
	long []byte // collects a row that did not come in one piece

	row     Row
	offset  int64 // of the next byte
	rows    int64 // returned so far
	ended   bool  // the end of the file was reached
	failure error
}

// skipMark passes over a byte order mark.
func (l *lines) skipMark() error {
	// An error of Peek comes again when a line is read.
	mark, _ := l.br.Peek(len(byteOrderMark))
	switch {
	case string(mark) == byteOrderMark:
		n, _ := l.br.Discard(len(byteOrderMark))
		l.offset += int64(n)
	case bytes.HasPrefix(mark, []byte("\xFF\xFE")), bytes.HasPrefix(mark, []byte("\xFE\xFF")):
		return errUTF16
	}
	return nil
}

var errUTF16 = unreadable("it is UTF-16: save it as UTF-8")

// goOn has the next row be the one after end, if that is further on.
func (l *lines) goOn(file io.ReadSeeker, end, number int64) error {
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

// next reads up to a newline that ends the row, or to the end of the file. look is
// called with each piece, and says whether a newline at its end is one. It returns the
// row, with its line end in Raw and Size, and the last piece; Raw is as much as is kept
// of a row that is too long.
func (l *lines) next(look func(piece []byte) bool) (row Row, piece []byte, err error) {
	row.Offset = l.offset
	l.long = l.long[:0]
	for more := true; more; {
		piece, err = l.br.ReadSlice('\n')
		l.offset += int64(len(piece))
		ends := look(piece)
		switch {
		case err == nil:
			more = !ends
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF: // itself: a reader may wrap it in an error that is not the end
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

// collect adds a piece to what was read of the row and returns it all, or as much as
// is kept of a row that is too long. A row that came in one piece is not copied.
func (l *lines) collect(piece []byte, more bool) []byte {
	if len(l.long) == 0 && !more {
		return piece
	}
	// Two bytes over the limit are kept: they may be the line end.
	room := max(l.max, maxPrefixBytes) + 2 - len(l.long)
	l.long = append(l.long, piece[:min(room, len(piece))]...)
	return l.long
}

// cut keeps the beginning of a row that is too long.
func (r *Row) cut() {
	r.Raw = r.Raw[:min(len(r.Raw), maxPrefixBytes)]
	r.Cut = int64(len(r.Raw)) < r.Size
}
