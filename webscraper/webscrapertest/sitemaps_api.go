package webscrapertest

import (
	"cmp"
	"io"
	"net/http"
	"slices"
)

// withSitemap answers 404 unless the id in the path is that of a sitemap. The
// handler gets a copy of it.
func (c *Cloud) withSitemap(handle func(http.ResponseWriter, *http.Request, sitemap)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		found, ok := c.sitemaps[pathID(r)]
		var s sitemap
		if ok {
			s = *found
		}
		c.mu.Unlock()
		if !ok {
			writeError(w, http.StatusNotFound)
			return
		}
		handle(w, r, s)
	}
}

// saveSitemap replaces a sitemap, unless it has been deleted meanwhile.
func (c *Cloud) saveSitemap(s sitemap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.sitemaps[s.ID]; ok {
		c.sitemaps[s.ID] = &s
	}
}

// readSitemap reads the sitemap that a request sends. It answers with what is
// wrong with it and returns false.
func readSitemap(w http.ResponseWriter, r *http.Request) (Sitemap, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeError(w, http.StatusBadRequest)
		return Sitemap{}, false
	}
	document, errors := parseSitemap(body)
	if len(errors) > 0 {
		writeValidationErrors(w, errors)
		return Sitemap{}, false
	}
	return Sitemap{Name: document.ID, JSON: compactSitemap(body)}, true
}

func (c *Cloud) createSitemap(w http.ResponseWriter, r *http.Request) {
	definition, ok := readSitemap(w, r)
	if !ok {
		return
	}
	writeData(w, struct {
		ID int64 `json:"id"`
	}{c.AddSitemap(definition)})
}

func (c *Cloud) updateSitemap(w http.ResponseWriter, r *http.Request, s sitemap) {
	definition, ok := readSitemap(w, r)
	if !ok {
		return
	}
	s.Name, s.JSON = definition.Name, definition.JSON
	c.saveSitemap(s)
	writeData(w, "ok")
}

func (c *Cloud) deleteSitemap(w http.ResponseWriter, _ *http.Request, s sitemap) {
	c.mu.Lock()
	delete(c.sitemaps, s.ID)
	c.mu.Unlock()
	writeData(w, "ok")
}

// sitemapObject is a sitemap on the wire; a list leaves out its JSON.
type sitemapObject struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Sitemap string `json:"sitemap,omitempty"`
}

func (c *Cloud) getSitemap(w http.ResponseWriter, _ *http.Request, s sitemap) {
	writeData(w, sitemapObject{ID: s.ID, Name: s.Name, Sitemap: s.JSON})
}

func (c *Cloud) listSitemaps(w http.ResponseWriter, r *http.Request) {
	tag := r.URL.Query().Get("tag")
	var objects []sitemapObject
	c.mu.Lock()
	for _, s := range c.sitemaps {
		if tag == "" || slices.Contains(s.Tags, tag) {
			objects = append(objects, sitemapObject{ID: s.ID, Name: s.Name})
		}
	}
	c.mu.Unlock()
	slices.SortFunc(objects, func(a, b sitemapObject) int { return cmp.Compare(a.ID, b.ID) })
	writePage(w, r, objects)
}
