package webscrapertest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
)

// Sitemap defines a sitemap of the cloud. Every field may be left out.
type Sitemap struct {
	ID   int64    // 0: the next free one
	Name string   // "": the _id in JSON, else "sitemap-<ID>"
	JSON string   // the sitemap itself; "": one with a single selector
	Tags []string // for the tag parameter of the list
}

// sitemap is a Sitemap in the cloud.
type sitemap struct {
	Sitemap
	scheduled bool
	scheduler map[string]any
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
	document, errors := parseSitemap([]byte(definition.JSON))
	if len(errors) > 0 {
		panic(fmt.Sprintf("webscrapertest: AddSitemap: the JSON of sitemap %d: %v", definition.ID, errors))
	}
	definition.JSON = compactSitemap([]byte(definition.JSON))
	definition.Name = cmp.Or(definition.Name, document.ID)
	c.sitemaps[definition.ID] = &sitemap{Sitemap: definition}
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
	definition.SitemapName = cmp.Or(definition.SitemapName, c.sitemaps[definition.SitemapID].Name)
	return definition
}

// parseSitemap reads the JSON of a sitemap and says what is wrong with it, in
// the service's words.
func parseSitemap(text []byte) (document sitemapDocument, errors map[string][]string) {
	errors = make(map[string][]string)
	if json.Unmarshal(text, &document) != nil || document.ID == "" {
		errors["sitemap_object"] = []string{"Sitemap has a suspicious attribute somewhere."}
	}
	switch string(document.StartURL) {
	case "", "null", "[]", `""`:
		errors["sitemap_object.startUrl"] = []string{"The sitemap object.start url field is required."}
	}
	return document, errors
}

// compactSitemap is the valid JSON of a sitemap as the API echoes it: compact,
// "/" not escaped.
func compactSitemap(text []byte) string {
	var compact, echoed bytes.Buffer
	_ = json.Compact(&compact, text) // fails on invalid JSON only
	// Parted after each escaped backslash, `\/` is nothing but a slash.
	for part := range bytes.SplitAfterSeq(compact.Bytes(), []byte(`\\`)) {
		echoed.Write(bytes.ReplaceAll(part, []byte(`\/`), []byte(`/`)))
	}
	return echoed.String()
}
