package webscrapertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"iter"
	"strings"
)

// builtInColumns are in every export, in both spellings of the service.
var builtInColumns = []string{"web-scraper-order", "web-scraper-start-url", "web_scraper_order", "web_scraper_start_url"}

// table is records as rows of one set of columns, as CSV needs them.
type table struct {
	records Records
	columns []string // in order of first appearance
}

// newTable reads the records once for their columns. Without any record it has the
// built-in columns.
func newTable(records Records) *table {
	t := &table{records: records}
	seen := make(map[string]bool)
	for line := range records.lines() {
		for key := range fields(line) {
			if !seen[key] {
				seen[key] = true
				t.columns = append(t.columns, key)
			}
		}
	}
	if len(t.columns) == 0 {
		t.columns = builtInColumns[:2]
	}
	return t
}

// rows yields the cells of each record, which hold until the next one.
func (t *table) rows() iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		index := make(map[string]int, len(t.columns))
		for i, column := range t.columns {
			index[column] = i
		}
		row := make([]string, len(t.columns))
		for line := range t.records.lines() {
			clear(row)
			for key, value := range fields(line) {
				row[index[key]] = value
			}
			if !yield(row) {
				return
			}
		}
	}
}

// fields yields the keys of a JSON object in their order, with the text of
// their values: a string as it is, null as nothing, anything else as its JSON.
// It ends early where the line is not a JSON object.
func fields(line []byte) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		decoder := json.NewDecoder(bytes.NewReader(line))
		if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
			return
		}
		for decoder.More() {
			key, err := decoder.Token()
			if err != nil {
				return
			}
			var value json.RawMessage
			if err := decoder.Decode(&value); err != nil {
				return
			}
			var text string // stays empty for null
			if json.Unmarshal(value, &text) != nil {
				text = string(value)
			}
			if !yield(key.(string), text) {
				return
			}
		}
	}
}

// writeCSV writes what encoding/csv would not: a byte order mark, a header
// without quotes, every value in quotes, and line ends of "\r\n" around values
// whose own line breaks stay as they are.
func writeCSV(w io.Writer, t *table) error {
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteString("\ufeff")
	for i, column := range t.columns {
		if i > 0 {
			out.WriteByte(',')
		}
		if strings.ContainsAny(column, ",\"\r\n") {
			column = quoteCSV(column) // else the file could not be read
		}
		out.WriteString(column)
	}
	out.WriteString("\r\n")
	for row := range t.rows() {
		for i, value := range row {
			if i > 0 {
				out.WriteByte(',')
			}
			out.WriteString(quoteCSV(value))
		}
		if _, err := out.WriteString("\r\n"); err != nil {
			return err
		}
	}
	return out.Flush()
}

func quoteCSV(value string) string { return `"` + strings.ReplaceAll(value, `"`, `""`) + `"` }
