package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scrapehaul/scrapehaul/sink"
)

// checkTogether checks the mappings against each other.
func (r *reader) checkTogether() {
	sitemaps, prefixes, tables := map[string]int{}, map[string]int{}, map[Table]*Mapping{}
	for _, m := range r.read {
		r.checkOnce(m, sitemaps, "sitemap", m.Sitemap)
		r.checkOnce(m, prefixes, "sitemap_prefix", m.SitemapPrefix)
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

func (r *reader) checkOnce(m *Mapping, lines map[string]int, key, name string) {
	if name == "" {
		return
	}
	name = sink.QualifiedSitemap(m.Account, name)
	if line, twice := lines[name]; twice {
		r.problem(m.line, "%s %q has a mapping already, on line %d", key, name, line)
		return
	}
	lines[name] = m.line
}

// difference says what two mappings to one table have to have in common and have
// not.
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

// tableColumns are the table's columns by name, each with what the table has of it.
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
