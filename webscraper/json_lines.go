package webscraper

import (
	"bytes"
	"fmt"
)

// jsonSpace is the white space of JSON.
const jsonSpace = " \t\r\n"

// jsonLines makes a row of each line of a JSON Lines file.
type jsonLines struct{ *lines }

func (*jsonLines) begin() {}

func (r *jsonLines) read() bool {
	blank := true
	line, _, err := r.next(func(piece []byte) bool {
		blank = blank && len(bytes.TrimLeft(piece, jsonSpace)) == 0
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
	line.Raw = bytes.Trim(line.Raw, jsonSpace)
	r.row = line
	return true
}
