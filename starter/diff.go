package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/postgres"
)

type diffCommand struct {
	program.DatabaseFlags
	Sitemap string   `arg:"" help:"Sitemap, or acme:NAME for a sitemap of account acme."`
	Account string   `placeholder:"NAME" help:"Account that has the sitemap. Default: the account in acme:NAME, otherwise the default account."`
	Key     []string `placeholder:"COLUMN,…" help:"Scraped columns that together identify a record within a job. Default: the key in the mappings file."`
	Older   int64    `placeholder:"ID" help:"Job to compare with. Default: the finished, published one before."`
	Newer   int64    `placeholder:"ID" help:"Job to compare. Default: the latest finished, published one."`
	Limit   *int     `placeholder:"N" help:"Print the first N changes; 0 for all. Default: 200 in a table, all as JSON or CSV."`
	JSON    bool     `name:"json" xor:"format" help:"Print one JSON object per change, each on its own line."`
	CSV     bool     `name:"csv" xor:"format" help:"Print CSV, one row per changed column."`
}

// tableLimit is the default limit for a table.
const tableLimit = 200

// Run prints changes as they arrive.
func (c *diffCommand) Run(ctx context.Context, streams program.Streams) error {
	var s program.Settings
	c.Validate(&s)
	limit := tableLimit
	switch {
	case c.Limit != nil:
		if limit = *c.Limit; limit < 0 {
			s.Problem("--limit is %d: want a positive number, or 0 for all", limit)
		}
	case c.JSON, c.CSV:
		limit = 0
	}
	if checkAccount(&s, c.Account); s.Err() != nil {
		return s.Err()
	}
	db, err := openMigrated(ctx, &c.DatabaseFlags)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // nothing is written
	store := postgres.NewStore(db, nil)
	query, err := store.ComparedJobs(ctx, postgres.ChangesQuery{Account: c.Account, Sitemap: c.Sitemap, Key: c.Key, Older: c.Older, Newer: c.Newer})
	if err != nil {
		return err
	}
	fmt.Fprintf(streams.Err, "from job %d to job %d:\n", query.Older, query.Newer)
	out := c.changesTo(streams.Out)
	all, counts := 0, map[string]int{}
	err = store.Changes(ctx, query, func(change postgres.RecordChange) error {
		counts[change.Change]++
		if all++; limit > 0 && all > limit {
			return nil // only counted
		}
		return out.print(change)
	})
	if err = errors.Join(err, out.end()); err != nil {
		return err
	}
	fmt.Fprintf(streams.Err, "%d new, %d gone, %d changed; %d keys not compared (duplicate or incomplete)\n",
		counts["new"], counts["gone"], counts["changed"], counts["duplicate"])
	if limit > 0 && all > limit {
		fmt.Fprintf(streams.Err, program.Commands("%d more: starter diff --limit 0\n"), all-limit)
	}
	return nil
}

type changesPrinter struct {
	print func(postgres.RecordChange) error
	end   func() error
}

func (c *diffCommand) changesTo(out io.Writer) changesPrinter {
	switch {
	case c.JSON:
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		return changesPrinter{func(change postgres.RecordChange) error { return encoder.Encode(change) }, func() error { return nil }}
	case c.CSV:
		table := csv.NewWriter(out)
		header := table.Write([]string{"change", "key", "column", "old", "new", "old_record_number", "new_record_number"})
		return changesPrinter{func(change postgres.RecordChange) error {
			rows, err := rowsOf(change)
			for _, row := range rows {
				number := func(n int64) string { return strings.TrimPrefix(strconv.FormatInt(n, 10), "0") }
				err = errors.Join(err, table.Write(append(row, number(change.OldRecordNumber), number(change.NewRecordNumber))))
			}
			return err
		}, func() error { table.Flush(); return errors.Join(header, table.Error()) }}
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "CHANGE\tKEY\tCOLUMN\tOLD\tNEW\n")
	printed := 0
	return changesPrinter{func(change postgres.RecordChange) error {
		rows, err := rowsOf(change)
		if change.Change != "changed" && change.Change != "duplicate" {
			rows = [][]string{{change.Change, rows[0][1], "", "", ""}} // the views have the record
		}
		for _, row := range rows {
			for i := range row {
				if row[i] = plain(row[i]); i != keyCell { // URLs differ at their ends
					row[i] = shortened(row[i])
				}
			}
			fmt.Fprintln(table, strings.Join(row, "\t"))
		}
		if printed++; printed%1000 == 0 { // aligned in groups of this size
			err = errors.Join(err, table.Flush())
		}
		return err
	}, table.Flush}
}

const keyCell = 1

// rowsOf returns a row for each column of a change, at least one: the kind of change, the
// key, the column, its old and its new value.
func rowsOf(change postgres.RecordChange) (rows [][]string, err error) {
	var key, before, after map[string]json.RawMessage
	for text, into := range map[*json.RawMessage]*map[string]json.RawMessage{&change.Key: &key, &change.Old: &before, &change.New: &after} {
		if len(*text) > 0 {
			err = errors.Join(err, json.Unmarshal(*text, into))
		}
	}
	var of []string
	for _, column := range slices.Sorted(maps.Keys(key)) {
		of = append(of, text(key[column]))
	}
	columns := maps.Clone(before)
	if columns == nil {
		columns = map[string]json.RawMessage{}
	}
	maps.Copy(columns, after)
	for _, column := range slices.Sorted(maps.Keys(columns)) {
		rows = append(rows, []string{change.Change, strings.Join(of, ", "), column, text(before[column]), text(after[column])})
	}
	if rows == nil {
		rows = [][]string{{change.Change, strings.Join(of, ", "), "", "", ""}}
	}
	return rows, err
}

// text returns a value as the views show it, "" for null.
func text(value json.RawMessage) (text string) {
	if len(value) > 0 && json.Unmarshal(value, &text) != nil {
		return string(value)
	}
	return text
}

func shortened(text string) string {
	const most = 60
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
