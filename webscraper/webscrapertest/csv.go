package webscrapertest

import (
	"bufio"
	"encoding/json"
	"io"
	"iter"
	"maps"
	"strings"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
)

// builtInColumns are in every export, in both spellings of the service.
var builtInColumns = []string{"web-scraper-order", "web-scraper-start-url", "web_scraper_order", "web_scraper_start_url"}

// columns returns the columns in order of first appearance, or the built-in ones if there
// are no records.
func (r Records) columns() (columns []string) {
	seen := make(map[string]bool)
	for line := range r.lines() {
		for key := range fields(line) {
			if !seen[key] {
				seen[key] = true
				columns = append(columns, key)
			}
		}
	}
	if len(columns) == 0 {
		return builtInColumns[:2]
	}
	return columns
}

// fields yields the keys of a JSON object in order, with the text of their values: a
// string as it is, null as "", anything else as its JSON. It stops where the line is not
// a JSON object.
func fields(line []byte) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		members := jsontext.MembersOf(line)
		for member, more := members.Next(); more; member, more = members.Next() {
			_, key := jsontext.Unescape(nil, member.Key())
			var text string // stays empty for null
			if json.Unmarshal(member.Value(), &text) != nil {
				text = string(member.Value())
			}
			if !yield(string(key), text) {
				return
			}
		}
	}
}

// writeCSV writes what encoding/csv would not: a byte order mark, a header without
// quotes, every value in quotes, and "\r\n" line ends, while line breaks in values stay
// as they are.
func writeCSV(w io.Writer, records Records) error {
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteString("\ufeff")
	columns := records.columns()
	for i, column := range columns {
		if i > 0 {
			out.WriteByte(',')
		}
		if strings.ContainsAny(column, ",\"\r\n") {
			column = quoteCSV(column) // else the file would be unreadable
		}
		out.WriteString(column)
	}
	out.WriteString("\r\n")
	for line := range records.lines() {
		row := maps.Collect(fields(line))
		for i, column := range columns {
			if i > 0 {
				out.WriteByte(',')
			}
			out.WriteString(quoteCSV(row[column]))
		}
		if _, err := out.WriteString("\r\n"); err != nil {
			return err
		}
	}
	return out.Flush()
}

func quoteCSV(value string) string { return `"` + strings.ReplaceAll(value, `"`, `""`) + `"` }
