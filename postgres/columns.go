package postgres

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Columns are the keys of the records' JSON objects, in the order of first
// appearance, which jsonb does not keep.

// maxColumns is how many columns of a sitemap are looked for: PostgreSQL allows
// a view 1600. The records have the others too, in data.
const maxColumns = 1500

// builtIn are the columns that every export has, in the spelling of the views,
// by the spelling of older exports.
var builtIn = map[string]string{
	"web-scraper-order":     "web_scraper_order",
	"web-scraper-start-url": "web_scraper_start_url",
}

// columnOf is the column that a key stands for; not every text can be one.
func columnOf(key string) (column string, is bool) {
	column = key
	if strings.Contains(column, `\`) {
		if json.Unmarshal([]byte(`"`+column+`"`), &column) != nil {
			return "", false
		}
	}
	if spelling, is := builtIn[column]; is {
		column = spelling
	}
	return column, utf8.ValidString(column) && !strings.Contains(column, "\x00")
}

// keyScanner finds the keys of a JSON object without decoding it.
type keyScanner struct {
	rest []byte // begins before a key
}

// next returns a key as it stands between its quotes.
func (s *keyScanner) next() (key []byte, more bool) {
	// Between a key and the value before are a comma, or the object's brace, and
	// white space.
	begin := bytes.IndexByte(s.rest, '"')
	if begin < 0 || bytes.IndexByte(s.rest[:begin], '}') >= 0 {
		return nil, false
	}
	key, more = s.text(begin)
	return key, more && s.skipValue()
}

// skip takes a member that is as most are: that key, with nothing between the
// comma before and the text after it, in which no quote is escaped.
func (s *keyScanner) skip(key string) (is bool) {
	end := len(`,"`) + len(key)
	value := end + len(`":"`)
	if len(s.rest) < value || s.rest[1] != '"' || string(s.rest[len(`,"`):end]) != key || string(s.rest[end:value]) != `":"` {
		return false
	}
	quote := bytes.IndexByte(s.rest[value:], '"')
	if quote < 0 || s.rest[value+quote-1] == '\\' {
		return false
	}
	s.rest = s.rest[value+quote+1:]
	return true
}

// text takes the text that begins with the quote at begin.
func (s *keyScanner) text(begin int) (text []byte, is bool) {
	rest := s.rest[begin+1:]
	for end := 0; ; end++ {
		quote := bytes.IndexByte(rest[end:], '"')
		if quote < 0 {
			return nil, false
		}
		end += quote
		backslashes := 0
		for backslashes < end && rest[end-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			s.rest = rest[end+1:]
			return rest[:end], true
		}
	}
}

// skipValue takes the colon and the value after a key.
func (s *keyScanner) skipValue() (is bool) {
	depth := 0
	for i := 0; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '"':
			if _, is := s.text(i); !is {
				return false
			}
			if depth == 0 {
				return true
			}
			i = -1
		case '{', '[':
			depth++
		case ']':
			depth--
		case '}':
			if depth == 0 { // the end of the object
				s.rest = s.rest[i:]
				return true
			}
			depth--
		case ',':
			if depth == 0 {
				s.rest = s.rest[i:]
				return true
			}
		}
	}
	return false
}
