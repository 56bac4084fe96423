package activities

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// Filter selects the scraping jobs that are imported automatically. The zero value
// selects all.
type Filter struct {
	// SitemapNamePrefix is a prefix of the sitemap's name.
	SitemapNamePrefix string `json:"sitemap_name_prefix,omitempty"`
	// Tag is a tag of the sitemap. Only the API has the sitemap's tags.
	Tag string `json:"tag,omitempty"`
	// Statuses are the statuses in which a job is imported: "finished", "stopped",
	// "failed" or "shelved"; none means all.
	Statuses []string `json:"statuses,omitempty"`
	// Accounts has the overrides per account, by name.
	Accounts map[string]AccountFilter `json:"accounts,omitempty"`
}

// AccountFilter overrides fields of the Filter for an account; nil does not override.
type AccountFilter struct {
	SitemapNamePrefix *string   `json:"sitemap_name_prefix,omitempty"`
	Tag               *string   `json:"tag,omitempty"`
	Statuses          *[]string `json:"statuses,omitempty"`
}

// For returns the filter for the jobs of an account.
func (f Filter) For(account string) Filter {
	other := f.Accounts[cmp.Or(account, sink.DefaultAccount)]
	f.Accounts = nil
	f.SitemapNamePrefix = *cmp.Or(other.SitemapNamePrefix, &f.SitemapNamePrefix)
	f.Tag = *cmp.Or(other.Tag, &f.Tag)
	f.Statuses = *cmp.Or(other.Statuses, &f.Statuses)
	return f
}

// Validate returns an error for each status that an ended job cannot have and for each
// invalid account name.
func (f Filter) Validate() (problems []error) {
	for _, status := range f.Statuses {
		if !webscraper.Status(status).Terminal() {
			problems = append(problems, fmt.Errorf("the filter's status %q is none of finished, stopped, failed and shelved", status))
		}
	}
	//workflowcheck:ignore // sorted
	names := slices.Sorted(maps.Keys(f.Accounts))
	for _, name := range names {
		if err := validate.Account("the filter", name); err != nil {
			problems = append(problems, err)
		}
		if statuses := f.Accounts[name].Statuses; statuses != nil {
			problems = append(problems, Filter{Statuses: *statuses}.Validate()...)
		}
	}
	return problems
}

// WhyOutside says in one sentence why the filter excludes a job by its sitemap's name or
// its status, either of which is "" if unknown. f must be the filter of the job's account.
// An empty reason means that the tag, if any, decides.
func (f Filter) WhyOutside(sitemapName, status string) (reason string) {
	switch {
	case sitemapName != "" && !strings.HasPrefix(sitemapName, f.SitemapNamePrefix):
		return fmt.Sprintf("the sitemap's name %q does not start with %q", sitemapName, f.SitemapNamePrefix)
	case status != "" && len(f.Statuses) > 0 && !slices.Contains(f.Statuses, status):
		return fmt.Sprintf("the status %q is not one of %q", status, f.Statuses)
	}
	return ""
}
