package webscrapertest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds the request bodies that the fake reads.
const maxBody = 10 << 20

// withJob responds with 404 unless the path has the ID of a job. The handler gets a copy
// of the job as it is now.
func (c *Cloud) withJob(handle func(http.ResponseWriter, *http.Request, job)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		found, err := c.job(pathID(r))
		var j job
		if err == nil {
			j = *found
		}
		c.mu.Unlock()
		if err != nil {
			writeError(w, http.StatusNotFound)
			return
		}
		handle(w, r, j)
	}
}

// createJob accepts numbers as such or as text, and validates fields like the service's
// framework (Laravel).
func (c *Cloud) createJob(w http.ResponseWriter, r *http.Request) {
	var form struct {
		SitemapID       json.Number `json:"sitemap_id"`
		Driver          string      `json:"driver"`
		PageLoadDelay   json.Number `json:"page_load_delay"`  // milliseconds
		RequestInterval json.Number `json:"request_interval"` // milliseconds
		Proxy           any         `json:"proxy"`
		StartURLs       []string    `json:"start_urls"`
		CustomID        string      `json:"custom_id"`
	}
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&form) != nil {
		writeError(w, http.StatusBadRequest)
		return
	}
	id, _ := form.SitemapID.Int64() // else 0, which no sitemap has
	delay, _ := form.PageLoadDelay.Int64()
	interval, _ := form.RequestInterval.Int64()
	c.mu.Lock()
	s, known := c.sitemaps[id]
	c.mu.Unlock()
	wrong := map[string][]string{}
	for field, value := range map[string]string{
		"sitemap_id": form.SitemapID.String(), "driver": form.Driver,
		"page_load_delay": form.PageLoadDelay.String(), "request_interval": form.RequestInterval.String(),
	} {
		name := strings.ReplaceAll(field, "_", " ")
		switch {
		case value == "":
			wrong[field] = []string{"The " + name + " field is required."}
		case field == "sitemap_id" && !known, field == "driver" && !slices.Contains(drivers, value):
			wrong[field] = []string{"The selected " + name + " is invalid."}
		}
	}
	if len(wrong) > 0 {
		writeValidationErrors(w, wrong)
		return
	}
	definition := Job{
		SitemapID: id, Driver: form.Driver, StartURLs: form.StartURLs, CustomID: form.CustomID, Timeline: c.options.Timeline,
		PageLoadDelay: time.Duration(delay) * time.Millisecond, RequestInterval: time.Duration(interval) * time.Millisecond,
	}
	if form.Proxy != nil {
		definition.Proxy = fmt.Sprint(form.Proxy)
	}
	definition.ID = c.AddJob(c.scrape(s, definition))
	writeData(w, struct {
		ID       int64   `json:"id"`
		CustomID *string `json:"custom_id"`
	}{definition.ID, orNull(definition.CustomID)})
}

func (c *Cloud) listJobs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	sitemapID, tag := query.Get("sitemap_id"), query.Get("tag")
	objects := []jobObject{}
	c.mu.Lock()
	now := c.options.Clock()
	for _, j := range c.jobs {
		if j.deleted ||
			sitemapID != "" && sitemapID != strconv.FormatInt(j.SitemapID, 10) ||
			tag != "" && !slices.Contains(j.Tags, tag) {
			continue
		}
		j.advance(now)
		objects = append(objects, j.object())
	}
	c.mu.Unlock()
	slices.SortFunc(objects, func(a, b jobObject) int { return cmp.Compare(a.ID, b.ID) })
	writePage(w, r, objects)
}

func (c *Cloud) getJob(w http.ResponseWriter, _ *http.Request, j job) { writeData(w, j.object()) }

func (c *Cloud) deleteJob(w http.ResponseWriter, _ *http.Request, j job) {
	c.mu.Lock()
	c.jobs[j.ID].deleted = true
	c.mu.Unlock()
	writeData(w, "ok")
}

func (c *Cloud) listProblematicURLs(w http.ResponseWriter, r *http.Request, j job) {
	urls := j.ProblematicURLs
	if j.running && !j.complete() {
		urls = urls[:int(j.scraped*float64(len(urls)))]
	}
	writePage(w, r, urls)
}
