package mapping

import (
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Sitemap is the file's entry for a sitemap, or for all sitemaps with a name prefix, whether
// their records are mapped or not.
type Sitemap struct {
	Account                string
	Sitemap, SitemapPrefix string // one of them is set
	// Key are the scraped columns that together identify a record within a job; empty for
	// the mapping's key.
	Key []string
	// RecordsRetention is how long to keep the records of an import, 0 for forever, and
	// KeepImports how many imports to keep regardless of age, 0 for none. nil if the file
	// does not set it.
	RecordsRetention *time.Duration
	KeepImports      *int

	line int
}

// MinRecordsRetention is the shortest valid RecordsRetention.
const MinRecordsRetention = time.Hour

// MaxKeepImports is the largest valid KeepImports.
const MaxKeepImports = 1_000_000

// Sitemap returns the file's entry for an account's sitemap: the one with exactly this name,
// or else the one with the longest matching prefix, or an empty one.
func (m *Mappings) Sitemap(account, sitemapName string) Sitemap {
	if m == nil {
		return Sitemap{}
	}
	return find(m.sitemaps, account, sitemapName, func(one Sitemap) (account, name, prefix string) {
		return one.Account, one.Sitemap, one.SitemapPrefix
	})
}

// Key returns the scraped columns that together identify a record within a job of the
// sitemap: the key of its entry, or else of its mapping, or none.
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
		field{key: "keep_imports", read: func(keep *yaml.Node) { s.KeepImports = new(r.number(keep, "keep_imports", 0, MaxKeepImports)) }},
	)
	if found == nil {
		return
	}
	r.ofWhichSitemap("the entry", s.line, found)
	r.sitemaps = append(r.sitemaps, s)
}

func (r *reader) retention(node *yaml.Node) *time.Duration {
	text := r.filled(node, "records_retention")
	retention, err := time.ParseDuration(text)
	if text != "" && (err != nil || retention != 0 && retention < MinRecordsRetention) {
		r.problem(node.Line, "records_retention is %q: want a duration of at least %s, like 2160h, or 0 to keep records forever", text, MinRecordsRetention)
	}
	return &retention
}
