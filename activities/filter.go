package activities

import (
	"fmt"
	"slices"
	"strings"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

// Filter says which scraping jobs are imported without being asked for by hand.
// Its zero value lets all of them pass.
type Filter struct {
	// SitemapNamePrefix is what the sitemap's name begins with.
	SitemapNamePrefix string `json:"sitemap_name_prefix,omitempty"`
	// Tag is a tag of the sitemap. Only the API knows which it has.
	Tag string `json:"tag,omitempty"`
	// Statuses are those in which a job is imported, of "finished", "stopped",
	// "failed" and "shelved"; none means all.
	Statuses []string `json:"statuses,omitempty"`
}

// Validate returns an error for each status that no ended job has.
func (f Filter) Validate() (problems []error) {
	for _, status := range f.Statuses {
		if !webscraper.Status(status).Terminal() {
			problems = append(problems, fmt.Errorf("the filter's status %q is none of finished, stopped, failed and shelved", status))
		}
	}
	return problems
}

// WhyOutside says in one sentence why a job is not let pass, as far as its
// sitemap's name and its status tell; both may be "" when they are not known.
// An empty reason says that the tag, if there is one, decides.
func (f Filter) WhyOutside(sitemapName, status string) (reason string) {
	switch {
	case sitemapName != "" && !strings.HasPrefix(sitemapName, f.SitemapNamePrefix):
		return fmt.Sprintf("the sitemap's name %q does not begin with %q", sitemapName, f.SitemapNamePrefix)
	case status != "" && len(f.Statuses) > 0 && !slices.Contains(f.Statuses, status):
		return fmt.Sprintf("the status %q is not one of %q", status, f.Statuses)
	}
	return ""
}
