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

// list sends req for page 1, 2, … up to the last_page of the newest answer, or
// to a page without items, and yields each item once, as identified by key.
// W is an item as the API spells it, T as the caller sees it.
func list[W, T any, K comparable](ctx context.Context, c *Client, req request, convert func(*W) T, key func(T) K) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		seen := map[K]bool{}
		stale := 0
		for page := 1; ; page++ {
			items, lastPage, err := listPage(ctx, c, req, page, convert)
			if err != nil {
				yield(none, err)
				return
			}
			before := len(seen)
			for _, item := range items {
				k := key(item)
				if seen[k] {
					continue
				}
				seen[k] = true
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
// says is the last page, 0 if it does not say. W and T are those of list.
func listPage[W, T any](ctx context.Context, c *Client, req request, page int, convert func(*W) T) (items []T, lastPage int, err error) {
	query := url.Values{"page": {strconv.Itoa(page)}}
	maps.Copy(query, req.query)
	req.query = query
	var answer []W
	if lastPage, err = c.callPage(ctx, req, &answer); err != nil {
		return nil, 0, err
	}
	for i := range answer {
		items = append(items, convert(&answer[i]))
	}
	return items, lastPage, nil
}
