package webscrapertest

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// maxStartURLs is the service's limit.
const maxStartURLs = 20_000

// scrape adds the pages, problematic URLs and records that a job of the sitemap scrapes.
func (c *Cloud) scrape(s Sitemap, definition Job) Job {
	startURLs := definition.StartURLs
	if len(startURLs) == 0 {
		startURLs = s.StartURLs
	}
	pages := &definition.Pages
	for _, page := range expand(startURLs) {
		pages.Executed++
		if parsed, err := url.Parse(page); err != nil || strings.HasSuffix(parsed.Hostname(), ".invalid") {
			pages.Failed++
			definition.ProblematicURLs = append(definition.ProblematicURLs, ProblematicURL{page, "failed"})
		}
	}
	pages.Scheduled = pages.Executed
	definition.Records = c.NextProducts(s.ID, s.RecordsPerPage*int(pages.Executed-pages.Failed))
	return definition
}

var urlRange = regexp.MustCompile(`\[(\d+)-(\d+)(?::(\d+))?\]`)

// expand replaces each URL with a range, [1-100], [001-100] or [0-100:10], by one URL per
// number.
func expand(startURLs []string) (expanded []string) {
	for _, startURL := range startURLs {
		found := urlRange.FindStringSubmatch(startURL)
		if found == nil {
			expanded = append(expanded, startURL)
			continue
		}
		first, _ := strconv.Atoi(found[1]) // digits
		last, _ := strconv.Atoi(found[2])
		step, _ := strconv.Atoi(found[3])
		for n := first; n <= last && len(expanded) < maxStartURLs; n += max(step, 1) {
			number := fmt.Sprintf("%0*d", len(found[1]), n) // as wide as the first
			expanded = append(expanded, strings.Replace(startURL, found[0], number, 1))
		}
	}
	return expanded[:min(len(expanded), maxStartURLs)]
}
