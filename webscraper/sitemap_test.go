package webscraper_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

func TestSitemapCalls(t *testing.T) {
	_, client := newCloud(t)
	definition := json.RawMessage(`{"_id":"shop","startUrl":["https://example.com/?a=1&b=2"],"selectors":[]}`)

	id, err := client.CreateSitemap(t.Context(), definition)
	require.NoError(t, err)
	sitemap, err := client.Sitemap(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, id, sitemap.ID)
	require.Equal(t, "shop", sitemap.Name)
	require.JSONEq(t, string(definition), string(sitemap.Definition))

	_, err = client.Sitemap(t.Context(), id+1)
	require.True(t, webscraper.IsNotFound(err))
}

func TestSitemapThatIsNotJSONIsNotSent(t *testing.T) {
	cloud, client := newCloud(t)
	_, err := client.CreateSitemap(t.Context(), []byte(`{"_id":`))
	require.EqualError(t, err, `webscraper: create sitemap: the definition is not valid JSON: "{\"_id\":"`)
	require.Empty(t, cloud.Requests())
}
