package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
)

// Converter converts records to rows. It is not safe for concurrent use.
type Converter struct {
	// sources has the index in found of each needed key.
	sources map[string]int
	// found has the JSON text of the needed keys' values, nil for a missing key.
	found [][]byte
	// shape is that of the previous records, once two had the same keys; members are the
	// members of a record with this shape, and places says where in them found is.
	shape         *jsontext.Shape
	members, keys [][]byte
	places        []place
	before, names []byte // the keys of the previous record and of this one

	columns []converted
	values  [][]byte
	// text holds keys and values that differ from the record's text.
	text []byte
	// keyNames is the mapping's key, and key has the columns' indexes in values.
	keyNames []string
	key      []int
}

// place is the index of a member and the offset of its value in it; 0 for none.
type place struct{ member, value int }

// converted is a column with the source of its values.
type converted struct {
	Column
	source    int // in found
	second    int // of the second spelling, or else source
	clean     []cleaner
	parseJSON bool
}

// Spellings returns the two spellings of a column that every export has: first the one
// whose value counts if a record has both, unless it is null, then that of the views. Both
// are the name itself for any other column.
func Spellings(column string) (first, second string) {
	switch column {
	case "web-scraper-order", "web_scraper_order":
		return "web-scraper-order", "web_scraper_order"
	case "web-scraper-start-url", "web_scraper_start_url":
		return "web-scraper-start-url", "web_scraper_start_url"
	default:
		return column, column
	}
}

// NewConverter returns a converter of records to rows of the mapping's table.
func (m *Mapping) NewConverter() *Converter {
	c := &Converter{
		sources:  map[string]int{},
		values:   make([][]byte, len(m.Columns)),
		text:     make([]byte, 0, 512), // never nil, which would be NULL
		keyNames: m.Key,
	}
	for i, column := range m.Columns {
		if slices.Contains(m.Key, column.Name) {
			c.key = append(c.key, i)
		}
		if column.location == nil {
			column.location = time.UTC
		}
		first, second := Spellings(column.From)
		of := converted{Column: column, source: c.source(first), second: c.source(second)}
		for _, name := range column.Clean {
			if name == parseJSON {
				of.parseJSON = true
			} else {
				of.clean = append(of.clean, cleaners[name])
			}
		}
		c.columns = append(c.columns, of)
	}
	return c
}

// source returns the index in found of a key.
func (c *Converter) source(key string) int {
	source, known := c.sources[key]
	if !known {
		source = len(c.found)
		c.found, c.places = append(c.found, nil), append(c.places, place{})
		c.sources[key] = source
	}
	return source
}

// Row converts a record, a JSON object that is valid jsonb, to a row: one value for each of
// the mapping's columns, in order, as text input for the column's type, or nil for NULL.
// PostgreSQL refuses values beyond a type's limits. The values are valid until the next
// call, as long as record does not change. The error is a sentence for an operator about
// the first column that the record does not fit.
//
// For invalid JSON, the result is unspecified.
func (c *Converter) Row(record []byte) (values [][]byte, err error) {
	c.text = c.text[:0]
	if err := c.find(record); err != nil {
		return nil, err
	}
	for i := range c.columns {
		column := &c.columns[i]
		raw := c.found[column.source]
		if second := c.found[column.second]; isNull(raw) && second != nil {
			raw = second
		}
		if c.values[i], err = c.value(column, raw); err != nil {
			return nil, err
		}
	}
	if err := c.checkKey(); err != nil {
		return nil, err
	}
	return c.values, nil
}

// maxKeyBytes always fits into a row of a B-tree index, which holds up to 2704 bytes,
// including the overhead of each value.
const maxKeyBytes = 2000

func (c *Converter) checkKey() error {
	length := 0
	for _, i := range c.key {
		length += len(c.values[i])
	}
	if length > maxKeyBytes {
		return fmt.Errorf("the key (%s) is %d bytes long: want at most %d, to fit a PostgreSQL index", strings.Join(c.keyNames, ", "), length, maxKeyBytes)
	}
	return nil
}

var errNotAnObject = errors.New("the record is not a JSON object")

// find finds the values of the needed keys. As in jsonb, the last duplicate counts.
func (c *Converter) find(record []byte) error {
	clear(c.found)
	var same bool
	if c.members, same = c.shape.Split(record, c.members[:0]); same {
		for source, at := range c.places {
			if at.value > 0 {
				c.found[source] = c.members[at.member][at.value:]
			}
		}
		return nil
	}
	clear(c.places)
	c.keys, c.names = c.keys[:0], c.names[:0]
	members := jsontext.MembersOf(record)
	for member, ok := members.Next(); ok; member, ok = members.Next() {
		var key []byte
		c.text, key = jsontext.Unescape(c.text, member.Key())
		if source, needed := c.sources[string(key)]; needed {
			c.found[source] = member.Value()
			c.places[source] = place{len(c.keys), len(`"":`) + len(member.Key())}
		}
		c.keys = append(c.keys, member.Key())
		c.names = append(append(c.names, member.Key()...), '"')
	}
	switch known := bytes.Equal(c.names, c.before); {
	case !members.Ended():
		c.shape, c.before = nil, c.before[:0]
		return errNotAnObject
	case !known:
		c.shape, c.before, c.names = nil, c.names, c.before
	case c.shape == nil:
		c.shape = jsontext.NewShape(c.keys)
	}
	return nil
}

// isNull reports whether the JSON text of a value is null, or nil for none.
func isNull(raw []byte) bool { return raw == nil || raw[0] == 'n' }

// value converts the JSON text of a value, nil for none.
func (c *Converter) value(column *converted, raw []byte) ([]byte, error) {
	if isNull(raw) {
		if !column.Required {
			return nil, nil
		}
		if raw == nil {
			return nil, fmt.Errorf("column %q is required, but the record has no %q", column.Name, column.From)
		}
		return nil, fmt.Errorf("column %q is required, but the record has null", column.Name)
	}
	value, err := c.notNull(column, raw)
	if err != nil {
		return nil, fmt.Errorf("column %q: %s %w%s", column.Name, shown(raw), err, hint(raw))
	}
	if value == nil && column.Required {
		return nil, fmt.Errorf("column %q is required, but %s counts as NULL", column.Name, shown(raw))
	}
	return value, nil
}

// notNull converts a value other than null; the result may be NULL.
func (c *Converter) notNull(column *converted, raw []byte) ([]byte, error) {
	if raw[0] != '"' {
		return c.typed(column, raw)
	}
	if column.Type == JSONB && len(column.Clean) == 0 {
		return raw, nil
	}
	var text []byte
	c.text, text = jsontext.Unescape(c.text, raw[1:len(raw)-1])
	for _, clean := range column.clean {
		var err error
		if c.text, text, err = clean(c.text, text); err != nil || text == nil {
			return nil, err
		}
	}
	if column.Type == JSONB && !column.parseJSON {
		begin := len(c.text)
		c.text = jsontext.AppendQuote(c.text, text)
		return c.text[begin:], nil
	}
	if column.parseJSON {
		return parsedJSON(text)
	}
	return c.typed(column, text)
}

var errNotABoolean = errors.New("is not one of true, false, yes, no, y, n, on, off, 1, 0")

// typed converts the text of a value to the column's type.
func (c *Converter) typed(column *converted, text []byte) ([]byte, error) {
	switch column.Type {
	case Numeric, Integer:
		number, ok := parseDecimal(text)
		if !ok {
			return nil, errNotANumber
		}
		if column.Type == Numeric {
			return text, nil
		}
		begin := len(c.text)
		var err error
		c.text, err = number.appendInteger(c.text)
		return c.text[begin:], err
	case Boolean:
		return parseBoolean(text)
	case Timestamp:
		t, err := parseTimestamp(jsontext.AsString(text), &column.Column)
		if err != nil {
			return nil, err
		}
		begin := len(c.text)
		c.text = t.AppendFormat(c.text, time.RFC3339Nano)
		return c.text[begin:], nil
	default: // Text and JSONB accept everything
		return text, nil
	}
}

var (
	yes = []byte("true")
	no  = []byte("false")
)

func parseBoolean(text []byte) ([]byte, error) {
	if len(text) <= len("false") {
		switch strings.ToLower(string(text)) {
		case "true", "yes", "y", "on", "1":
			return yes, nil
		case "false", "no", "n", "off", "0":
			return no, nil
		}
	}
	return nil, errNotABoolean
}

// shown returns a value as errors quote it, shortened.
func shown(raw []byte) string {
	text := shortened(plain(raw))
	if raw[0] == '"' {
		return strconv.Quote(text)
	}
	return text
}

func shortened(text string) string {
	if short := fmt.Sprintf("%.60s", text); short != text {
		return short + "…"
	}
	return text
}

// plain returns the text of a string, and the JSON text of any other value.
func plain(raw []byte) string {
	if raw[0] == '"' {
		_, raw = jsontext.Unescape(nil, raw[1:len(raw)-1])
	}
	return string(raw)
}

// hint names the cleaners that would turn a value that does not fit into NULL.
func hint(raw []byte) string {
	if raw[0] != '"' {
		return ""
	}
	switch text := strings.TrimSpace(plain(raw)); {
	case text == "" && len(raw) == len(`""`):
		return "; the cleaner empty-is-null makes it NULL"
	case text == "":
		return "; the cleaners trim and empty-is-null make it NULL"
	case strings.EqualFold(text, "null"):
		return "; the cleaner null-text makes it NULL"
	default:
		return ""
	}
}
