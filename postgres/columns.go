package postgres

import (
	"strings"
	"unicode/utf8"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
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

// columnOf is the column that a key stands for, given as it stands between its
// quotes; not every text can be one.
func columnOf(key string) (column string, ok bool) {
	_, text := jsontext.Unescape(nil, []byte(key))
	column = string(text)
	if spelling, ok := builtIn[column]; ok {
		column = spelling
	}
	return column, utf8.ValidString(column) && !strings.Contains(column, "\x00")
}
