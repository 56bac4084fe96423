package webscraper

import (
	"bytes"
	"fmt"
)

// jsonLines makes a row of each line of a JSON Lines file.
type jsonLines struct{ *lines }

func (*jsonLines) begin() {}

func (r *jsonLines) read() bool {
	blank := true
	line, _, err := r.next(func(piece []byte) bool {
		blank = blank && len(trimSpace(piece)) == 0
		return true
	})
	if err != nil {
		r.failure = fmt.Errorf("webscraper: read JSON Lines at byte %d: %w", r.offset, err)
	}
	if blank || err != nil {
		return false
	}
	whole := line.Size == int64(len(line.Raw))
	if !r.ended {
		line.Size--
	}
	if whole {
		line.Raw = line.Raw[:line.Size]
	}
	length := line.Size
	if whole && bytes.HasSuffix(line.Raw, []byte("\r")) {
		length--
	}
	if length > int64(r.max) {
		line.Err = tooLong(line.Size, r.max)
		line.cut()
	}
	line.Raw = trimSpace(line.Raw)
	r.row = line
	return true
}

// trimSpace cuts the white space of JSON off.
func trimSpace(text []byte) []byte {
	for len(text) > 0 && isSpace(text[0]) {
		text = text[1:]
	}
	for len(text) > 0 && isSpace(text[len(text)-1]) {
		text = text[:len(text)-1]
	}
	return text
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
