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
)

// ReadFile reads a file of mappings: see [Parse].
func ReadFile(path string) (*Mappings, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the mappings: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a file of mappings, in YAML, of that name. The error joins all
// that is wrong with it in the order of its lines, each as "name:LINE: what is
// wrong and what is wanted".
func Parse(name string, data []byte) (*Mappings, error) {
	r := &reader{file: name}
	if root := r.document(data); root != nil {
		r.mappings(root)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return &Mappings{all: r.read}, nil
}

// reader reads the nodes of a YAML document and notes what is wrong with them.
type reader struct {
	file     string
	problems []problem
	read     []*Mapping
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

// document returns the root of the only document, nil when there is none.
func (r *reader) document(data []byte) *yaml.Node {
	const empty = `there is nothing in it: want "mappings:" and a list of them`
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
		r.problem(second.Line, "a second YAML document begins here: all mappings of a file are one list, in one document")
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
	// parserError are those whose lines the library counts from 0. Most are of
	// where the thing begins that the problem is in.
	parserError = regexp.MustCompile(`^(did not find expected (<|node|'-'|key|',')|found (duplicate|undefined|incompatible))`)
)

func (r *reader) syntax(data []byte, err error) {
	line, text := 0, err.Error()
	if match := yamlError.FindStringSubmatch(text); match != nil {
		line, _ = strconv.Atoi(match[1])
		text = match[2]
	}
	if match := unknownAnchor.FindStringSubmatch(text); match != nil { // is told without a line
		before, _, _ := bytes.Cut(data, []byte("*"+match[1]))
		line = 1 + bytes.Count(before, []byte("\n"))
	}
	if parserError.MatchString(text) {
		r.problem(line+1, "not YAML here, or in what begins here: %s", text)
		return
	}
	r.problem(max(line, 1), "not YAML: %s", text)
}

func (r *reader) mappings(root *yaml.Node) {
	file, ok := r.object(root, "the file", "mappings")
	if !ok {
		return
	}
	list := file["mappings"]
	if list == nil {
		r.problem(root.Line, `there are no mappings: want "mappings:" and a list of them`)
		return
	}
	for _, node := range r.list(list, "mappings", "mappings") {
		if m := r.mapping(node); m != nil {
			r.read = append(r.read, m)
		}
	}
	r.checkTogether()
}

// mapping reads one of the list; nil when it is not one at all.
func (r *reader) mapping(node *yaml.Node) *Mapping {
	fields, ok := r.object(node, "a mapping",
		"sitemap", "sitemap_prefix", "table", "columns", "key", "mode", "deactivate_missing")
	if !ok {
		return nil
	}
	m := &Mapping{line: node.Line}
	r.sitemap(m, fields["sitemap"], fields["sitemap_prefix"])
	if table := fields["table"]; table == nil {
		r.problem(m.line, "the mapping has no table: want schema.table")
	} else {
		m.Table = r.table(table)
	}
	if columns := fields["columns"]; columns == nil {
		r.problem(m.line, "the mapping has no columns: want a list such as [{name: url, type: text}]")
	} else {
		r.columns(m, columns)
	}
	r.mode(m, fields["mode"])
	if key := fields["key"]; key != nil {
		r.key(m, key)
	} else if m.Mode == Upsert || m.Mode == Append {
		r.problem(m.line, "the mapping has no key, which the mode %s needs: want a list of columns such as [url]", m.Mode)
	}
	if deactivate := fields["deactivate_missing"]; deactivate != nil {
		r.deactivateMissing(m, deactivate)
	}
	return m
}

func (r *reader) sitemap(m *Mapping, name, prefix *yaml.Node) {
	switch {
	case name != nil && prefix != nil:
		r.problem(prefix.Line, "the mapping has both sitemap and sitemap_prefix: want one of them")
	case name != nil:
		m.Sitemap = r.filled(name, "sitemap")
	case prefix != nil:
		m.SitemapPrefix = r.filled(prefix, "sitemap_prefix")
	default:
		r.problem(m.line, "the mapping does not say of which sitemap: want sitemap with its name, or sitemap_prefix with what the names of several begin with")
	}
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
	if schema == "scrapehaul" || schema == "sitemaps" || schema == "information_schema" || strings.HasPrefix(schema, "pg_") {
		r.problem(node.Line, "table is %q: the schema %s is not for tables of yours: want another one", text, schema)
	}
	return Table{Schema: schema, Name: name}
}

// maxColumns is how many columns a row surely fits into a page of PostgreSQL
// with, whatever the values.
const maxColumns = 300

func (r *reader) columns(m *Mapping, node *yaml.Node) {
	nodes := r.list(node, "columns", "columns")
	if len(nodes) > maxColumns {
		r.problem(node.Line, "there are %d columns: want at most %d, of which PostgreSQL surely stores each row", len(nodes), maxColumns)
		return
	}
	lines := map[string]int{}
	for _, node := range nodes {
		column, ok := r.column(node)
		if !ok {
			continue
		}
		if line, twice := lines[column.Name]; twice && column.Name != "" {
			r.problem(column.line, "column %q is there already, on line %d", column.Name, line)
		}
		lines[column.Name] = column.line
		m.Columns = append(m.Columns, column)
	}
}

// systemColumns are those that PostgreSQL has in every table.
var systemColumns = []string{"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

func (r *reader) column(node *yaml.Node) (c Column, ok bool) {
	fields, ok := r.object(node, "a column", "name", "from", "type", "layout", "time_zone", "years", "clean", "required")
	if !ok {
		return c, false
	}
	c.line = node.Line
	if name := fields["name"]; name == nil {
		r.problem(c.line, "the column has no name")
	} else {
		c.Name = r.columnName(name, "name")
	}
	c.From = c.Name
	if from := fields["from"]; from != nil {
		c.From = r.filled(from, "from")
	}
	if required := fields["required"]; required != nil {
		c.Required = r.boolean(required, "required")
	}
	if kind := fields["type"]; kind == nil {
		r.problem(c.line, "column %q has no type: want one of %s", c.Name, strings.Join(namesOf(types), ", "))
	} else {
		c.Type = Type(r.oneOf(kind, "type", namesOf(types)))
	}
	r.layout(&c, fields["layout"], fields["time_zone"], fields["years"])
	if clean := fields["clean"]; clean != nil {
		r.clean(&c, clean)
	}
	return c, true
}

// columnName reads the name of a column that the table is to have.
func (r *reader) columnName(node *yaml.Node, key string) string {
	name := r.filled(node, key)
	r.checkName(node.Line, "the name of column "+strconv.Quote(name), name)
	switch {
	case name == ScrapingJobID:
		r.problem(node.Line, "column %q is in every mapped table already, with the job of each row: want another name", name)
	case slices.Contains(systemColumns, name):
		r.problem(node.Line, "column %q is PostgreSQL's own in every table: want another name", name)
	}
	return name
}

func (r *reader) layout(c *Column, layout, zone, years *yaml.Node) {
	if c.Type != Timestamp {
		r.onlyOfTimestamps(c, layout, "layout")
		r.onlyOfTimestamps(c, zone, "time_zone")
		r.onlyOfTimestamps(c, years, "range of years")
		return
	}
	if layout == nil {
		r.problem(c.line, "column %q has no layout: want rfc3339, unix, unix-ms, or how Go would write 2 January 2006, 15:04:05, such as %q", c.Name, "2006-01-02 15:04:05")
	} else if c.Layout = r.filled(layout, "layout"); c.Layout != "" {
		if err := checkLayout(c.Layout); err != nil {
			r.problem(layout.Line, "layout is %q, which %v: want rfc3339, unix, unix-ms, or how Go would write 2 January 2006, 15:04:05, such as %q", c.Layout, err, "2006-01-02 15:04:05")
		}
	}
	r.years(c, years)
	c.TimeZone, c.location = "UTC", time.UTC
	if zone == nil {
		return
	}
	name := r.filled(zone, "time_zone")
	if name == "" {
		return
	}
	location, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		r.problem(zone.Line, "time_zone is %q, which is not known: want a name such as Europe/Riga, or UTC", name)
		return
	}
	c.TimeZone, c.location = name, location
}

func (r *reader) years(c *Column, node *yaml.Node) {
	c.Years = usualYears
	if c.Layout == layoutRFC3339 || c.Layout == layoutUnix || c.Layout == layoutUnixMilli { // of no other calendar
		c.Years = allYears
	}
	if node == nil {
		return
	}
	switch nodes := r.list(node, "years", "years"); len(nodes) {
	case 0: // has been told of
	case 2:
		c.Years[0] = r.number(nodes[0], "the first of the years", allYears[0], allYears[1])
		c.Years[1] = r.number(nodes[1], "the last of the years", max(c.Years[0], allYears[0]), allYears[1])
	default:
		r.problem(node.Line, "years has %d of them: want the first and the last, such as [1800, 2030]", len(nodes))
	}
}

func (r *reader) onlyOfTimestamps(c *Column, node *yaml.Node, key string) {
	if node != nil && c.Type != "" {
		r.problem(node.Line, "column %q has a %s and is of type %s: only a timestamp has one", c.Name, key, c.Type)
	}
}

func (r *reader) clean(c *Column, node *yaml.Node) {
	nodes := r.list(node, "clean", "cleaners")
	for i, node := range nodes {
		name := r.oneOf(node, "cleaner", cleanerNames)
		if name == "" {
			continue
		}
		switch {
		case slices.Contains(c.Clean, name):
			r.problem(node.Line, "cleaner %s is there already", name)
		case name == parseJSON && (c.Type != JSONB || i < len(nodes)-1):
			r.problem(node.Line, "cleaner %s makes jsonb: want it as the last cleaner of a column of that type", name)
		}
		c.Clean = append(c.Clean, name)
	}
}

func (r *reader) mode(m *Mapping, node *yaml.Node) {
	if node == nil {
		r.problem(m.line, "the mapping has no mode: want one of %s", strings.Join(namesOf(modes), ", "))
		return
	}
	m.Mode = Mode(r.oneOf(node, "mode", namesOf(modes)))
}

// maxKeyColumns is what PostgreSQL allows an index, 32, but for the job's ID.
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
	unknown := slices.Contains(names, "") || len(names) == 0 // has been told of
	for _, node := range nodes {
		name := r.filled(node, "a column of the key")
		if name == "" {
			continue
		}
		at := slices.Index(names, name)
		switch {
		case slices.Contains(m.Key, name):
			r.problem(node.Line, "column %q is in the key already", name)
		case at < 0 && unknown:
		case at < 0:
			r.problem(node.Line, "column %q of the key is not one of the columns: want one of %s", name, strings.Join(names, ", "))
		case m.Columns[at].Type == JSONB:
			r.problem(node.Line, "column %q of the key is jsonb, which cannot tell one row from another: want a column of another type", name)
		default:
			m.Columns[at].Required = true
		}
		m.Key = append(m.Key, name)
	}
}

func (r *reader) deactivateMissing(m *Mapping, node *yaml.Node) {
	fields, ok := r.object(node, "deactivate_missing", "column", "brake_percent")
	if !ok {
		return
	}
	m.DeactivateMissing = new(DeactivateMissing)
	if m.Mode != Upsert && m.Mode != "" {
		r.problem(node.Line, "deactivate_missing is there with the mode %s: want the mode upsert, or no deactivate_missing", m.Mode)
	}
	if column := fields["column"]; column == nil {
		r.problem(node.Line, "deactivate_missing has no column: want the name of a boolean column that is not one of the columns, such as active")
	} else {
		name := r.columnName(column, "column")
		m.DeactivateMissing.Column = name
		if slices.ContainsFunc(m.Columns, func(c Column) bool { return c.Name == name && name != "" }) {
			r.problem(column.Line, "column %q of deactivate_missing is one of the columns: want another name, no record fills it", name)
		}
	}
	if brake := fields["brake_percent"]; brake == nil {
		r.problem(node.Line, "deactivate_missing has no brake_percent: want how many percent of the active rows may be deactivated without a person being asked, from 1 to 100")
	} else {
		m.DeactivateMissing.BrakePercent = r.number(brake, "brake_percent", 1, 100)
	}
}
