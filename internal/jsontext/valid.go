package jsontext

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// IsPlain reports whether data is certainly a JSON object that jsonb accepts: one with only
// strings and nulls and no white space, as nearly all exported objects are. If it returns
// false, data may still be valid.
func IsPlain(data []byte) bool {
	if len(data) < 2 || data[0] != '{' {
		return false
	}
	ascii, at := true, 0
	for data[at] == ',' || at == 0 {
		end := plainStringEnd(data, at+1, &ascii)
		if end == 0 || data[end] != ':' {
			return false
		}
		if value := data[end+1:]; bytes.HasPrefix(value, []byte("null")) {
			at = end + len(":null")
		} else {
			at = plainStringEnd(data, end+1, &ascii)
		}
		if at == 0 || at == len(data) {
			return false
		}
	}
	return at == len(data)-1 && data[at] == '}' && (ascii || utf8.Valid(data))
}

// plainStringEnd returns the index after the string that starts at index at, never past
// the last byte of data, or 0.
func plainStringEnd(data []byte, at int, ascii *bool) (end int) {
	if at >= len(data) || data[at] != '"' {
		return 0
	}
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for at++; at < len(data)-1; {
		if at+8 <= len(data) {
			word := binary.LittleEndian.Uint64(data[at:])
			quotes, backslashes := word^ones*'"', word^ones*'\\'
			special := ((word-ones*' ')&^word | (quotes-ones)&^quotes | (backslashes-ones)&^backslashes | word) & tops
			if at += bits.TrailingZeros64(special) / 8; special == 0 || at >= len(data)-1 {
				continue
			}
		}
		switch c := data[at]; {
		case c == '"':
			return at + 1
		case c < ' ':
			return 0
		case c >= utf8.RuneSelf:
			*ascii = false
		case c == '\\':
			if at++; data[at] != 'u' {
				if strings.IndexByte(`"\/bfnrt`, data[at]) < 0 {
					return 0
				}
				break
			}
			r, size := decodeEscape(data[at+1:])
			if r == 0 || r == utf8.RuneError || utf16.IsSurrogate(r) {
				return 0
			}
			at += size
		}
		at++
	}
	return 0
}
