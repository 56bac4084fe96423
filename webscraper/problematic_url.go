package webscraper

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// ProblematicURL is a page that a scraping job got nothing from.
type ProblematicURL struct {
	URL string `json:"url"`
	// Type is "failed" for a page that failed to load, "empty" for one that
	// gave no record, and "no_value", which the API does not document, for one that
	// gave a record without values.
	Type string `json:"type"`
}

// maxStalePages is after how many consecutive pages without a new item a list counts as
// endless. One is no proof: a hundred items added meanwhile push a page to the next
// number.
const maxStalePages = 3

// ProblematicURLs yields the problematic pages of a scraping job. It makes one call per
// 100 of them, on demand. Each pair of URL and type is yielded once, even if it moves to
// another page of the list meanwhile. An error ends the sequence.
func (c *Client) ProblematicURLs(ctx context.Context, id int64) iter.Seq2[ProblematicURL, error] {
	return func(yield func(ProblematicURL, error) bool) {
		req := requestAbout(id, "list problematic URLs of scraping job %d", http.MethodGet, "scraping-job/%d/problematic-urls")
		seen := map[ProblematicURL]bool{}
		for page, stale := 1, 0; ; page++ {
			var items []ProblematicURL
			req.query = url.Values{"page": {strconv.Itoa(page)}}
			lastPage, err := c.call(ctx, req, &items)
			if err != nil {
				yield(ProblematicURL{}, err)
				return
			}
			stale++
			for _, item := range items {
				if seen[item] {
					continue
				}
				seen[item], stale = true, 0
				if !yield(item, nil) {
					return
				}
			}
			// Without last_page, an empty page is the end.
			if len(items) == 0 || lastPage != 0 && page >= lastPage {
				return
			}
			if stale == maxStalePages {
				end := "and the server does not say which page is the last"
				if lastPage != 0 {
					end = fmt.Sprintf("yet the server says that page %d is the last", lastPage)
				}
				yield(ProblematicURL{}, fmt.Errorf("webscraper: %s: pages %d to %d have nothing new, %s", req.operation, page-maxStalePages+1, page, end))
				return
			}
		}
	}
}
