package mapping_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

func TestSitemapsHaveKeysAndRetention(t *testing.T) {
	mappings, err := mapping.Parse("mappings.yaml", []byte(`
sitemaps:
  - {sitemap: books, key: [product-link-href, shelf], records_retention: 2160h, keep_imports: 10}
  - {sitemap_prefix: shop-, keep_imports: 0}
  - {sitemap_prefix: shop-a, records_retention: "0"}
  - {sitemap: books, account: acme, key: [isbn]}
mappings:
  - {sitemap_prefix: shop-, table: offers, mode: upsert, key: [url, shop], columns: [{name: shop, type: text}, {name: url, from: link, type: text}]}
`))
	require.NoError(t, err)
	books := mappings.Sitemap(sink.DefaultAccount, "books")
	require.Equal(t, 2160*time.Hour, *books.RecordsRetention)
	require.Equal(t, 10, *books.KeepImports)
	require.Equal(t, 0, *mappings.Sitemap(sink.DefaultAccount, "shop-b").KeepImports)
	require.Nil(t, mappings.Sitemap(sink.DefaultAccount, "shop-b").RecordsRetention)
	require.Zero(t, *mappings.Sitemap(sink.DefaultAccount, "shop-after").RecordsRetention)
	require.Zero(t, mappings.Sitemap("acme", "shop-b"))
	require.Zero(t, mappings.Sitemap(sink.DefaultAccount, ""), "a job without a sitemap name")
	require.Nil(t, mappings.For(sink.DefaultAccount, ""))
	require.Zero(t, (*mapping.Mappings)(nil).Sitemap(sink.DefaultAccount, "books"))

	require.Equal(t, []string{"product-link-href", "shelf"}, mappings.Key(sink.DefaultAccount, "books"))
	require.Equal(t, []string{"isbn"}, mappings.Key("acme", "books"))
	require.Equal(t, []string{"link", "shop"}, mappings.Key(sink.DefaultAccount, "shop-a"), "the scraped columns of the mapping's key")
	require.Empty(t, mappings.Key(sink.DefaultAccount, "phones"))
	require.Empty(t, (*mapping.Mappings)(nil).Key(sink.DefaultAccount, "books"))
}

func TestInvalidSitemapsAreReported(t *testing.T) {
	require.Equal(t, []string{
		`2: a sitemap is "books": want the keys account, sitemap, sitemap_prefix, key, records_retention, keep_imports with their values`,
		`3: the entry names no sitemap: want sitemap with a name, or sitemap_prefix with the name prefix of several`,
		`4: records_retention is "90d": want a duration of at least 1h0m0s, like 2160h, or 0 to keep records forever`,
		`5: records_retention is "1m": want a duration of at least 1h0m0s, like 2160h, or 0 to keep records forever`,
		`5: sitemap "a" already has an entry, on line 4`,
		`6: keep_imports is "-1": want a whole number from 0 to 1000000`,
		`7: key is an empty list: want at least one of the scraped columns`,
	}, problems(t, `sitemaps:
  - books
  - {keep_imports: 1}
  - {sitemap: a, records_retention: 90d}
  - {sitemap: a, records_retention: 1m}
  - {sitemap: b, keep_imports: -1}
  - {sitemap: c, key: []}
`))
}
