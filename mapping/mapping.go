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

// ScrapingJobID is the column that every mapped table has besides the mapped
// ones: bigint NOT NULL, the job that a row is of.
const ScrapingJobID = "scrapingjob_id"

// Mappings is a valid file of mappings. The zero value and nil have none.
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

// For returns the mapping of the records of an account's sitemap: the one of exactly that
// name, or else the one of the longest prefix that the name begins with, or nil.
func (m *Mappings) For(account, sitemapName string) *Mapping {
	var best *Mapping
	for _, one := range m.All() {
		switch {
		case one.Account != account:
		case one.Sitemap != "":
			if one.Sitemap == sitemapName {
				return one
			}
		case strings.HasPrefix(sitemapName, one.SitemapPrefix):
			if best == nil || len(one.SitemapPrefix) > len(best.SitemapPrefix) {
				best = one
			}
		}
	}
	return best
}

// Mapping says what becomes of the records of a sitemap, or of all whose names
// begin alike. It comes from [Parse] and is not to be changed.
type Mapping struct {
	// Account is the account of Web Scraper Cloud that has the sitemaps.
	Account string
	// Sitemap is the sitemap's name, and SitemapPrefix what the names of several
	// begin with: one of the two is set.
	Sitemap, SitemapPrefix string
	Table                  Table
	// Columns has at least one.
	Columns []Column
	// Key has the names of those of Columns that tell one row from another. It is
	// empty only with ReplaceJob.
	Key  []string
	Mode Mode
	// DeactivateMissing is nil for none; it is with Upsert only.
	DeactivateMissing *DeactivateMissing
	// RowsOnly is set with keep_records: false: the records become rows, and are kept
	// nowhere else.
	RowsOnly bool

	line int // in the file
}

// Sitemaps names the sitemap, or what the names of several begin with: "acme:books" or
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

// Column is a column of the table, and how it is filled.
type Column struct {
	Name string
	// From is the scraped column, a key of the records: Name unless the file says
	// something else. The two spellings of the columns that every export has,
	// such as web-scraper-order and web_scraper_order, are the same.
	From string
	Type Type
	// Layout is how a Timestamp is written: one of package time's layouts, or
	// rfc3339, unix or unix-ms. It is empty for other types.
	Layout string
	// TimeZone is the IANA name of the time zone of a Timestamp whose layout has
	// no offset. It is empty for other types.
	TimeZone string
	// Years are the first and the last that a Timestamp may be of.
	Years [2]int
	// Clean has the names of the cleaners, in their order.
	Clean []string
	// Required refuses records that have NULL here. It is set for columns of the
	// key too.
	Required bool

	location *time.Location // of TimeZone
	line     int            // in the file
}

// Type is the type of a column of the table, as the file writes it.
type Type string

// Types of columns.
const (
	Text      Type = "text"      // any value as text
	Numeric   Type = "numeric"   // a number of any size, with a fraction or without
	Integer   Type = "integer"   // a whole number of 64 bits
	Boolean   Type = "boolean"   // true or false
	Timestamp Type = "timestamp" // a moment, not what a clock shows
	JSONB     Type = "jsonb"     // any value as JSON
)

// types are all of them, in the order in which they are told.
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

// Layouts that have a name.
const (
	layoutRFC3339   = "rfc3339"
	layoutUnix      = "unix"    // whole seconds since 1970
	layoutUnixMilli = "unix-ms" // whole milliseconds since 1970
)

// Mode says what the table shows of the published imports, one of each job.
type Mode string

// Modes of publishing.
const (
	ReplaceJob Mode = "replace-job" // the table holds the rows of each job
	Upsert     Mode = "upsert"      // one row for each key, the last job's
	Append     Mode = "append"      // one row for each key, the first job's
)

// modes are all of them, in the order in which they are told.
var modes = []Mode{ReplaceJob, Upsert, Append}

// DeactivateMissing says how rows are marked that the last job has no record for.
type DeactivateMissing struct {
	// Column is a boolean column of the table, none of Mapping.Columns.
	Column string
	// BrakePercent, from 1 to 100, is how much of the active rows may be
	// deactivated without asking a person.
	BrakePercent int
}

// conversion is the version of what becomes of values: it is to be raised when
// the same value of the same column becomes another one.
const conversion = 2

// Fingerprint returns 16 hexadecimal digits that differ between mappings whose
// table, columns, conversion of values, key or mode differ. Which sitemaps a
// mapping is for, what it deactivates, and whether records are kept, is not part of them.
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
