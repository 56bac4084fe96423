package webscraper_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestSitemapCalls(t *testing.T) {
	cloud, client := newCloud(t)
	definition := json.RawMessage(`{"_id":"shop","startUrl":["https://example.com/?a=1&b=2"],"selectors":[]}`)

	id, err := client.CreateSitemap(t.Context(), definition)
	require.NoError(t, err)
	sitemap, err := client.Sitemap(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, id, sitemap.ID)
	require.Equal(t, "shop", sitemap.Name)
	require.JSONEq(t, string(definition), string(sitemap.Definition))

	definition = json.RawMessage(`{"_id":"shop-2","startUrl":["https://example.com/"],"selectors":[]}`)
	require.NoError(t, client.UpdateSitemap(t.Context(), id, definition))
	sitemap, err = client.Sitemap(t.Context(), id)
	require.NoError(t, err)
	require.JSONEq(t, string(definition), string(sitemap.Definition))

	cloud.AddSitemap(webscrapertest.Sitemap{ID: 900, Name: "tagged", Tags: []string{"nightly"}})
	for sitemap, err := range client.Sitemaps(t.Context(), "nightly") {
		require.NoError(t, err)
		require.Equal(t, &webscraper.Sitemap{ID: 900, Name: "tagged"}, sitemap)
	}

	require.NoError(t, client.DeleteSitemap(t.Context(), id))
	require.True(t, webscraper.IsNotFound(client.DeleteSitemap(t.Context(), id)))
	_, err = client.Sitemap(t.Context(), id)
	require.True(t, webscraper.IsNotFound(err))
}

func TestSitemapThatIsNotJSONIsNotSent(t *testing.T) {
	cloud, client := newCloud(t)
	_, err := client.CreateSitemap(t.Context(), []byte(`{"_id":`))
	require.EqualError(t, err, `webscraper: create sitemap: the definition is not valid JSON: "{\"_id\":"`)
	err = client.UpdateSitemap(t.Context(), 1, nil)
	require.ErrorContains(t, err, "webscraper: update sitemap 1: the definition is not valid JSON")
	require.Empty(t, cloud.Requests())
}
