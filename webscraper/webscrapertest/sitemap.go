package webscrapertest

import (
	"cmp"
	"encoding/json"
	"fmt"
)

// Sitemap defines a sitemap of the cloud. Every field may be left out.
type Sitemap struct {
	ID   int64  // 0: the next free one
	Name string // "": the _id in JSON, else "sitemap-<ID>"
	JSON string // the sitemap itself; "": one with a single selector
}

// sitemap is a Sitemap in the cloud.
type sitemap struct {
	name     string
	document sitemapDocument
}

// sitemapDocument is the part of a sitemap's JSON that the API looks at.
type sitemapDocument struct {
	ID        string          `json:"_id"`
	StartURL  json.RawMessage `json:"startUrl"` // a list; a string in old sitemaps
	Selectors []selector      `json:"selectors"`
}

func (d sitemapDocument) startURLs() (urls []string) {
	var one string
	if json.Unmarshal(d.StartURL, &one) == nil {
		return []string{one}
	}
	_ = json.Unmarshal(d.StartURL, &urls)
	return urls
}

// AddSitemap adds a sitemap and returns its id. It panics when that id is
// taken or the JSON is none.
func (c *Cloud) AddSitemap(definition Sitemap) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addSitemap(definition)
}

// addSitemap is AddSitemap for a caller that holds c.mu.
func (c *Cloud) addSitemap(definition Sitemap) int64 {
	definition.ID = c.sitemapIDs.take(definition.ID)
	if _, taken := c.sitemaps[definition.ID]; taken {
		panic(fmt.Sprintf("webscrapertest: AddSitemap: the cloud has a sitemap %d already", definition.ID))
	}
	definition.JSON = cmp.Or(definition.JSON, defaultSitemap(cmp.Or(definition.Name, fmt.Sprintf("sitemap-%d", definition.ID))))
	var document sitemapDocument
	if err := json.Unmarshal([]byte(definition.JSON), &document); err != nil || document.ID == "" || len(document.startURLs()) == 0 {
		panic(fmt.Sprintf("webscrapertest: AddSitemap: the JSON of sitemap %d has no _id or no startUrl: %v", definition.ID, err))
	}
	c.sitemaps[definition.ID] = sitemap{name: cmp.Or(definition.Name, document.ID), document: document}
	return definition.ID
}

func defaultSitemap(name string) string {
	id, err := json.Marshal(name)
	if err != nil {
		panic(err) // no string fails to encode
	}
	return `{"_id":` + string(id) + `,"startUrl":["https://webscraper.io/test-sites/e-commerce/allinone"],"selectors":[` +
		`{"id":"product","type":"SelectorText","parentSelectors":["_root"],"selector":"a.title","multiple":true,"regex":""}]}`
}

// addSitemapOf completes the sitemap fields of a new job and adds a sitemap
// that the cloud does not have. The caller holds c.mu.
func (c *Cloud) addSitemapOf(definition Job) Job {
	definition.SitemapID = cmp.Or(definition.SitemapID, definition.ID)
	if _, known := c.sitemaps[definition.SitemapID]; !known {
		c.addSitemap(Sitemap{ID: definition.SitemapID, Name: definition.SitemapName})
	}
	definition.SitemapName = cmp.Or(definition.SitemapName, c.sitemaps[definition.SitemapID].name)
	return definition
}
