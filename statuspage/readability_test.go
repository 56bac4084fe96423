package statuspage_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/browsertest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// lowContrast lists the texts of a page whose contrast with their background is below
// WCAG's AA level: 4.5, or 3 for large text.
const lowContrast = `(() => {
	const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
	const parse = color => {
		canvas.clearRect(0, 0, 1, 1);
		canvas.fillStyle = color;
		canvas.fillRect(0, 0, 1, 1);
		const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
		return {r, g, b, a: a / 255};
	};
	const over = (top, under) => ({
		r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a), b: top.b * top.a + under.b * (1 - top.a), a: 1,
	});
	const luminance = ({r, g, b}) => {
		const [R, G, B] = [r, g, b].map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
		return 0.2126 * R + 0.7152 * G + 0.0722 * B;
	};
	const behind = element => {
		const layers = [];
		for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
		const canvasColor = matchMedia("(prefers-color-scheme: dark)").matches ? parse("#121212") : parse("#fff");
		return layers.reverse().reduce((under, top) => over(top, under), canvasColor);
	};
	let checked = 0;
	const low = [];
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (texts.nextNode()) {
		const text = texts.currentNode.textContent.trim(), element = texts.currentNode.parentElement;
		if (!text || !element.getClientRects().length) continue;
		const style = getComputedStyle(element), under = behind(element);
		const [a, b] = [luminance(over(parse(style.color), under)), luminance(under)];
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		const size = parseFloat(style.fontSize), bold = parseInt(style.fontWeight) >= 700;
		checked++;
		if (contrast < (size >= 24 || size >= 18.66 && bold ? 3 : 4.5)) low.push(contrast.toFixed(2) + " " + element.tagName + "." + element.className + ": " + text.slice(0, 40));
	}
	return {checked, low};
})()`

// tooWide lists the elements that extend beyond the window's right edge.
const tooWide = `(() => {
	const width = document.documentElement.clientWidth;
	const wide = [...document.querySelectorAll("body *")]
		.filter(e => e.getBoundingClientRect().right > width + 0.5 && !e.closest("thead, .skip"))
		.map(e => e.tagName + "." + e.className + ": " + e.textContent.trim().slice(0, 40));
	if (document.documentElement.scrollWidth > width) wide.push("the page: " + document.documentElement.scrollWidth);
	return wide;
})()`

// withoutName lists the elements without an accessible name.
const withoutName = `[...document.querySelectorAll("a, button, progress, section, nav")]
	.filter(e => !(e.getAttribute("aria-label") || document.getElementById(e.getAttribute("aria-labelledby"))?.textContent || e.textContent).trim())
	.map(e => e.outerHTML.slice(0, 80))`

const longName = "Ersatzteilkatalog-Großhandel-Nordrhein-Westfalen-mit-allen-Varianten-und-Verfügbarkeiten-nach-Standort-und-Lieferant-2026"

// busySite returns a site with many imports in different states.
func busySite(t *testing.T) (s *site, rejecting, scraping int64) {
	s = newSite(t, nil)
	s.StartWorker(s.Spool)
	for n, sitemap := range []string{"laptops-shop-de", "家電製品カタログ", longName} {
		id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: sitemap, Records: webscrapertest.Products(40_000+20_000*n, 1)})
		s.drip(id)
		s.Notify(id)
		s.WaitForStep(id, workflows.StepDownload)
		t.Cleanup(func() { s.terminate(id) })
	}
	scraping = s.RunSitemap(longName+"-3", "https://example.com/[1-20000]")
	t.Cleanup(func() { s.terminate(scraping) })
	for _, sitemap := range []string{"books", "цены-на-электронику", "أسعار المنتجات"} {
		id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: sitemap, Records: webscrapertest.Products(1200, 1)})
		s.Notify(id)
		s.WaitForStep(id, workflows.StepHold)
	}
	rejecting = s.addRejecting("tires-and-wheels")
	s.Notify(rejecting)
	s.Attention(rejecting)
	short := s.Cloud.AddJob(webscrapertest.Job{SitemapName: longName + "-2", Records: webscrapertest.RawBody(strings.Repeat(`{"a":"b"}`+"\n", 900), 1000)})
	s.Notify(short)
	s.Attention(short)
	s.addHistory(60)
	s.DB.MustExec(`UPDATE scrapehaul.imports SET problem = 'the follow-up workflow Sync on task queue shop was not started: refused'
		WHERE import_id = (SELECT max(import_id) FROM scrapehaul.imports)`)
	return s, rejecting, scraping
}

// addHistory adds past imports directly to the database.
func (s *site) addHistory(n int) {
	random := rand.New(rand.NewPCG(1, 1))
	names := []string{"laptops-shop-de", "books", "家電製品カタログ", longName, "цены-на-электронику"}
	for i := range n {
		id := 9000 + i%5
		s.DB.MustExec(`INSERT INTO scrapehaul.scraping_jobs (scrapingjob_id, sitemap_name) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, names[i%5])
		state := "replaced"
		if i >= n-5 {
			state = "published"
		}
		rejected := max(0, random.IntN(40)-30) * 100
		records := 20_000 + random.IntN(30_000)
		start := time.Now().Add(-time.Duration(n-i) * 3 * time.Hour)
		s.DB.MustExec(`INSERT INTO scrapehaul.imports (scrapingjob_id, workflow_run_id, pass, requested_at, state, bytes, sha256, committed_bytes,
			records, rejected, started_at, published_at) VALUES ($1, $2, 1, $3, $4, $5, 'abc', $5, $6, $7, $3, $8)`,
			id, fmt.Sprintf("00000000-0000-0000-0000-%012d", i), start, state, records*523, records, rejected,
			start.Add(time.Duration(2+random.IntN(90))*time.Second))
	}
	s.DB.MustExec(`UPDATE scrapehaul.imports SET state = 'removed', removed_at = now() - interval '3 days'
		WHERE import_id = (SELECT max(import_id) FROM scrapehaul.imports WHERE state = 'replaced')`)
}

func TestPagesAreReadableAtEverySizeInBothSchemes(t *testing.T) {
	t.Parallel()
	s, rejecting, scraping := busySite(t)
	tab := s.browser()
	require.NoError(t, tab.View(1000, 1200, browsertest.Light))
	s.WaitFor("the progress of all four", func() bool {
		text := s.goTo(tab, "")
		return strings.Count(text, "/s") >= 3 && regexp.MustCompile(`[1-9]\d* pages of 20,000 pages, \d+ %, [1-9]`).MatchString(text)
	})
	require.Contains(t, s.text(tab), "Not done: the follow-up workflow Sync on task queue shop was not started: refused")
	s.picture(tab, "status-page")
	require.NoError(t, tab.View(1000, 1200, browsertest.Dark))
	s.picture(tab, "status-page-dark")
	pages := map[string]string{
		"overview": "", "import": "/" + workflows.WorkflowID(rejecting), "confirm": "/" + workflows.WorkflowID(rejecting) + "/accept",
		"scrape": "/" + workflows.WorkflowID(scraping), "history": "/9001", "problem": "/nothing",
	}
	for name, path := range pages {
		s.requireReadable(tab, name, path)
	}
}

// requireReadable checks a page at several sizes in both color schemes.
func (s *site) requireReadable(tab *browsertest.Tab, name, path string) {
	t := s.T
	t.Helper()
	for _, view := range []struct {
		width  int64
		scheme browsertest.Scheme
	}{{1280, browsertest.Light}, {1280, browsertest.Dark}, {700, browsertest.Light}, {360, browsertest.Light}, {360, browsertest.Dark}} {
		require.NoError(t, tab.View(view.width, 1000, view.scheme))
		s.goTo(tab, path)
		where := fmt.Sprintf("%s-%d-%s", name, view.width, view.scheme)
		s.picture(tab, where)

		contrast, err := browsertest.Evaluate[struct {
			Checked int      `json:"checked"`
			Low     []string `json:"low"`
		}](tab, lowContrast)
		require.NoError(t, err)
		require.Greater(t, contrast.Checked, 5, where)
		require.Empty(t, contrast.Low, where)

		wide, err := browsertest.Evaluate[[]string](tab, tooWide)
		require.NoError(t, err)
		require.Empty(t, wide, where)

		nameless, err := browsertest.Evaluate[[]string](tab, withoutName)
		require.NoError(t, err)
		require.Empty(t, nameless, where)
	}
}
