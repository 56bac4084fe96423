package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/sink"
)

// ReadFile reads a mappings file: see [Parse].
func ReadFile(path string) (*Mappings, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the mappings: %w", err)
	}
	return Parse(path, data)
}

// Parse parses a mappings file, in YAML. name is for errors. The error joins all problems in
// the order of their lines, each as "name:LINE: problem: what is expected".
func Parse(name string, data []byte) (*Mappings, error) {
	r := &reader{file: name}
	if root := r.document(data); root != nil {
		r.mappings(root)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return &Mappings{r.read, r.sitemaps}, nil
}

// reader reads the nodes of a YAML document and collects problems.
type reader struct {
	file     string
	problems []problem
	read     []*Mapping
	sitemaps []Sitemap
}

type problem struct {
	line int
	text string
}

func (r *reader) problem(line int, format string, args ...any) {
	r.problems = append(r.problems, problem{line, fmt.Sprintf(format, args...)})
}

func (r *reader) err() error {
	slices.SortStableFunc(r.problems, func(a, b problem) int { return a.line - b.line })
	var all []error
	for _, p := range slices.Compact(r.problems) { // an alias is read each time
		all = append(all, fmt.Errorf("%s:%d: %s", r.file, p.line, p.text))
	}
	return errors.Join(all...)
}

// document returns the root of the only document, nil if there is none.
func (r *reader) document(data []byte) *yaml.Node {
	const empty = `the file is empty: want "mappings:" and a list of them, or "sitemaps:"`
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		r.problem(1, empty)
		return nil
	case err != nil:
		r.syntax(data, err)
		return nil
	}
	switch err := decoder.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		r.syntax(data, err)
	default:
		r.problem(second.Line, "a second YAML document starts here: put all mappings into one list, in one document")
	}
	root := first.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		r.problem(root.Line, empty)
		return nil
	}
	return root
}

var (
	yamlError     = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.+)' referenced`)
	// parserError matches errors whose lines the library counts from 0. Most give the line
	// where the enclosing element starts.
	parserError = regexp.MustCompile(`^(did not find expected (<|node|'-'|key|',')|found (duplicate|undefined|incompatible))`)
)

func (r *reader) syntax(data []byte, err error) {
	line, text := 0, err.Error()
	if match := yamlError.FindStringSubmatch(text); match != nil {
		line, _ = strconv.Atoi(match[1])
		text = match[2]
	}
	if match := unknownAnchor.FindStringSubmatch(text); match != nil { // has no line
		before, _, _ := bytes.Cut(data, []byte("*"+match[1]))
		line = 1 + bytes.Count(before, []byte("\n"))
	}
	if parserError.MatchString(text) {
		r.problem(line+1, "not YAML here, or in what starts here: %s", text)
		return
	}
	r.problem(max(line, 1), "not YAML: %s", text)
}

func (r *reader) mappings(root *yaml.Node) {
	found := r.object(root, "the file",
		field{key: "mappings", read: func(list *yaml.Node) {
			for _, node := range r.list(list, "mappings", "mappings") {
				r.mapping(node)
			}
		}},
		field{key: "sitemaps", read: func(list *yaml.Node) {
			for _, node := range r.list(list, "sitemaps", "sitemaps") {
				r.sitemap(node)
			}
		}},
	)
	if found != nil && len(found) == 0 {
		r.problem(root.Line, `there are no mappings: want "mappings:" and a list of them, or "sitemaps:"`)
	}
	r.checkTogether()
}

func (r *reader) mapping(node *yaml.Node) {
	m := &Mapping{Account: sink.DefaultAccount, line: node.Line}
	found := r.object(node, "a mapping",
		field{key: "account", read: func(account *yaml.Node) { m.Account = r.account(account) }},
		field{key: "sitemap", read: func(name *yaml.Node) { m.Sitemap = r.filled(name, "sitemap") }},
		field{key: "sitemap_prefix", read: func(prefix *yaml.Node) { m.SitemapPrefix = r.filled(prefix, "sitemap_prefix") }},
		field{"table", func(table *yaml.Node) { m.Table = r.table(table) }, "the mapping has no table: want schema.table"},
		field{"columns", func(columns *yaml.Node) { r.columns(m, columns) }, "the mapping has no columns: want a list such as [{name: url, type: text}]"},
		field{key: "key", read: func(key *yaml.Node) { r.key(m, key) }},
		field{"mode", func(mode *yaml.Node) { m.Mode = oneOf(r, mode, "mode", modes) }, "the mapping has no mode: want one of " + joined(modes)},
		field{key: "deactivate_missing", read: func(deactivate *yaml.Node) { r.deactivateMissing(m, deactivate) }},
		field{key: "keep_records", read: func(keep *yaml.Node) { m.RowsOnly = !r.boolean(keep, "keep_records") }},
	)
	if found == nil {
		return
	}
	r.read = append(r.read, m)
	r.ofWhichSitemap("the mapping", m.line, found)
	if found["key"] == nil && (m.Mode == Upsert || m.Mode == Append) {
		r.problem(m.line, "the mapping has no key, which the mode %s needs: want a list of columns such as [url]", m.Mode)
	}
}

func (r *reader) ofWhichSitemap(what string, line int, found map[string]*yaml.Node) {
	switch name, prefix := found["sitemap"], found["sitemap_prefix"]; {
	case name != nil && prefix != nil:
		r.problem(prefix.Line, "%s has both sitemap and sitemap_prefix: want one of them", what)
	case name == nil && prefix == nil:
		r.problem(line, "%s names no sitemap: want sitemap with a name, or sitemap_prefix with the name prefix of several", what)
	}
}

func (r *reader) account(node *yaml.Node) string {
	account := r.filled(node, "account")
	if err := validate.Account("the mapping", account); account != "" && err != nil {
		r.problem(node.Line, "%v", err)
	}
	return account
}

func (r *reader) table(node *yaml.Node) Table {
	text := r.filled(node, "table")
	if text == "" {
		return Table{}
	}
	schema, name, has := strings.Cut(text, ".")
	if !has {
		schema, name = "public", schema
	}
	if schema == "" || name == "" || strings.Contains(name, ".") {
		r.problem(node.Line, "table is %q: want schema.table with one point, or the table's name only", text)
		return Table{}
	}
	r.checkName(node.Line, "the schema of table "+strconv.Quote(text), schema)
	r.checkName(node.Line, "the name of table "+strconv.Quote(text), name)
	if schema == "scrapehaul" || schema == "sitemaps" || schema == "sitemaps_latest" || schema == "information_schema" || strings.HasPrefix(schema, "pg_") {
		r.problem(node.Line, "table is %q: the schema %s is reserved: want another one", text, schema)
	}
	return Table{Schema: schema, Name: name}
}

// maxColumns is a number of columns whose rows fit a PostgreSQL page, whatever the values.
const maxColumns = 300

func (r *reader) columns(m *Mapping, node *yaml.Node) {
	nodes := r.list(node, "columns", "columns")
	if len(nodes) > maxColumns {
		r.problem(node.Line, "there are %d columns: want at most %d, so that every row fits a PostgreSQL page", len(nodes), maxColumns)
		return
	}
	lines := map[string]int{}
	for _, node := range nodes {
		column, ok := r.column(node)
		if !ok {
			continue
		}
		if line, twice := lines[column.Name]; twice && column.Name != "" {
			r.problem(column.line, "column %q is already defined, on line %d", column.Name, line)
		}
		lines[column.Name] = column.line
		m.Columns = append(m.Columns, column)
	}
}

// systemColumns are the columns that PostgreSQL adds to every table.
var systemColumns = []string{"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

func (r *reader) column(node *yaml.Node) (c Column, ok bool) {
	c.line = node.Line
	found := r.object(node, "a column",
		field{"name", func(name *yaml.Node) { c.Name = r.columnName(name, "name") }, "the column has no name"},
		field{key: "from", read: func(from *yaml.Node) { c.From = r.filled(from, "from") }},
		field{key: "type", read: func(kind *yaml.Node) { c.Type = oneOf(r, kind, "type", types) }},
		field{key: "layout"}, field{key: "time_zone"}, field{key: "years"},
		field{key: "clean", read: func(clean *yaml.Node) { r.clean(&c, clean) }},
		field{key: "required", read: func(required *yaml.Node) { c.Required = r.boolean(required, "required") }},
	)
	if found["from"] == nil {
		c.From = c.Name
	}
	if found != nil && found["type"] == nil {
		r.problem(c.line, "column %q has no type: want one of %s", c.Name, joined(types))
	}
	if c.Type == Timestamp {
		r.timestamp(&c, found["layout"], found["time_zone"], found["years"])
	} else if c.Type != "" {
		for _, key := range [][2]string{{"layout", "layout"}, {"time_zone", "time_zone"}, {"years", "range of years"}} {
			if node := found[key[0]]; node != nil {
				r.problem(node.Line, "column %q has a %s and is of type %s: only a timestamp has one", c.Name, key[1], c.Type)
			}
		}
	}
	return c, found != nil
}

// columnName reads the name of a column of the table.
func (r *reader) columnName(node *yaml.Node, key string) string {
	name := r.filled(node, key)
	r.checkName(node.Line, "the name of column "+strconv.Quote(name), name)
	switch {
	case name == ScrapingJobID:
		r.problem(node.Line, "column %q is already in every mapped table, with the job of each row: want another name", name)
	case slices.Contains(systemColumns, name):
		r.problem(node.Line, "column %q is a PostgreSQL system column: want another name", name)
	}
	return name
}

const wantLayout = `want rfc3339, unix, unix-ms, or a Go layout of 2 January 2006, 15:04:05, such as "2006-01-02 15:04:05"`

func (r *reader) timestamp(c *Column, layout, zone, years *yaml.Node) {
	if layout == nil {
		r.problem(c.line, "column %q has no layout: %s", c.Name, wantLayout)
	} else if c.Layout = r.filled(layout, "layout"); c.Layout != "" {
		if err := checkLayout(c.Layout); err != nil {
			r.problem(layout.Line, "layout is %q, which %v: %s", c.Layout, err, wantLayout)
		}
	}
	r.years(c, years)
	c.TimeZone, c.location = "UTC", time.UTC
	if zone == nil {
		return
	}
	name := r.filled(zone, "time_zone")
	location, err := time.LoadLocation(name)
	switch {
	case name == "": // already reported
	case err != nil || name == "Local":
		r.problem(zone.Line, "time_zone is %q, which is unknown: want a name such as Europe/Riga, or UTC", name)
	default:
		c.TimeZone, c.location = name, location
	}
}

func (r *reader) years(c *Column, node *yaml.Node) {
	c.Years = usualYears
	if c.Layout == layoutRFC3339 || c.Layout == layoutUnix || c.Layout == layoutUnixMilli { // always in our calendar
		c.Years = allYears
	}
	if node == nil {
		return
	}
	switch nodes := r.list(node, "years", "years"); len(nodes) {
	case 0: // already reported
	case 2:
		c.Years[0] = r.number(nodes[0], "the first of the years", allYears[0], allYears[1])
		c.Years[1] = r.number(nodes[1], "the last of the years", max(c.Years[0], allYears[0]), allYears[1])
	default:
		r.problem(node.Line, "years has %d entries: want the first and the last year, such as [1800, 2030]", len(nodes))
	}
}

func (r *reader) clean(c *Column, node *yaml.Node) {
	nodes := r.list(node, "clean", "cleaners")
	for i, node := range nodes {
		name := oneOf(r, node, "cleaner", cleanerNames)
		switch {
		case name == "": // already reported
		case slices.Contains(c.Clean, name):
			r.problem(node.Line, "cleaner %s is already in the list", name)
		case name == parseJSON && (c.Type != JSONB || i < len(nodes)-1):
			r.problem(node.Line, "cleaner %s makes jsonb: want it as the last cleaner of a column of that type", name)
		}
		c.Clean = append(c.Clean, name)
	}
}

// maxKeyColumns is PostgreSQL's limit for an index, 32, minus the job's ID.
const maxKeyColumns = 31

func (r *reader) key(m *Mapping, node *yaml.Node) {
	nodes := r.list(node, "key", "columns")
	if len(nodes) > maxKeyColumns {
		r.problem(node.Line, "the key has %d columns: want at most %d", len(nodes), maxKeyColumns)
	}
	var names []string
	for _, c := range m.Columns {
		names = append(names, c.Name)
	}
	unknown := slices.Contains(names, "") || len(names) == 0 // already reported
	for _, node := range nodes {
		name := r.filled(node, "a column of the key")
		if name == "" {
			continue
		}
		at := slices.Index(names, name)
		switch {
		case slices.Contains(m.Key, name):
			r.problem(node.Line, "column %q is already in the key", name)
		case at < 0 && unknown:
		case at < 0:
			r.problem(node.Line, "column %q of the key is not one of the columns: want one of %s", name, strings.Join(names, ", "))
		case m.Columns[at].Type == JSONB:
			r.problem(node.Line, "column %q of the key is jsonb, which cannot identify a row: want a column of another type", name)
		default:
			m.Columns[at].Required = true
		}
		m.Key = append(m.Key, name)
	}
}

func (r *reader) deactivateMissing(m *Mapping, node *yaml.Node) {
	missing := new(DeactivateMissing)
	if r.object(node, "deactivate_missing",
		field{"column", func(column *yaml.Node) {
			missing.Column = r.columnName(column, "column")
			if slices.ContainsFunc(m.Columns, func(c Column) bool { return c.Name == missing.Column && c.Name != "" }) {
				r.problem(column.Line, "column %q of deactivate_missing is one of the columns: want another name, no record fills it", missing.Column)
			}
		}, "deactivate_missing has no column: want the name of a boolean column that is not one of the columns, such as active"},
		field{"brake_percent", func(brake *yaml.Node) {
			missing.BrakePercent = r.number(brake, "brake_percent", 1, 100)
		}, "deactivate_missing has no brake_percent: want the percentage of the active rows, from 1 to 100, that may be deactivated without asking an operator"},
	) == nil {
		return
	}
	m.DeactivateMissing = missing
	if m.Mode != Upsert && m.Mode != "" {
		r.problem(node.Line, "deactivate_missing is set with the mode %s: want the mode upsert, or no deactivate_missing", m.Mode)
	}
}
