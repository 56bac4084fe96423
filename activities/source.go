package activities

import (
	"cmp"
	"context"
	"io"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

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

// NewSource returns a source in the form in which it travels: JSON has no
// format. It says whether there is such a format to import from.
func NewSource(format string, raw bool) (source Source, known bool) {
	switch format {
	case "", FormatJSON:
		return Source{Raw: raw}, true
	case FormatCSV:
		return Source{Format: FormatCSV, Raw: raw}, true
	default:
		return Source{}, false
	}
}

// export writes the export that is asked for.
func (a *Activities) export(ctx context.Context, in DownloadScrapingJobInput, w io.Writer, options webscraper.DownloadOptions) error {
	options.Raw = in.Source.Raw
	_, err := a.Cloud.DownloadScrapingJob(ctx, in.ScrapingJobID, w, webscraper.Format(cmp.Or(in.Source.Format, FormatJSON)), options)
	return err
}
