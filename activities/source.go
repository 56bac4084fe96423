package activities

import "github.com/scrapehaul/scrapehaul/webscraper"

// Formats of exports. The default is JSON.
const (
	FormatJSON = string(webscraper.FormatJSON)
	FormatCSV  = string(webscraper.FormatCSV)
)

// DefaultMaxRecordBytes is the default limit of a record's length.
const DefaultMaxRecordBytes = webscraper.DefaultMaxRecordBytes

// Source selects which of a job's exports is imported. The zero value is JSON with the
// sitemap's parser applied.
type Source struct {
	Format string `json:"format,omitempty"`
	// Raw selects the export without the sitemap's parser.
	Raw bool `json:"raw,omitempty"`
}
