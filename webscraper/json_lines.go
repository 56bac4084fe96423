package webscraper

import (
	"bytes"
	"fmt"
)

// jsonSpace is the white space of JSON.
const jsonSpace = " \t\r\n"

// readJSON reads a line of JSON Lines as a row.
func (l *lines) readJSON() bool {
	blank := true
	line, _, err := l.next(func(piece []byte) bool {
		blank = blank && len(bytes.TrimLeft(piece, jsonSpace)) == 0
		return true
	})
	if err != nil {
		l.failure = fmt.Errorf("webscraper: read JSON Lines at byte %d: %w", l.offset, err)
	}
	if blank || err != nil {
		return false
	}
	complete := line.Size == int64(len(line.Raw))
	if !l.ended {
		line.Size--
	}
	if complete {
		line.Raw = line.Raw[:line.Size]
	}
	length := line.Size
	if complete && bytes.HasSuffix(line.Raw, []byte("\r")) {
		length--
	}
	if length > int64(l.max) {
		line.Err = tooLong(line.Size, l.max)
		line.cut()
	}
	line.Raw = bytes.Trim(line.Raw, jsonSpace)
	l.row = line
	return true
}
