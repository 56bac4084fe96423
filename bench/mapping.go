package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/mapping"
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
    keep_records: %t
`

// Theirs has the same columns and the same key.
const (
	makeTheirs = `DROP TABLE IF EXISTS bench_theirs, bench_staging;
CREATE TABLE bench_theirs (scrapingjob_id bigint NOT NULL, scraped text PRIMARY KEY, start_url text, product_href text, product text, price numeric)`
	upsertTheirs = `
ON CONFLICT (scraped) DO UPDATE SET scrapingjob_id = excluded.scrapingjob_id, start_url = excluded.start_url, product_href = excluded.product_href,
    product = excluded.product, price = excluded.price`
	fromJSON = `INSERT INTO bench_theirs
SELECT 1, data ->> 'web-scraper-order', data ->> 'web-scraper-start-url', data ->> 'product-href', data ->> 'product',
       translate(data ->> 'price', '$,', '')::numeric FROM bench_staging` + upsertTheirs
	fromCSV = `INSERT INTO bench_theirs SELECT * FROM bench_staging` + upsertTheirs
)

// mappingPart measures a mapped table, empty before, against what one would do with psql. All
// contenders make the same rows.
type mappingPart struct {
	*importPart
	data *dataset
	csv  string // the rows as they are in the end
}

func measureMapping(ctx context.Context, s *stage, r *result) error {
	imports, err := s.importPart(ctx)
	if err != nil {
		return err
	}
	if imports.psql, err = findPSQL(); err != nil {
		return err
	}
	p := &mappingPart{importPart: imports}
	for _, mode := range []string{"upsert", "replace-job"} {
		for _, keep := range []bool{true, false} {
			name := filepath.Join(p.dir, fmt.Sprintf("%s-%t.yaml", mode, keep))
			if err := os.WriteFile(name, fmt.Appendf(nil, mappingFile, mode, keep), 0o600); err != nil {
				return err
			}
		}
	}
	shape := shapes(s.Records)[0]
	return p.measure(ctx, shape, p.contenders, func(data *dataset, contenders []contender, seconds figures) {
		for _, of := range []struct{ prefix, title string }{{"", "and the records kept"}, {"rows_only.", "rows only"}} {
			t := r.table(fmt.Sprintf("mapping: %s as rows of a table with 5 columns and a key, %s; medians, rounds: %d", shape.title, of.title, p.Rounds),
				"", "seconds", "records/s", "we are")
			own, took := []contender{}, figures{}
			for _, c := range contenders {
				name, ours := strings.CutPrefix(c.name, of.prefix)
				if ours && !strings.Contains(name, ".") || strings.HasPrefix(c.title, "psql") || c.name == "pgloader" {
					took[name] = seconds[c.name]
					own = append(own, contender{name: name, title: c.title, missing: c.missing})
				}
			}
			r.against(t, of.prefix, own, took, func(seconds float64) []string {
				return []string{thousands(float64(data.records) / seconds)}
			})
			r.set(of.prefix+"upsert_vs_unmapped", seconds["unmapped"]/took["ours"])
		}
		r.set("replace_job_vs_unmapped", seconds["unmapped"]/seconds["replace_job"])
	})
}

func (p *mappingPart) contenders(data *dataset) ([]contender, error) {
	p.data = data
	if err := p.writeCSV(); err != nil {
		return nil, err
	}
	warm, later := []int64{1, 1}, []int64{1, 2}
	loader := p.pgloader(p.csv, "bench_theirs")
	pgloader := p.contender(loader.name, loader.title, "bench_theirs", makeTheirs, loader.run)
	pgloader.missing = loader.missing
	return []contender{
		p.ours("ours", "ours: upsert", warm, "upsert-true"),
		p.ours("first_import", "the same, first import of a new worker", warm[:1], "upsert-true"),
		p.ours("again", "the same keys again, of a later job", later, "upsert-true", "--keep-rows"),
		p.ours("replace_job", "ours: replace-job", warm, "replace-job-true"),
		p.ours("unmapped", "ours: the records alone, without a mapping", warm, ""),
		p.ours("rows_only.ours", "ours: upsert", warm, "upsert-false"),
		p.ours("rows_only.first_import", "the same, first import of a new worker", warm[:1], "upsert-false"),
		p.ours("rows_only.again", "the same keys again, of a later job", later, "upsert-false", "--keep-rows"),
		p.theirs("jsonb_upsert", `psql \copy of the JSON into staging, then an upsert that cleans`,
			`CREATE UNLOGGED TABLE bench_staging (data jsonb)`,
			copyFrom("bench_staging", filepath.Join(data.dir, spoolFile), `with (format csv, quote e'\x01', delimiter e'\x02')`), fromJSON),
		p.theirs("csv_upsert", `psql \copy of clean CSV into staging, then an upsert`,
			`CREATE UNLOGGED TABLE bench_staging (LIKE bench_theirs)`, copyFrom("bench_staging", p.csv, "with (format csv)"), fromCSV),
		p.theirs("csv_copy", `psql \copy of clean CSV into the table with the key`, copyFrom("bench_theirs", p.csv, "with (format csv)")),
		pgloader,
	}, nil
}

func (p *mappingPart) ours(name, title string, jobs []int64, file string, flags ...string) contender {
	table := "scrapehaul.import_records"
	if file != "" {
		table = "bench_products"
		flags = append(flags, "--mappings", filepath.Join(p.dir, file+".yaml"))
	}
	return p.contender(name, title, table, `DROP TABLE IF EXISTS bench_products; DELETE FROM scrapehaul.mapped_tables`, func(ctx context.Context) (time.Duration, error) {
		return p.importPart.ours(ctx, p.data, jobs, flags...)
	})
}

func (p *mappingPart) theirs(name, title string, commands ...string) contender {
	return p.contender(name, title, "bench_theirs", makeTheirs, timed(func(ctx context.Context) error {
		return p.runPSQL(ctx, commands...)
	}))
}

// contender is one that fills the table. The statement comes before.
func (p *mappingPart) contender(name, title, table, before string, run func(context.Context) (time.Duration, error)) contender {
	return contender{name: name, title: title, prepare: func(ctx context.Context) error {
		if _, err := p.db.ExecContext(ctx, before); err != nil {
			return err
		}
		return emptyTables(ctx, p.db)
	}, run: func(ctx context.Context) (time.Duration, error) {
		took, err := run(ctx)
		if err != nil {
			return 0, err
		}
		return took, p.check(ctx, table, p.data.records)
	}}
}

// writeCSV writes the rows as our mapping makes them.
func (p *mappingPart) writeCSV() error {
	mappings, err := mapping.ReadFile(filepath.Join(p.dir, "upsert-true.yaml"))
	if err != nil {
		return err
	}
	download, err := os.Open(filepath.Join(p.data.dir, spoolFile))
	if err != nil {
		return err
	}
	defer download.Close()
	lines, converter := lineScanner(download), mappings.All()[0].NewConverter()
	p.csv = filepath.Join(p.data.dir, "rows.csv")
	return writeFile(p.csv, func(w io.Writer) error {
		rows := csv.NewWriter(w)
		for row := []string{"1"}; lines.Scan(); row = row[:1] {
			values, err := converter.Row(lines.Bytes())
			if err != nil {
				return err
			}
			for _, value := range values {
				row = append(row, string(value))
			}
			if err := rows.Write(row); err != nil {
				return err
			}
		}
		rows.Flush()
		return errors.Join(rows.Error(), lines.Err())
	})
}
