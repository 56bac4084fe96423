package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// result is what a part has measured: tables for people, values for the JSON.
type result struct {
	part   string
	tables []*table
	values map[string]any
}

type table struct {
	title string
	rows  [][]string // the first is the header
}

// table begins a table with its header.
func (r *result) table(title string, header ...string) *table {
	t := &table{title: title}
	t.row(header...)
	r.tables = append(r.tables, t)
	return t
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// set keeps a value, to three decimals. Dots in the key make objects:
// "large_job.seconds".
func (r *result) set(key string, value float64) { r.put(key, math.Round(value*1000)/1000) }

// notMeasured keeps null for the key and says why in "not_measured".
func (r *result) notMeasured(key, reason string) {
	r.put(key, nil)
	r.put("not_measured."+key, reason)
}

func (r *result) put(key string, value any) {
	if r.values == nil {
		r.values = map[string]any{}
	}
	into := r.values
	path := strings.Split(key, ".")
	for _, name := range path[:len(path)-1] {
		inner, ok := into[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			into[name] = inner
		}
		into = inner
	}
	into[path[len(path)-1]] = value
}

func (r *result) print(to io.Writer) {
	for _, t := range r.tables {
		fmt.Fprintf(to, "\n%s\n", t.title)
		rows := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
		for _, cells := range t.rows {
			// Only rows of as many cells are aligned.
			cells = append(slices.Clone(cells), make([]string, len(t.rows[0])-len(cells))...)
			fmt.Fprintln(rows, "  "+strings.Join(cells, "\t"))
		}
		_ = rows.Flush() // as with printing
	}
}

// printJSON prints one object with the parts by their names, with "_" for "-".
func printJSON(to io.Writer, results []*result) error {
	all := map[string]any{}
	for _, r := range results {
		all[strings.ReplaceAll(r.part, "-", "_")] = r.values
	}
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}

// notMeasured is the cell of a contender that is absent.
func notMeasured(reason string) string { return "not measured: " + reason }

// thousands writes 1000000 as 1,000,000.
func thousands(n float64) string {
	digits := fmt.Sprintf("%.0f", n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
