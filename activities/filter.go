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
	// Accounts say by name what is different for the jobs of an account.
	Accounts map[string]AccountFilter `json:"accounts,omitempty"`
}

// AccountFilter is what an account has instead of the Filter's own; nil for the same.
type AccountFilter struct {
	SitemapNamePrefix *string   `json:"sitemap_name_prefix,omitempty"`
	Tag               *string   `json:"tag,omitempty"`
	Statuses          *[]string `json:"statuses,omitempty"`
}

// For returns the filter of the jobs of an account.
func (f Filter) For(account string) Filter {
	other := f.Accounts[cmp.Or(account, sink.DefaultAccount)]
	f.Accounts = nil
	f.SitemapNamePrefix = *cmp.Or(other.SitemapNamePrefix, &f.SitemapNamePrefix)
	f.Tag = *cmp.Or(other.Tag, &f.Tag)
	f.Statuses = *cmp.Or(other.Statuses, &f.Statuses)
	return f
}

// Validate returns an error for each status that no ended job has, and for each name that
// no account can have.
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

// WhyOutside says in one sentence why a job is not let pass, as far as its
// sitemap's name and its status tell, by the filter of its account; both may be "" when they are not known.
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
