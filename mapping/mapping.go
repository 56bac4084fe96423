package mapping

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// ScrapingJobID is the column that every mapped table has in addition to the mapped ones:
// bigint NOT NULL, the job of the row.
const ScrapingJobID = "scrapingjob_id"

// Mappings is a valid mappings file. The zero value and nil have no mappings.
type Mappings struct {
	all      []*Mapping
	sitemaps []Sitemap
}

// All returns the mappings in the file's order.
func (m *Mappings) All() []*Mapping {
	if m == nil {
		return nil
	}
	return m.all
}

// RowsOnly names the sitemaps whose records are not kept; see [Mapping.Sitemaps].
func (m *Mappings) RowsOnly() (sitemaps []string) {
	for _, one := range m.All() {
		if one.RowsOnly {
			sitemaps = append(sitemaps, one.Sitemaps())
		}
	}
	return sitemaps
}

// For returns the mapping of an account's sitemap: the one with exactly this name, or else
// the one with the longest matching prefix, or nil.
func (m *Mappings) For(account, sitemapName string) *Mapping {
	return find(m.All(), account, sitemapName, func(one *Mapping) (account, name, prefix string) {
		return one.Account, one.Sitemap, one.SitemapPrefix
	})
}

// find returns the entry for an account's sitemap, the zero value if there is none. of
// returns an entry's account and its name or prefix.
func find[T any](entries []T, account, sitemapName string, of func(T) (account, name, prefix string)) (best T) {
	longest := 0
	for _, entry := range entries {
		switch its, name, prefix := of(entry); {
		case its != account:
		case name != "" && name == sitemapName:
			return entry
		case len(prefix) > longest && strings.HasPrefix(sitemapName, prefix):
			best, longest = entry, len(prefix)
		}
	}
	return best
}

// Mapping maps the records of a sitemap, or of all sitemaps with a name prefix. It comes
// from [Parse] and must not be changed.
type Mapping struct {
	// Account is the Web Scraper Cloud account that has the sitemaps.
	Account string
	// Sitemap is the name of one sitemap, SitemapPrefix the name prefix of several: exactly
	// one of them is set.
	Sitemap, SitemapPrefix string
	Table                  Table
	// Columns has at least one column.
	Columns []Column
	// Key has the names of the columns that identify a row. It is empty only with
	// ReplaceJob.
	Key  []string
	Mode Mode
	// DeactivateMissing is nil for none; it is set only with Upsert.
	DeactivateMissing *DeactivateMissing
	// RowsOnly is set by keep_records: false: the records become rows and are not kept
	// otherwise.
	RowsOnly bool

	line int // in the file
}

// Sitemaps returns the sitemap's name, or the prefix of several: "acme:books" or
// "acme:shop-*", without the account if it is the default one.
func (m *Mapping) Sitemaps() string {
	return sink.QualifiedSitemap(m.Account, cmp.Or(m.Sitemap, m.SitemapPrefix+"*"))
}

// Table is the name of a table.
type Table struct {
	Schema, Name string
}

// String returns schema.name, not quoted.
func (t Table) String() string { return t.Schema + "." + t.Name }

// Column is a column of the table and the source of its values.
type Column struct {
	Name string
	// From is the scraped column, a key of the records: Name unless the file sets it. The
	// two spellings of the columns that every export has, such as web-scraper-order and
	// web_scraper_order, are equivalent; see [Spellings].
	From string
	Type Type
	// Layout is the format of a Timestamp: a layout of package time, or rfc3339, unix or
	// unix-ms. It is empty for other types.
	Layout string
	// TimeZone is the IANA name of the time zone of a Timestamp whose layout has
	// no offset. It is empty for other types.
	TimeZone string
	// Years are the first and the last valid year of a Timestamp.
	Years [2]int
	// Clean has the names of the cleaners, in order.
	Clean []string
	// Required refuses records that have NULL here. It is always set for columns of the
	// key.
	Required bool

	location *time.Location // of TimeZone
	line     int            // in the file
}

// Type is the type of a column, as in the file.
type Type string

// Types of columns.
const (
	Text      Type = "text"      // any value as text
	Numeric   Type = "numeric"   // a number of any size, with or without a fraction
	Integer   Type = "integer"   // a 64-bit integer
	Boolean   Type = "boolean"   // true or false
	Timestamp Type = "timestamp" // an instant, not a local time
	JSONB     Type = "jsonb"     // any value as JSON
)

// types are all types, in the order of error messages.
var types = []Type{Text, Numeric, Integer, Boolean, Timestamp, JSONB}

// PostgreSQL returns the name of the type in PostgreSQL, such as bigint for
// [Integer].
func (t Type) PostgreSQL() string {
	switch t {
	case Integer:
		return "bigint"
	case Timestamp:
		return "timestamptz"
	default:
		return string(t)
	}
}

// Layouts with a name.
const (
	layoutRFC3339   = "rfc3339"
	layoutUnix      = "unix"    // whole seconds since 1970
	layoutUnixMilli = "unix-ms" // whole milliseconds since 1970
)

// Mode says which rows of the published imports, one per job, the table has.
type Mode string

// Modes of publishing.
const (
	ReplaceJob Mode = "replace-job" // the rows of every job
	Upsert     Mode = "upsert"      // one row per key, from the last job
	Append     Mode = "append"      // one row per key, from the first job
)

// modes are all modes, in the order of error messages.
var modes = []Mode{ReplaceJob, Upsert, Append}

// DeactivateMissing says how to flag rows for which the last job has no record.
type DeactivateMissing struct {
	// Column is a boolean column of the table that is not in Mapping.Columns.
	Column string
	// BrakePercent, from 1 to 100, is the share of the active rows that may be deactivated
	// without asking an operator.
	BrakePercent int
}

// conversion is the version of the conversion of values. Increase it whenever the same
// value in the same column converts differently.
const conversion = 2

// Fingerprint returns 16 hexadecimal digits that identify a mapping's table, columns,
// conversion of values, key and mode. They do not cover its sitemaps, DeactivateMissing or
// RowsOnly.
func (m *Mapping) Fingerprint() string {
	encoded, err := json.Marshal(struct {
		Conversion int
		Table      Table
		Columns    []Column
		Key        []string
		Mode       Mode
	}{conversion, m.Table, m.Columns, m.Key, m.Mode})
	if err != nil {
		panic(err) // texts and booleans can be encoded
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:8])
}
