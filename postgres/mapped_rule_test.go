package postgres_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

// threeSitemaps maps three sitemaps to one table, each with its own mapping. Two, of different
// accounts, have the same name and ID.
const threeSitemaps = `
mappings:
  - sitemap: shop
    table: products
    columns: [{name: url, type: text}, {name: price, type: numeric}]
    %[1]s
  - sitemap: market
    table: products
    columns: [{name: price, from: cost, type: numeric, clean: [money]}, {name: url, from: link, type: text, clean: [lower]}]
    %[1]s
  - account: acme
    sitemap: shop
    table: products
    columns: [{name: price, from: cost, type: numeric, clean: [money]}, {name: url, from: link, type: text, clean: [lower]}]
    %[1]s
`

// ruleImport is an import of a job with its products.
type ruleImport struct {
	job      int64
	status   string
	absent   int64 // records of the job that are not in the file
	products []ruleProduct
}

type ruleProduct struct {
	url   string
	price int
	fits  bool
}

// Jobs belong to the sitemaps in turn.
func (i ruleImport) sitemap() string { return []string{"shop", "acme:shop", "market"}[i.job%3] }

func (i ruleImport) complete() bool {
	return i.status == "finished" && i.absent == 0 && !slices.ContainsFunc(i.products, func(p ruleProduct) bool { return !p.fits })
}

func (i ruleImport) record(p ruleProduct) string {
	price := fmt.Sprint(p.price)
	if !p.fits {
		price = "cheap"
	}
	if i.sitemap() != "shop" {
		return fmt.Sprintf(`{"link":%q,"cost":"$%s.00","other":1}`, strings.ToUpper(p.url), price)
	}
	return fmt.Sprintf(`{"url":%q,"price":%q}`, p.url, price)
}

// ruleRow is a row of the table.
type ruleRow struct {
	Job    int64  `db:"scrapingjob_id"`
	URL    string `db:"url"`
	Price  int    `db:"price"`
	Active bool   `db:"active"`
}

// ruleRows returns the rows of a table in a mode, derived from the published imports by the
// rule in docs/mapping.md.
func ruleRows(mode string, published map[int64]ruleImport) []ruleRow {
	jobs, newestComplete := slices.Sorted(maps.Keys(published)), map[string]int64{}
	for _, id := range jobs {
		if i := published[id]; i.complete() {
			newestComplete[i.sitemap()] = id
		}
	}
	if mode == "append" {
		slices.Reverse(jobs)
	}
	of := map[string]ruleRow{} // by the unique key
	for _, id := range jobs {
		i := published[id]
		if mode == "append" {
			i.products = slices.Clone(i.products)
			slices.Reverse(i.products)
		}
		for n, p := range i.products {
			unique := p.url
			switch mode {
			case "replace-job":
				unique = fmt.Sprint(id, " ", p.url)
			case "without a key":
				unique = fmt.Sprint(id, " ", n)
			}
			if p.fits {
				of[unique] = ruleRow{id, p.url, p.price, id >= newestComplete[i.sitemap()]}
			}
		}
	}
	return sortedRows(slices.Collect(maps.Values(of)))
}

func sortedRows(rows []ruleRow) []ruleRow {
	slices.SortFunc(rows, func(a, b ruleRow) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.URL, b.URL), cmp.Compare(a.Price, b.Price))
	})
	return rows
}

// SOAK=1 runs many more sequences; -rapid.seed repeats one.
func TestATableMatchesThePublishedImports(t *testing.T) {
	t.Parallel()
	checks := "25"
	if os.Getenv("SOAK") != "" {
		checks = "300"
	}
	require.NoError(t, flag.Set("rapid.checks", checks))
	require.NoError(t, flag.Set("rapid.nofailfile", "true"))
	for mode, settings := range map[string]string{
		"replace-job":   "mode: replace-job\n    key: [url]",
		"without a key": "mode: replace-job",
		"append":        "mode: append\n    key: [url]",
		"upsert":        "mode: upsert\n    key: [url]\n    deactivate_missing: {column: active, brake_percent: 100}",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			_, db := newStore(t)
			db.MustExec(`CREATE TABLE public.products (scrapingjob_id bigint NOT NULL, url text, price numeric, active boolean NOT NULL DEFAULT true, note text);` +
				map[string]string{
					"replace-job": `CREATE UNIQUE INDEX ON public.products (scrapingjob_id, url)`, "without a key": ``,
				}[mode])
			if mode == "append" || mode == "upsert" {
				db.MustExec(`CREATE UNIQUE INDEX ON public.products (url)`)
			}
			store := mapped(t, db, fmt.Sprintf(threeSitemaps, settings))
			rapid.Check(t, func(r *rapid.T) {
				db.MustExec(`TRUNCATE products, scrapehaul.imports, scrapehaul.import_records, scrapehaul.scraping_jobs CASCADE`)
				published, before := map[int64]ruleImport{}, []ruleRow(nil)
				for n := range rapid.IntRange(1, 8).Draw(r, "imports") {
					i := drawRuleImport(r, 100*n)
					if rapid.IntRange(0, 7).Draw(r, "abandoned") == 7 {
						require.NoError(r, beginRuleImport(r, store, i).Abandon(r.Context()))
					} else {
						require.NoError(r, beginRuleImport(r, store, i).Publish(r.Context(), func() {}))
						published[i.job] = i
					}
					before = requireRule(r, db, mode, published, before)
				}
			})
		})
	}
}

func drawRuleImport(r *rapid.T, price int) ruleImport {
	i := ruleImport{
		job:    rapid.Int64Range(1, 6).Draw(r, "job"),
		status: rapid.SampledFrom([]string{"finished", "finished", "finished", "stopped"}).Draw(r, "status"),
		absent: rapid.SampledFrom([]int64{0, 0, 0, 1}).Draw(r, "absent"),
	}
	for n, url := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 0, 6).Draw(r, "products") {
		fits := rapid.IntRange(0, 9).Draw(r, "fits") > 0
		i.products = append(i.products, ruleProduct{url, price + n, fits})
	}
	return i
}

// beginRuleImport commits the records of an import that will merge few at a time.
func beginRuleImport(r *rapid.T, store *postgres.Store, i ruleImport) sink.Import {
	now, records := time.Now(), int64(len(i.products))
	name, acme := strings.CutPrefix(i.sitemap(), "acme:")
	account := sink.DefaultAccount
	if acme {
		account = "acme"
	}
	attempt, err := store.BeginImport(r.Context(), sink.ImportRequest{
		Job: sink.ScrapingJob{
			ScrapingJobID: i.job, Account: account, SitemapID: int64(len(name)), SitemapName: name, Status: i.status, StoredRecordCount: records + i.absent,
		},
		WorkflowRunID: now.String(), RequestedAt: now, Bytes: records, SHA256: "abc",
		Accepted: []sink.Question{{Kind: sink.ManyRowsMissing, Worse: math.MaxInt64}},
	})
	require.NoError(r, err)
	postgres.SetPiece(attempt, 2)
	batch := attempt.NewBatch()
	for n, p := range i.products {
		batch.Add(int64(n+1), []byte(i.record(p)))
	}
	batch.EndsAt(records, records)
	require.NoError(r, commitBatch(r.Context(), attempt, batch))
	return attempt
}

// requireRule requires that the table matches the published imports and that rows keep the
// host's notes. It returns the rows.
func requireRule(r *rapid.T, db *sqlx.DB, mode string, published map[int64]ruleImport, before []ruleRow) []ruleRow {
	var found []struct {
		ruleRow
		Note *string `db:"note"`
	}
	require.NoError(r, db.SelectContext(r.Context(), &found, `SELECT scrapingjob_id, url, price::int, active, note FROM products`))
	want, rows, noted := ruleRows(mode, published), []ruleRow{}, map[string]bool{}
	for _, row := range found {
		rows, noted[row.URL] = append(rows, row.ruleRow), row.Note != nil
	}
	if mode != "upsert" { // nothing is deactivated
		for n := range want {
			want[n].Active = true
		}
	}
	require.Equal(r, append([]ruleRow{}, want...), sortedRows(rows), "published: %+v", published)
	for _, row := range before {
		if kept, ok := noted[row.URL]; ok && (mode == "upsert" || mode == "append") {
			require.True(r, kept, "the host's column of %s is lost", row.URL)
		}
	}
	db.MustExec(`UPDATE products SET note = 'of the host'`)
	return rows
}
