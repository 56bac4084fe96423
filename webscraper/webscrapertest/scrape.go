package webscrapertest

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Invented sizes of pages: the elements that a selector of multiple elements finds, and the
// pages that multiple links open.
const (
	elementsPerPage = 20
	linksPerPage    = 5
)

// maxStartURLs is the service's limit.
const maxStartURLs = 20_000

// scrape adds what a job of the sitemap scrapes: its pages, problematic URLs and records,
// and its terminal status, when the sitemap was scraped as often as that before.
func (d sitemapDocument) scrape(definition Job, before int64) Job {
	startURLs := definition.StartURLs
	if len(startURLs) == 0 {
		startURLs = d.startURLs()
	}
	rows, further := d.below("_root")
	records := &scrapedRecords{products: newProducts(definition.SitemapID, before), rows: rows}
	pages := &definition.Pages
	for _, startURL := range expand(startURLs) {
		pages.Executed++
		switch {
		case unreachable(startURL):
			pages.Failed++
			definition.ProblematicURLs = append(definition.ProblematicURLs, ProblematicURL{startURL, "failed"})
		case len(rows) == 0 || !d.hasTexts(startURL):
			pages.Empty++
			definition.ProblematicURLs = append(definition.ProblematicURLs, ProblematicURL{startURL, "empty"})
		default:
			pages.Executed += further
			records.startURLs = append(records.startURLs, startURL)
		}
	}
	pages.Scheduled = pages.Executed
	definition.Records = Records{count: int64(len(rows) * len(records.startURLs)), src: records}
	return definition
}

// unreachable reports whether a URL's host is in the reserved top-level domain
// .invalid.
func unreachable(startURL string) bool {
	parsed, err := url.Parse(startURL)
	return err != nil || strings.HasSuffix(parsed.Hostname(), ".invalid")
}

// below returns the records, by their columns, that a parent's child selectors find on one
// page or in one element, and how many further pages they open. A selector that is its own
// parent, such as a pagination, is skipped.
func (d sitemapDocument) below(parent string, above ...string) (rows [][]string, pages int64) {
	var single []string // columns of all records
	for _, s := range d.Selectors {
		isBelow := slices.Contains(s.ParentSelectors, parent) || len(s.ParentSelectors) == 0 && parent == "_root"
		if !isBelow || slices.Contains(above, s.ID) {
			continue
		}
		children, further := d.below(s.ID, slices.Concat(above, []string{s.ID})...)
		columns, times, opensPages := s.gives()
		if len(children) > 0 && opensPages {
			further++
		} else if len(children) == 0 && len(columns) > 0 {
			children = [][]string{nil}
		}
		pages += int64(times) * further
		for i, child := range children {
			children[i] = slices.Concat(columns, child)
		}
		if children = slices.Repeat(children, times); len(children) == 1 {
			single = append(single, children[0]...)
		} else {
			rows = append(rows, children...)
		}
	}
	if len(rows) == 0 && len(single) > 0 {
		rows = [][]string{nil}
	}
	for i, row := range rows {
		rows[i] = slices.Concat(single, row)
	}
	return rows, pages
}

// selector is the part of a selector that determines what it finds.
type selector struct {
	ID              string   `json:"id"`
	Type            string   `json:"type"`
	ParentSelectors []string `json:"parentSelectors"` // none: _root
	Selector        string   `json:"selector"`
	Multiple        bool     `json:"multiple"`
}

// gives returns the selector's own columns, how many values it finds, and whether its
// children are on other pages.
func (s selector) gives() (columns []string, times int, opensPages bool) {
	times = 1
	if s.Multiple {
		times = elementsPerPage
	}
	switch {
	case s.Type == "SelectorPagination":
		return nil, linksPerPage, true
	case strings.Contains(s.Type, "Link"):
		return []string{s.ID, s.ID + "-href"}, min(times, linksPerPage), true
	case s.Type == "SelectorImage":
		return []string{s.ID + "-src"}, times, false
	case strings.HasPrefix(s.Type, "SelectorElement") && s.Type != "SelectorElementAttribute":
		return nil, times, false
	}
	return []string{s.ID}, times, false
}

// lastWord finds the last word of the text that a page must contain.
var lastWord = regexp.MustCompile(`:contains\([^)]*?(\w+)["']?\)`)

// hasTexts reports whether a page contains the texts that the selectors require: they are
// in its URL.
func (d sitemapDocument) hasTexts(startURL string) bool {
	return !slices.ContainsFunc(d.Selectors, func(s selector) bool {
		found := lastWord.FindStringSubmatch(s.Selector)
		return found != nil && !strings.Contains(strings.ToLower(startURL), strings.ToLower(found[1]))
	})
}

var urlRange = regexp.MustCompile(`\[(\d+)-(\d+)(?::(\d+))?\]`)

// expand replaces each URL that has a range, [1-100], [001-100] or [0-100:10], by a URL
// for each number.
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
