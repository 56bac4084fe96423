package statuspage_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/browsertest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// sitemapPath returns the path of a sitemap's page.
func sitemapPath(qualified string) string { return "/sitemap?sitemap=" + url.QueryEscape(qualified) }

// addJobs adds n published jobs of a sitemap, a day apart, directly to the database; change
// returns the counts of the nth import's changes, or nil.
func (s *site) addJobs(account, sitemap string, first int64, n int, change func(n int) []int) {
	for i := range n {
		id := first + int64(i)
		at := time.Now().AddDate(0, 0, i-n)
		s.DB.MustExec(`INSERT INTO scrapehaul.scraping_jobs (scrapingjob_id, account, sitemap_name, status, time_created) VALUES ($1, $2, $3, 'finished', $4)`,
			id, account, sitemap, at)
		s.DB.MustExec(`INSERT INTO scrapehaul.imports (scrapingjob_id, workflow_run_id, pass, requested_at, state, bytes, sha256, committed_bytes, records, started_at, published_at)
			VALUES ($1, 'run', 1, $2, 'published', 1, 'abc', 1, $3, $2, $2)`, id, at, 20_000+500*(i%7))
		if counts := change(i); counts != nil {
			s.DB.MustExec(`UPDATE scrapehaul.imports SET new_records = $2, gone_records = $3, changed_records = $4, duplicate_keys = $5, compared_import_id = import_id
				WHERE scrapingjob_id = $1`, id, counts[0], counts[1], counts[2], counts[3])
		}
		s.DB.MustExec(`UPDATE scrapehaul.scraping_jobs SET published_import_id = (SELECT import_id FROM scrapehaul.imports AS i WHERE i.scrapingjob_id = $1) WHERE scrapingjob_id = $1`, id)
	}
}

func TestSitemapPageShowsTheChangesOfItsJobs(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "books", Records: webscrapertest.Products(20, 1)})
	s.Notify(id)
	s.WaitForStep(id, workflows.StepHold)
	s.addJobs("default", "laptops", 9000, 40, func(n int) []int {
		if n == 0 {
			return nil
		}
		return []int{100 + 37*(n*n%11), 80 + 29*(n*n%13), 600 + 71*(n*n%17), n % 9 / 8 * 3}
	})
	s.DB.MustExec(`UPDATE scrapehaul.imports SET state = 'removed', removed_at = '2026-11-30' WHERE scrapingjob_id BETWEEN 9000 AND 9037`)
	s.addJobs("acme", "laptops", 9100, 1, func(int) []int { return nil })
	s.addJobs("default", "unkeyed", 9200, 3, func(int) []int { return nil })

	tab := s.browser()
	text := s.goTo(tab, sitemapPath("laptops"))
	for _, part := range []string{
		"The last 30 finished jobs", "records, at most 23,000", "at most 2,169",
		"9039", "9010", "records removed on 2026-11-30", "starter diff laptops", "SELECT * FROM scrapehaul.changes('laptops');",
	} {
		require.Contains(t, text, part)
	}
	require.NotContains(t, text, "9009")
	require.NotContains(t, text, "9100", "another account's")
	require.Less(t, strings.Index(text, "9039"), strings.Index(text, "9010"))
	bars, err := browsertest.Evaluate[[]int](tab, `[...document.querySelectorAll("svg")].map(s => [...s.querySelectorAll("rect")].filter(r => r.getBoundingClientRect().height >= 1).length)`)
	require.NoError(t, err)
	require.Equal(t, []int{30, 90}, bars)
	s.requireReadable(tab, "sitemap", sitemapPath("laptops"))

	acme := s.goTo(tab, sitemapPath("acme:laptops"))
	require.Contains(t, acme, "9100")
	require.NotContains(t, acme, "9039")
	require.Contains(t, acme, "starter diff acme:laptops --key product-link-href")
	require.Contains(t, acme, "SELECT * FROM scrapehaul.changes('acme:laptops', '{product-link-href}');")
	require.NotContains(t, acme, "are not counted yet", "there is nothing to compare")
	s.addJobs("default", "rows", 9250, 2, func(int) []int { return nil })
	s.DB.MustExec(`UPDATE scrapehaul.imports SET rows_only = true WHERE scrapingjob_id IN (9250, 9251)`)
	rowsOnly := s.goTo(tab, sitemapPath("rows"))
	require.Contains(t, rowsOnly, "published, rows only")
	require.Contains(t, rowsOnly, "The records are not kept (keep_records: false), so jobs are not compared.")
	require.NotContains(t, rowsOnly, "starter diff")
	require.Contains(t, s.goTo(tab, sitemapPath("unkeyed")), "such as:\n\nsitemaps:\n  - {sitemap: \"unkeyed\", key: [product-link-href]}")
	s.requireReadable(tab, "sitemap-unkeyed", sitemapPath("unkeyed"))

	// Wherever a sitemap is named, it links to its page.
	s.goTo(tab, "/"+workflows.WorkflowID(id))
	s.tabTo(tab, "books")
	s.enter(tab, "Sitemap books")
	require.Contains(t, s.text(tab), workflows.WorkflowID(id))
}

func TestSitemapOfAnyNameHasAPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.StartWorker(s.Spool)
	s.WaitFor("the schema", func() bool {
		return s.Count(`SELECT count(*) FROM pg_tables WHERE schemaname = 'scrapehaul' AND tablename = 'imports'`) == 1
	})
	v := s.visitor()
	for n, name := range []string{
		"shop/books", "..", "o'brien", `say "hi"`, "<script>alert(1)</script>", "a&b=c?d#e", "100 %", "家電製品カタログ", "أسعار المنتجات", `back\slash`, longName,
	} {
		id := int64(9300 + n)
		s.addJobs("default", name, id, 1, func(int) []int { return nil })
		history := v.get("")
		_, link, found := strings.Cut(history.body, fmt.Sprintf(`/%d">`, id))
		require.True(t, found)
		_, link, _ = strings.Cut(link, `href="/imports`)
		link, _, _ = strings.Cut(link, `"`)
		answer := v.get(strings.ReplaceAll(link, "&amp;", "&"))
		require.Equal(t, http.StatusOK, answer.status, name)
		require.Contains(t, answer.body, fmt.Sprintf(`href="/imports/%d"`, id), name)
		require.NotContains(t, answer.body, "<script>")
	}
	require.Contains(t, v.get(sitemapPath("never-scraped")).body, "No finished job of this sitemap has been published yet")
	for _, path := range []string{"/sitemap", "/sitemap?sitemap=", "/sitemap?sitemap=acme:", "/sitemap?sitemap=%00", "/sitemap?sitemap=%ff"} {
		require.Equal(t, http.StatusNotFound, v.get(path).status, path)
	}
	require.NotContains(t, s.Log.String(), "Status page source unavailable")
	require.Contains(t, v.get(sitemapPath("o'brien")).body, "starter diff &#39;o&#39;\\&#39;&#39;brien&#39;")
}
