package webscraper

import (
	"context"
	"iter"
	"net/http"
)

// ProblematicURL is a page that a scraping job got nothing from.
type ProblematicURL struct {
	URL string `json:"url"`
	// Type is "failed" for a page that could not be loaded, "empty" for one that
	// gave no record, and "no_value", which the API does not document, for one that
	// gave a record without values.
	Type string `json:"type"`
}

// ProblematicURLs lists the problematic pages of a scraping job, page by page of the list
// as they are asked for; each 100 are one call. A URL is listed once with each type, even
// if it moves to another page meanwhile. An error is the last thing listed.
func (c *Client) ProblematicURLs(ctx context.Context, id int64) iter.Seq2[ProblematicURL, error] {
	req := requestAbout(id, "list problematic URLs of scraping job %d", http.MethodGet, "scraping-job/%d/problematic-urls")
	return list[ProblematicURL](ctx, c, req)
}
