package activities_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
)

func TestFilterSaysWhyAJobIsOutside(t *testing.T) {
	shops := activities.Filter{SitemapNamePrefix: "shop-"}
	ended := activities.Filter{Statuses: []string{"finished", "stopped"}}
	both := activities.Filter{SitemapNamePrefix: "shop-", Statuses: []string{"finished"}}
	tests := map[string]struct {
		filter              activities.Filter
		sitemapName, status string
		want                string
	}{
		"no filter":                      {activities.Filter{}, "my-sitemap", "failed", ""},
		"no filter, nothing known":       {activities.Filter{}, "", "", ""},
		"prefix":                         {shops, "shop-tablets", "failed", ""},
		"prefix is the complete name":    {shops, "shop-", "failed", ""},
		"another name":                   {shops, "my-sitemap", "finished", `the sitemap's name "my-sitemap" does not start with "shop-"`},
		"prefix further back":            {shops, "my-shop-tablets", "finished", `the sitemap's name "my-shop-tablets" does not start with "shop-"`},
		"prefix in capitals":             {shops, "Shop-tablets", "finished", `the sitemap's name "Shop-tablets" does not start with "shop-"`},
		"name not known":                 {shops, "", "finished", ""},
		"status":                         {ended, "my-sitemap", "stopped", ""},
		"another status":                 {ended, "my-sitemap", "failed", `the status "failed" is not one of ["finished" "stopped"]`},
		"status not known":               {ended, "my-sitemap", "", ""},
		"name and status":                {both, "shop-tablets", "finished", ""},
		"name, another status":           {both, "shop-tablets", "failed", `the status "failed" is not one of ["finished"]`},
		"name not known, another status": {both, "", "failed", `the status "failed" is not one of ["finished"]`},
		"neither name nor status":        {both, "my-sitemap", "failed", `the sitemap's name "my-sitemap" does not start with "shop-"`},
		"a tag decides nothing":          {activities.Filter{Tag: "nightly"}, "my-sitemap", "failed", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, test.filter.WhyOutside(test.sitemapName, test.status))
		})
	}
}

func TestAccountOverridesTheFilter(t *testing.T) {
	filter := activities.Filter{SitemapNamePrefix: "shop-", Tag: "prices", Statuses: []string{"stopped"}, Accounts: map[string]activities.AccountFilter{
		"acme":    {Tag: new(""), Statuses: &[]string{}},
		"default": {SitemapNamePrefix: new("books")},
	}}
	require.Equal(t, activities.Filter{SitemapNamePrefix: "shop-", Statuses: []string{}}, filter.For("acme"))
	require.Equal(t, activities.Filter{SitemapNamePrefix: "shop-", Tag: "prices", Statuses: []string{"stopped"}}, filter.For("globex"))
	require.Equal(t, activities.Filter{SitemapNamePrefix: "books", Tag: "prices", Statuses: []string{"stopped"}}, filter.For(""))
	encoded, err := json.Marshal(filter)
	require.NoError(t, err)
	var decoded activities.Filter
	require.NoError(t, json.Unmarshal(encoded, &decoded))
	require.Equal(t, filter, decoded, "as in the schedule and in workflows")
	require.Empty(t, filter.Validate())
	filter.Accounts = map[string]activities.AccountFilter{"Acme": {Statuses: &[]string{"done"}}}
	require.Len(t, filter.Validate(), 2)
}
