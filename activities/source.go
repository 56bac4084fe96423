package activities

import "github.com/scrapehaul/scrapehaul/webscraper"

// The formats that a job can be imported from. No format stands for JSON.
const (
	FormatJSON = string(webscraper.FormatJSON)
	FormatCSV  = string(webscraper.FormatCSV)
)

// Source says which of a job's exports is imported. The zero value is JSON, with
// the sitemap's parser.
type Source struct {
	Format string `json:"format,omitempty"`
	// Raw is the export without the changes of the sitemap's parser.
	Raw bool `json:"raw,omitempty"`
}
