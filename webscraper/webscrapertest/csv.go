package webscrapertest

import (
	"bufio"
	"io"
	"strings"
)

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
