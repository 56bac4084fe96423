package webscraper

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/url"
	"strconv"
)

// maxStalePages is after how many pages in a row without a new item a list is
// given up as endless. One such page is no proof: while a page is worked on, a
// hundred new items can push it on to the next number.
const maxStalePages = 3

// list sends req for page 1, 2, … up to the last_page of the newest answer, or to a page
// without items, and yields each item once.
func list[T comparable](ctx context.Context, c *Client, req request) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		seen := map[T]bool{}
		stale := 0
		for page := 1; ; page++ {
			items, lastPage, err := listPage[T](ctx, c, req, page)
			if err != nil {
				yield(none, err)
				return
			}
			before := len(seen)
			for _, item := range items {
				if seen[item] {
					continue
				}
				seen[item] = true
				if !yield(item, nil) {
					return
				}
			}
			// Without last_page, only an empty page tells the end.
			if len(items) == 0 || lastPage != 0 && page >= lastPage {
				return
			}
			if stale++; len(seen) > before {
				stale = 0
			}
			if stale == maxStalePages {
				yield(none, fmt.Errorf("webscraper: %s: pages %d to %d brought nothing new, yet the server says that page %d is the last",
					req.operation, page-maxStalePages+1, page, lastPage))
				return
			}
		}
	}
}

// listPage sends req for one page and returns its items and what the answer
// says is the last page, 0 if it does not say.
func listPage[T any](ctx context.Context, c *Client, req request, page int) (items []T, lastPage int, err error) {
	query := url.Values{"page": {strconv.Itoa(page)}}
	maps.Copy(query, req.query)
	req.query = query
	lastPage, err = c.callPage(ctx, req, &items)
	return items, lastPage, err
}
