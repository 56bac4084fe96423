package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scrapehaul/scrapehaul/sink"
)

// checkTogether checks mappings and sitemaps for conflicts with each other.
func (r *reader) checkTogether() {
	named, prefixed := map[string]int{}, map[string]int{}
	for _, s := range r.sitemaps {
		r.checkOnce(s.Account, s.line, named, "sitemap", s.Sitemap, "an entry")
		r.checkOnce(s.Account, s.line, prefixed, "sitemap_prefix", s.SitemapPrefix, "an entry")
	}
	sitemaps, prefixes, tables := map[string]int{}, map[string]int{}, map[Table]*Mapping{}
	for _, m := range r.read {
		r.checkOnce(m.Account, m.line, sitemaps, "sitemap", m.Sitemap, "a mapping")
		r.checkOnce(m.Account, m.line, prefixes, "sitemap_prefix", m.SitemapPrefix, "a mapping")
		switch first := tables[m.Table]; {
		case m.Table == Table{}:
		case first == nil:
			tables[m.Table] = m
		default:
			if differ := difference(first, m); differ != "" {
				r.problem(m.line, "table %s has another mapping, on line %d, and the %s differ: want the same for one table", m.Table, first.line, differ)
			}
		}
	}
}

func (r *reader) checkOnce(account string, line int, lines map[string]int, key, name, what string) {
	if name == "" {
		return
	}
	name = sink.QualifiedSitemap(account, name)
	if before, twice := lines[name]; twice {
		r.problem(line, "%s %q already has %s, on line %d", key, name, what, before)
		return
	}
	lines[name] = line
}

// difference names the properties that two mappings to one table must share but do not.
func difference(a, b *Mapping) string {
	var differ []string
	if !maps.Equal(a.tableColumns(), b.tableColumns()) {
		differ = append(differ, "columns, their types or required")
	}
	if !slices.Equal(slices.Sorted(slices.Values(a.Key)), slices.Sorted(slices.Values(b.Key))) {
		differ = append(differ, "keys")
	}
	if a.Mode != b.Mode {
		differ = append(differ, "modes")
	}
	return strings.Join(differ, ", ")
}

// tableColumns returns the table's columns by name, each with its properties in the table.
func (m *Mapping) tableColumns() map[string]string {
	columns := map[string]string{}
	for _, c := range m.Columns {
		columns[c.Name] = fmt.Sprint(c.Type, c.Required)
	}
	if m.DeactivateMissing != nil {
		columns[m.DeactivateMissing.Column] = "active"
	}
	return columns
}
