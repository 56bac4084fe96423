package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"
)

// tableOfView is a plain table with the rows of the sitemap's view.
const tableOfView = `
DROP TABLE IF EXISTS bench_read;
CREATE TABLE bench_read AS SELECT * FROM sitemaps.bench;
ALTER TABLE bench_read ADD PRIMARY KEY (scrapingjob_id, record_number)`

// discarded makes the server compute the whole result without sending it.
const discarded = `COPY (%s) TO '/dev/null'`

func (p *importPart) discarding(query string) func(context.Context) (time.Duration, error) {
	return timed(func(ctx context.Context) error {
		_, err := p.db.ExecContext(ctx, fmt.Sprintf(discarded, query))
		return err
	})
}

// measureRead compares reading a sitemap's view with reading a plain table of the same
// texts. Both are vacuumed.
func measureRead(ctx context.Context, s *stage, r *result) error {
	p, err := s.importPart(ctx)
	if err != nil {
		return err
	}
	wide := min(s.Records, wideRecords)
	for _, each := range []struct {
		shape         shape
		column, value string
	}{
		{shapes(s.Records)[0], "price", "$88.99"},
		{shape{"wide.", fmt.Sprintf("%s records of %d columns, one text of 48 kB", thousands(float64(wide)), wideColumns), wide, writing(wideRecord())},
			`"column 7"`, "value 7 of 8"},
	} {
		if err := p.measureReading(ctx, r, each.shape, each.column, each.value); err != nil {
			return fmt.Errorf("%s: %w", each.shape.title, err)
		}
	}
	return nil
}

func (p *importPart) measureReading(ctx context.Context, r *result, shape shape, column, value string) (err error) {
	p.step("Preparing " + shape.title)
	data, err := prepare(shape, p.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data.dir)) }()
	if _, err := p.ours(ctx, data, []int64{1}); err != nil {
		return err
	}
	for _, statement := range append(strings.Split(tableOfView, ";"), `VACUUM ANALYZE`, `CHECKPOINT`) {
		if _, err := p.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", strings.Fields(statement)[0], err)
		}
	}
	t := r.table(fmt.Sprintf("read: %s; medians, rounds: %d", shape.title, p.Rounds), "", "view, seconds", "table, seconds", "the view is")
	for _, of := range []struct{ name, title, query string }{
		{"view", "the whole view", `SELECT * FROM %s`},
		{"column", "one column", `SELECT ` + column + ` FROM %s`},
		{"filter", "a filter on a column", `SELECT * FROM %s WHERE ` + column + ` = ` + pq.QuoteLiteral(value)},
		{"count", "count(*)", `SELECT count(*) FROM %s`},
	} {
		read := func(name, from string) contender {
			return contender{name: name, title: of.title + " of " + from, run: p.discarding(fmt.Sprintf(of.query, from))}
		}
		seconds, err := p.compare(ctx, []contender{read("view", "sitemaps.bench"), read("table", "bench_read")})
		if err != nil {
			return err
		}
		t.row(of.title, r.figure(shape.key+of.name+"_seconds", "%.3f", seconds["view"]), fmt.Sprintf("%.3f", seconds["table"]),
			r.figure(shape.key+of.name+"_vs_table", "%.2f × as fast", seconds["table"]/seconds["view"]))
	}
	return nil
}

const (
	wideRecords = 2000
	wideColumns = 200
)

func wideRecord() func(i int) string {
	text := texts(48_000)
	return func(i int) string {
		record := fmt.Appendf(nil, `{"web-scraper-order":"1614248295-%d","text":"%s"`, i+1, text())
		for column := range wideColumns - 2 {
			record = fmt.Appendf(record, `,"column %d":"value %d of %d"`, column, column, i)
		}
		return string(append(record, '}'))
	}
}
