package webscrapertest

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// withJob answers 404 unless the id in the path is that of a job. The handler
// gets a copy of the job as it is now.
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

func (c *Cloud) createJob(w http.ResponseWriter, r *http.Request) {
	form, ok := readForm(w, r, "sitemap_id", "driver", "page_load_delay", "request_interval")
	if !ok {
		return
	}
	definition := Job{
		SitemapID:       form.integer("sitemap_id"),
		Driver:          form.oneOf("driver", drivers...),
		PageLoadDelay:   time.Duration(form.integer("page_load_delay")) * time.Millisecond,
		RequestInterval: time.Duration(form.integer("request_interval")) * time.Millisecond,
		Proxy:           form.text("proxy"),
		StartURLs:       form.urls("start_urls"),
		CustomID:        form.text("custom_id"),
		Timeline:        c.options.Timeline,
	}
	c.mu.Lock()
	s, known := c.sitemaps[definition.SitemapID]
	before := c.scrapes(definition.SitemapID)
	c.mu.Unlock()
	if !known && form.ok("sitemap_id") {
		form.fail("sitemap_id", "The selected sitemap id is invalid.")
	}
	if form.refused(w) {
		return
	}
	definition.ID = c.AddJob(s.document.scrape(definition, before))
	answer := struct {
		ID       int64   `json:"id"`
		CustomID *string `json:"custom_id"`
	}{ID: definition.ID}
	if definition.CustomID != "" {
		answer.CustomID = &definition.CustomID
	}
	writeData(w, answer)
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
