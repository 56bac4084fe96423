package webscraper

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
)

// ProblematicURLType is what was wrong with a page.
type ProblematicURLType string

// The types of the API; no_value is not in its documentation.
const (
	ProblematicURLEmpty   ProblematicURLType = "empty"
	ProblematicURLFailed  ProblematicURLType = "failed"
	ProblematicURLNoValue ProblematicURLType = "no_value"
)

// ProblematicURL is a page that a scraping job could not load, that gave no
// record, or that gave one without values.
type ProblematicURL struct {
	URL  string             `json:"url"`
	Type ProblematicURLType `json:"type"`
}

// ProblematicURLs lists the problematic pages of a scraping job, in the way of
// [Client.ScrapingJobs].
func (c *Client) ProblematicURLs(ctx context.Context, id int64) iter.Seq2[ProblematicURL, error] {
	return list(ctx, c, request{
		operation: fmt.Sprintf("list problematic URLs of scraping job %d", id),
		method:    http.MethodGet,
		path:      fmt.Sprintf("scraping-job/%d/problematic-urls", id),
		query:     url.Values{},
	}, func(u *ProblematicURL) ProblematicURL { return *u }, func(u ProblematicURL) ProblematicURL { return u })
}
