package main

import (
	"context"
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

// measureMapping measures what rows of a mapped table cost beside the records.
// The table is empty before.
func measureMapping(ctx context.Context, s *stage, r *result) error {
	p, err := s.importPart(ctx)
	if err != nil {
		return err
	}
	files := map[string]string{}
	for _, mode := range []string{"replace-job", "upsert"} {
		files[mode] = filepath.Join(p.dir, mode+".yaml")
		if err := os.WriteFile(files[mode], fmt.Appendf(nil, mappingFile, mode), 0o600); err != nil {
			return err
		}
	}
	shape := shapes(s.Records)[0]
	return p.measure(ctx, shape, func(data *dataset) []contender {
		load := func(name, title string, flags ...string) contender {
			return contender{name: name, title: title, prepare: p.dropMapped, run: func(ctx context.Context) (time.Duration, error) {
				return p.ours(ctx, data, flags...)
			}}
		}
		return []contender{
			load("ours", "without a mapping"),
			load("replace_job", "replace-job", "--mappings", files["replace-job"]),
			load("upsert", "upsert", "--mappings", files["upsert"]),
		}
	}, func(data *dataset, contenders []contender, seconds figures) {
		t := r.table(fmt.Sprintf("mapping: %s as rows of a table with 5 columns and a key too; medians, rounds: %d", shape.title, p.Rounds),
			"", "seconds", "records/s", "without it")
		for _, c := range contenders {
			took, without := seconds[c.name], ""
			if c.name != "ours" {
				without = fmt.Sprintf("%.2f × as fast", took/seconds["ours"])
				r.set(c.name+"_vs_unmapped", seconds["ours"]/took)
			}
			t.row(c.title, r.figure(c.name+"_seconds", "%.2f", took), thousands(float64(data.records)/took), without)
		}
	})
}

func (p *importPart) dropMapped(ctx context.Context) error {
	_, err := p.db.ExecContext(ctx, `DROP TABLE IF EXISTS bench_products`)
	return err
}
