package main

import (
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/dustin/go-humanize/english"
	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/mapping"
)

const maxReasons = 10

// mappingTrial converts records as an import would, and keeps what check-mapping shows.
type mappingTrial struct {
	mapping   *mapping.Mapping
	converter *mapping.Converter
	maxRows   int
	rows      [][]string
	fitting   int
	rejected  int
	reasons   []string
	// empty are the indexes of columns that have had only NULL.
	empty []int
	key   []int // indexes of the key's columns
	keys  map[uint64]struct{}
	seed  maphash.Seed
}

func newMappingTrial(m *mapping.Mapping, rows int) *mappingTrial {
	t := &mappingTrial{mapping: m, converter: m.NewConverter(), maxRows: rows, keys: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
	for i, column := range m.Columns {
		t.empty = append(t.empty, i)
		if slices.Contains(m.Key, column.Name) {
			t.key = append(t.key, i)
		}
	}
	return t
}

func (t *mappingTrial) records() int { return t.fitting + t.rejected }

func (t *mappingTrial) add(record activities.Record) {
	reason := record.Rejected
	var values [][]byte
	if reason == "" {
		var err error
		if values, err = t.converter.Row(record.Data); err != nil {
			reason = err.Error()
		}
	}
	if reason != "" {
		t.rejected++
		if len(t.reasons) < maxReasons {
			t.reasons = append(t.reasons, fmt.Sprintf("record %d: %s", record.Number, visible(reason)))
		}
		return
	}
	t.fitting++
	t.empty = slices.DeleteFunc(t.empty, func(column int) bool { return values[column] != nil })
	var key []byte
	for _, column := range t.key {
		key = strconv.AppendQuote(key, string(values[column]))
	}
	t.keys[maphash.Bytes(t.seed, key)] = struct{}{}
	if len(t.rows) < t.maxRows {
		row := []string{strconv.FormatInt(record.Number, 10)}
		for _, value := range values {
			row = append(row, cell(value))
		}
		t.rows = append(t.rows, row)
	}
}

// print prints the first rows and the totals.
func (t *mappingTrial) print(out io.Writer) error {
	fmt.Fprintln(out, describeMapping(t.mapping))
	if len(t.rows) > 0 {
		fmt.Fprintln(out)
		if err := t.printRows(out); err != nil {
			return err
		}
	}
	rows, sameKeys := t.fitting, ""
	if len(t.key) > 0 && len(t.keys) != rows {
		rows, sameKeys = len(t.keys), fmt.Sprintf(": records with the same key (%s) share a row", strings.Join(t.mapping.Key, ", "))
	}
	fmt.Fprintf(out, "\n%s would become %s%s\n", english.Plural(t.fitting, "record", ""), english.Plural(rows, "row", ""), sameKeys)
	if t.fitting > 0 {
		for _, i := range t.empty {
			column := t.mapping.Columns[i]
			fmt.Fprintf(out, "column %q is NULL in all of them: check that the export has %q, and what the cleaners do to it\n", column.Name, column.From)
		}
	}
	fmt.Fprintf(out, "%s would have no row\n", english.Plural(t.rejected, "record", ""))
	for _, reason := range t.reasons {
		fmt.Fprintln(out, "  "+reason)
	}
	if more := t.rejected - len(t.reasons); more > 0 {
		fmt.Fprintf(out, "  and %d more\n", more)
	}
	return nil
}

func (t *mappingTrial) printRows(out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	names, types := []string{"RECORD"}, []string{""}
	for _, column := range t.mapping.Columns {
		names = append(names, visible(column.Name))
		types = append(types, column.Type.PostgreSQL())
	}
	for _, line := range append([][]string{names, types}, t.rows...) {
		fmt.Fprintln(table, strings.Join(line, "\t"))
	}
	return table.Flush()
}

// cell formats a value for the table. A text that could be mistaken for NULL or for an
// empty cell is quoted.
func cell(value []byte) string {
	const maxLength = 40 // characters
	if value == nil {
		return "NULL"
	}
	text := string(value)
	if text == "" || text == "NULL" || strings.TrimSpace(text) != text {
		text = `"` + text + `"`
	}
	if characters := []rune(text); len(characters) > maxLength {
		text = string(characters[:maxLength-1]) + "…"
	}
	return visible(text)
}

// visible escapes characters that are not printable.
func visible(text string) string {
	var shown strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			shown.WriteRune(r)
		} else {
			quoted := strconv.QuoteRune(r)
			shown.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return shown.String()
}
