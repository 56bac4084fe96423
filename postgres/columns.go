package postgres

import (
	"strings"
	"unicode/utf8"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
	"github.com/scrapehaul/scrapehaul/mapping"
)

// Columns are the keys of the records' JSON objects in the order of first appearance,
// which jsonb does not keep.

// maxColumns limits the columns of a sitemap's view; PostgreSQL allows 1600. All others are
// still in data.
const maxColumns = 1500

// columnOf returns the column of a key, which is the JSON text between its quotes. ok is
// false if the text cannot be a column name.
func columnOf(key string) (column string, ok bool) {
	_, text := jsontext.Unescape(nil, []byte(key))
	_, column = mapping.Spellings(string(text))
	return column, utf8.ValidString(column) && !strings.Contains(column, "\x00")
}
