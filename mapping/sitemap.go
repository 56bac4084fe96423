package mapping

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Sitemap is what the file says of the sitemap of that name, or of all whose names begin
// alike, whether their records are mapped or not.
type Sitemap struct {
	Account                string
	Sitemap, SitemapPrefix string // one of the two is set
	// Key are the scraped columns that together tell one record of a job from another;
	// none for those of the mapping's key.
	Key []string
	// RecordsRetention is how long the records of an import are kept, 0 for good, and
	// KeepImports how many imports are kept whatever their age, 0 for none. Those that the
	// file does not set are nil.
	RecordsRetention *time.Duration
	KeepImports      *int

	line int
}

// LeastRecordsRetention is the shortest that makes sense.
const LeastRecordsRetention = time.Hour

// MostKeepImports is more than anybody scrapes.
const MostKeepImports = 1_000_000

// Sitemap returns what the file says of an account's sitemap: the entry of exactly that
// name, or else the one of the longest prefix that the name begins with, or one that says
// nothing.
func (m *Mappings) Sitemap(account, sitemapName string) Sitemap {
	var best Sitemap
	if m == nil {
		return best
	}
	for _, one := range m.sitemaps {
		switch {
		case one.Account != account:
		case one.Sitemap == sitemapName:
			return one
		case one.Sitemap == "" && strings.HasPrefix(sitemapName, one.SitemapPrefix) && len(one.SitemapPrefix) > len(best.SitemapPrefix):
			best = one
		}
	}
	return best
}

// Key returns the scraped columns that together tell one record of a job of the sitemap
// from another, none if the file does not say: the key of its entry, or that of its mapping.
func (m *Mappings) Key(account, sitemapName string) []string {
	if key := m.Sitemap(account, sitemapName).Key; len(key) > 0 {
		return key
	}
	of := m.For(account, sitemapName)
	if of == nil {
		return nil
	}
	var key []string
	for _, name := range of.Key {
		for _, column := range of.Columns {
			if column.Name == name {
				key = append(key, column.From)
			}
		}
	}
	return key
}

func (r *reader) sitemap(node *yaml.Node) {
	s := Sitemap{Account: sink.DefaultAccount, line: node.Line}
	found := r.object(node, "a sitemap",
		field{key: "account", read: func(account *yaml.Node) { s.Account = r.account(account) }},
		field{key: "sitemap", read: func(name *yaml.Node) { s.Sitemap = r.filled(name, "sitemap") }},
		field{key: "sitemap_prefix", read: func(prefix *yaml.Node) { s.SitemapPrefix = r.filled(prefix, "sitemap_prefix") }},
		field{key: "key", read: func(key *yaml.Node) {
			for _, column := range r.list(key, "key", "scraped columns") {
				s.Key = append(s.Key, r.filled(column, "a column of the key"))
			}
		}},
		field{key: "records_retention", read: func(retention *yaml.Node) { s.RecordsRetention = r.retention(retention) }},
		field{key: "keep_imports", read: func(keep *yaml.Node) { s.KeepImports = new(r.number(keep, "keep_imports", 0, MostKeepImports)) }},
	)
	if found == nil {
		return
	}
	r.ofWhichSitemap("the sitemap", s.line, found)
	r.sitemaps = append(r.sitemaps, s)
}

func (r *reader) retention(node *yaml.Node) *time.Duration {
	text := r.filled(node, "records_retention")
	retention, err := time.ParseDuration(text)
	if text != "" && (err != nil || retention != 0 && retention < LeastRecordsRetention) {
		r.problem(node.Line, "records_retention is %q: want a duration of at least %s, like 2160h, or 0 to keep records for good", text, LeastRecordsRetention)
	}
	return &retention
}
