package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// mappingFile maps the columns of the records of 520 bytes.
const mappingFile = `
mappings:
  - sitemap: bench
    table: bench_products
    columns:
      - {name: scraped, from: web-scraper-order, type: text}
      - {name: start_url, from: web-scraper-start-url, type: text}
      - {name: product_href, from: product-href, type: text}
      - {name: product, type: text}
      - {name: price, type: numeric, clean: [money]}
    key: [scraped]
    mode: %s
`

const dropMapped = `DROP TABLE IF EXISTS bench_products`

// measureMapping measures what rows of a mapped table cost beside the records.
// The table is empty before.
func measureMapping(ctx context.Context, s *stage, r *result) (err error) {
	p := &importPart{stage: s}
	if p.db, p.databaseURL, err = s.database(ctx); err != nil {
		return err
	}
	shape := shapes(s.Records)[0]
	p.step("Preparing " + shape.title)
	data, err := prepare(shape, p.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data.dir)) }()
	contenders := []contender{{name: "ours", title: "without a mapping", run: func(ctx context.Context) (time.Duration, error) {
		return p.ours(ctx, data)
	}}}
	for name, mode := range map[string]string{"replace_job": "replace-job", "upsert": "upsert"} {
		file := filepath.Join(data.dir, name+".yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, mappingFile, mode), 0o600); err != nil {
			return err
		}
		contenders = append(contenders, contender{name: name, title: mode, run: func(ctx context.Context) (time.Duration, error) {
			return p.ours(ctx, data, "--mappings", file)
		}})
	}
	for i := range contenders {
		contenders[i].prepare = func(ctx context.Context) error {
			_, err := p.db.ExecContext(ctx, dropMapped)
			return err
		}
	}
	p.step("Loading once before the rounds: a new server has to make its files of WAL first")
	if _, err := contenders[0].once(ctx); err != nil {
		return err
	}
	seconds, err := p.compare(ctx, contenders)
	if err != nil {
		return err
	}
	t := r.table(fmt.Sprintf("mapping: %s as rows of a table with 5 columns and a key too; medians, rounds: %d", shape.title, p.Rounds),
		"", "seconds", "records/s", "without it")
	for _, c := range contenders {
		took := seconds[c.name]
		r.set(c.name+"_seconds", took)
		without := ""
		if c.name != "ours" {
			without = fmt.Sprintf("%.2f × as fast", took/seconds["ours"])
			r.set(c.name+"_vs_unmapped", seconds["ours"]/took)
		}
		t.row(c.title, fmt.Sprintf("%.2f", took), thousands(float64(data.records)/took), without)
	}
	return nil
}
