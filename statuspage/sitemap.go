package statuspage

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/scrapehaul/scrapehaul/internal/overview"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink"
)

const (
	sitemapPath = "/sitemap"
	// sitemapImports is how many imports a sitemap's page shows.
	sitemapImports = 30
)

// Of returns a sitemap for a template to link to.
func (f frame) Of(account, name string) sitemapOnPage { return sitemapOnPage{f.Base, account, name} }

type sitemapOnPage struct{ Base, Account, Name string }

// Qualified returns the sitemap's name with its account, as commands and views use it.
func (s sitemapOnPage) Qualified() string { return sink.QualifiedSitemap(s.Account, s.Name) }

// NamedAccount returns the account, "" for the default one.
func (s sitemapOnPage) NamedAccount() string { return overview.NamedAccount(s.Account) }

type sitemapPage struct {
	frame
	Sitemap sitemapOnPage
	Imports []postgres.PastImport // of finished jobs, latest first
	Plot    plot
}

// Compared reports whether the changes of any import are known.
func (p sitemapPage) Compared() bool {
	return slices.ContainsFunc(p.Imports, func(i postgres.PastImport) bool { return i.ComparedImportID.Valid })
}

// Command returns the shell command that compares the two latest jobs.
func (p sitemapPage) Command() string {
	name := p.Sitemap.Qualified()
	if strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_.:", r)
	}) {
		name = quoted(name, `'\''`)
	}
	return "starter diff " + name + p.ifUnkeyed(" --key product-link-href")
}

// ifUnkeyed returns key if the sitemap has none.
func (p sitemapPage) ifUnkeyed(key string) string {
	if p.Compared() {
		return ""
	}
	return key
}

// Query returns the SQL that compares the two latest jobs.
func (p sitemapPage) Query() string {
	return "SELECT * FROM scrapehaul.changes(" + quoted(p.Sitemap.Qualified(), "''") + p.ifUnkeyed(", '{product-link-href}'") + ");"
}

func quoted(text, quote string) string { return "'" + strings.ReplaceAll(text, "'", quote) + "'" }

func (h *handler) showSitemap(c *gin.Context) {
	account, name, named := strings.Cut(c.Query("sitemap"), ":")
	if !named {
		account, name = sink.DefaultAccount, account
	}
	if name == "" || !utf8.ValidString(account+name) || strings.Contains(account+name, "\x00") {
		h.refuseAddress(c, "The address must name a sitemap: ?sitemap=my-sitemap, or ?sitemap=acme:my-sitemap of account acme.")
		return
	}
	page := sitemapPage{frame: h.frame(c, "Sitemap "+name)}
	page.Sitemap = page.Of(account, name)
	if found := h.postgres.read(c.Request.Context(), func(ctx context.Context) (err error) {
		page.Imports, err = h.options.Store.SitemapHistory(ctx, account, name, sitemapImports)
		return err
	}); found != nil {
		page.Outages = append(page.Outages, *found)
	}
	page.Plot = plotOf(page.Imports)
	slices.Reverse(page.Imports)
	h.render(c, http.StatusOK, "sitemap.html", page)
}

// plot shows imports as bars, the latest last. Its sizes have no unit: the page stretches
// it.
type plot struct {
	Width                    int
	MostRecords, MostChanges int64
	Zero                     float64 // the line between additions and removals
	Bars                     []bars
}

// bars are the bars of an import.
type bars struct {
	Title            string
	Records, Changes []bar
}

type bar struct {
	Kind                string // its CSS class
	X, Y, Width, Height float64
}

const (
	plotHeight = 100
	slot       = 10 // the width of an import, with the gap to the next one
	minSlots   = 10 // keeps the bars narrow if there are few imports
)

func plotOf(imports []postgres.PastImport) plot {
	p := plot{Width: slot * max(len(imports), minSlots)}
	var up, down int64
	for _, i := range imports {
		p.MostRecords = max(p.MostRecords, i.Records)
		up, down = max(up, i.New+i.Changed), max(down, i.Gone)
	}
	p.MostChanges = max(up, down)
	// Small numbers stay visible.
	height := func(n, of int64) float64 {
		if n == 0 {
			return 0
		}
		return max(1, plotHeight*float64(n)/float64(of))
	}
	p.Zero = plotHeight - height(down, up+down)
	for n, i := range imports {
		left := float64(slot*n) + 1
		all := bars{Title: fmt.Sprintf("Job %d: %d records", i.ScrapingJobID, i.Records)}
		draw := func(to *[]bar, kind string, y, height float64) {
			*to = append(*to, bar{kind, left, y, slot - 2, height})
		}
		records := height(i.Records, p.MostRecords)
		draw(&all.Records, "records", plotHeight-records, records)
		if i.ComparedImportID.Valid {
			all.Title += fmt.Sprintf(", %d new, %d gone, %d changed", i.New, i.Gone, i.Changed)
			added, changed := height(i.New, up+down), height(i.Changed, up+down)
			draw(&all.Changes, "new", p.Zero-added, added)
			draw(&all.Changes, "changed", p.Zero-added-changed, changed)
			draw(&all.Changes, "gone", p.Zero, height(i.Gone, up+down))
		}
		p.Bars = append(p.Bars, all)
	}
	return p
}
