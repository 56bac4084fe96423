package webscrapertest

import (
	"maps"
	"net/http"
)

// getScheduler answers with what was sent when the scheduler was enabled.
func (c *Cloud) getScheduler(w http.ResponseWriter, _ *http.Request, s sitemap) {
	answer := map[string]any{"scheduler_enabled": s.scheduled}
	maps.Copy(answer, s.scheduler)
	writeData(w, answer)
}

func (c *Cloud) enableScheduler(w http.ResponseWriter, r *http.Request, s sitemap) {
	form, ok := readForm(w, r, "cron_minute", "cron_hour", "cron_day", "cron_month", "cron_weekday", "cron_timezone",
		"request_interval", "page_load_delay", "driver")
	if !ok {
		return
	}
	form.oneOf("driver", drivers...)
	if form.refused(w) {
		return
	}
	s.scheduler, s.scheduled = form.fields, true
	c.saveSitemap(s)
	writeData(w, "ok")
}

func (c *Cloud) disableScheduler(w http.ResponseWriter, _ *http.Request, s sitemap) {
	s.scheduled = false
	c.saveSitemap(s)
	writeData(w, "ok")
}
