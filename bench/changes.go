package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// nextJob is the sitemap's next job, of which the records come in another order: every 20th
// has another price, every 100th is gone, and as many are new.
const nextJob = `
INSERT INTO scrapehaul.scraping_jobs (scrapingjob_id, sitemap_name, status) VALUES (2, 'bench', 'finished');
INSERT INTO scrapehaul.imports (scrapingjob_id, workflow_run_id, pass, requested_at, bytes, sha256, state, published_at)
SELECT 2, 'bench', 1, now(), 0, '', 'published', now();
UPDATE scrapehaul.scraping_jobs SET published_at = now(),
    published_import_id = (SELECT import_id FROM scrapehaul.imports AS import WHERE import.scrapingjob_id = 2) WHERE scrapingjob_id = 2;
INSERT INTO scrapehaul.import_records (import_id, record_number, data)
SELECT next.published_import_id, row_number() OVER (ORDER BY record_number / 1000, record_number # 37),
       data || jsonb_build_object('web-scraper-order', '1700000000-' || record_number)
            || CASE WHEN record_number % 20 = 0 THEN '{"price": "$1.00"}'::jsonb ELSE '{}' END
            || CASE WHEN record_number % 100 = 7 THEN jsonb_build_object('product-href', 'https://webscraper.io/new/' || record_number) ELSE '{}' END
FROM scrapehaul.scraped_records AS record, scrapehaul.scraping_jobs AS next
WHERE record.scrapingjob_id = 1 AND next.scrapingjob_id = 2`

// fullJoin is what one would write oneself; it returns both columns of each pair.
const fullJoin = `
SELECT * FROM (SELECT * FROM sitemaps.bench WHERE scrapingjob_id = 1) AS old
FULL JOIN (SELECT * FROM sitemaps.bench WHERE scrapingjob_id = 2) AS new USING ("product-href")
WHERE (old.category, old.subcategory, old.product, old.price, old.reviews, old.rating, old."image-src", old.description)
    IS DISTINCT FROM (new.category, new.subcategory, new.product, new.price, new.reviews, new.rating, new."image-src", new.description)`

// measureChanges compares scrapehaul.changes of two jobs with a join of the sitemap's view
// with itself.
func measureChanges(ctx context.Context, s *stage, r *result) (err error) {
	p, err := s.importPart(ctx)
	if err != nil {
		return err
	}
	shape := shapes(s.Records)[0]
	p.step("Preparing two jobs of " + shape.title)
	data, err := prepare(shape, p.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(data.dir)) }()
	if _, err := p.ours(ctx, data, []int64{1}); err != nil {
		return err
	}
	for _, statement := range append(strings.Split(nextJob, ";"), `VACUUM ANALYZE`, `CHECKPOINT`) {
		if _, err := p.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", strings.Fields(statement)[0], err)
		}
	}
	contenders := []contender{
		{name: "ours", title: "scrapehaul.changes", run: p.discarding(`SELECT * FROM scrapehaul.changes('bench', '{product-href}')`)},
		{name: "count", title: "the same, counted as after an import", run: p.discarding(
			`SELECT change, count(*) FROM scrapehaul.changes('bench', '{product-href}') GROUP BY change`)},
		{name: "full_join", title: "a FULL JOIN of the view with itself", run: p.discarding(fullJoin)},
	}
	seconds, err := p.compare(ctx, contenders)
	if err != nil {
		return err
	}
	t := r.table(fmt.Sprintf("changes: two jobs of %s, 5 %% changed, 1 %% new, 1 %% gone; medians, rounds: %d", shape.title, p.Rounds),
		"", "seconds", "records/s", "we are")
	r.against(t, "", contenders, seconds, func(seconds float64) []string { return []string{thousands(2 * float64(data.records) / seconds)} })
	return nil
}
