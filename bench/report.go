package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
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

// table starts a table with its header.
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

// figure keeps a value as set does, and returns the table's cell, by a format such
// as "%.2f s".
func (r *result) figure(key, format string, value float64) (cell string) {
	r.set(key, value)
	return fmt.Sprintf(format, value)
}

// count is figure for numbers so large that they have no decimals.
func (r *result) count(key string, value float64) (cell string) {
	r.set(key, value)
	return thousands(value)
}

// notMeasured keeps null for the key, says why in "not_measured", and returns the
// table's cell.
func (r *result) notMeasured(key, reason string) (cell string) {
	r.put(key, nil)
	r.put("not_measured."+key, reason)
	return "not measured: " + reason
}

// setPeakRSS keeps a peak memory, in MiB, and returns the table's cell; 0 is none.
func (r *result) setPeakRSS(key string, mib float64) (cell string) {
	if mib == 0 {
		return r.notMeasured(key, "only Linux reports the peak memory of a process")
	}
	return r.figure(key, "%.0f MiB", mib)
}

// setAll keeps values of which each key starts with prefix.
func (r *result) setAll(prefix string, values figures) {
	for name, value := range values {
		r.set(prefix+name, value)
	}
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

// thousands writes 1000000 as 1,000,000.
func thousands(n float64) string { return humanize.Comma(int64(math.Round(n))) }
