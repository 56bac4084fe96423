package webscrapertest

import (
	"cmp"
	"fmt"
)

// Sitemap defines a sitemap of the cloud. Every field is optional.
type Sitemap struct {
	ID             int64    // 0: the next free one
	Name           string   // "": "sitemap-<ID>"
	StartURLs      []string // none: a page of the shop of [Products]
	RecordsPerPage int      // 0: 20
}

// AddSitemap adds a sitemap and returns its ID. It panics if that ID is taken.
func (c *Cloud) AddSitemap(definition Sitemap) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addSitemap(definition)
}

// addSitemap is AddSitemap for a caller that holds c.mu.
func (c *Cloud) addSitemap(s Sitemap) int64 {
	s.ID = c.sitemapIDs.take(s.ID)
	if _, taken := c.sitemaps[s.ID]; taken {
		panic(fmt.Sprintf("webscrapertest: AddSitemap: the cloud already has sitemap %d", s.ID))
	}
	s.Name = cmp.Or(s.Name, fmt.Sprintf("sitemap-%d", s.ID))
	s.RecordsPerPage = cmp.Or(s.RecordsPerPage, 20)
	if len(s.StartURLs) == 0 {
		s.StartURLs = []string{"https://webscraper.io/test-sites/e-commerce/allinone"}
	}
	c.sitemaps[s.ID] = s
	return s.ID
}

// addSitemapOf completes the sitemap fields of a new job and adds its sitemap if missing.
// The caller holds c.mu.
func (c *Cloud) addSitemapOf(definition Job) Job {
	definition.SitemapID = cmp.Or(definition.SitemapID, definition.ID)
	if _, known := c.sitemaps[definition.SitemapID]; !known {
		c.addSitemap(Sitemap{ID: definition.SitemapID, Name: definition.SitemapName})
	}
	definition.SitemapName = cmp.Or(definition.SitemapName, c.sitemaps[definition.SitemapID].Name)
	return definition
}
