package webscrapertest

import (
	"encoding/json"
	"net/http"
)

// schedulerObject is the scheduler of a sitemap on the wire.
type schedulerObject struct {
	SchedulerEnabled bool            `json:"scheduler_enabled"`
	CronMinute       string          `json:"cron_minute"`
	CronHour         string          `json:"cron_hour"`
	CronDay          string          `json:"cron_day"`
	CronMonth        string          `json:"cron_month"`
	CronWeekday      string          `json:"cron_weekday"`
	RequestInterval  int64           `json:"request_interval"` // milliseconds
	PageLoadDelay    int64           `json:"page_load_delay"`  // milliseconds
	CronTimezone     string          `json:"cron_timezone"`
	Driver           string          `json:"driver"`
	Proxy            json.RawMessage `json:"proxy"` // a number or a name, as it was sent
}

func (c *Cloud) getScheduler(w http.ResponseWriter, _ *http.Request, s sitemap) {
	writeData(w, s.scheduler)
}

func (c *Cloud) enableScheduler(w http.ResponseWriter, r *http.Request, s sitemap) {
	form, ok := readForm(w, r, "cron_minute", "cron_hour", "cron_day", "cron_month", "cron_weekday", "cron_timezone",
		"request_interval", "page_load_delay", "driver")
	if !ok {
		return
	}
	s.scheduler = schedulerObject{
		SchedulerEnabled: true,
		CronMinute:       form.string("cron_minute"),
		CronHour:         form.string("cron_hour"),
		CronDay:          form.string("cron_day"),
		CronMonth:        form.string("cron_month"),
		CronWeekday:      form.string("cron_weekday"),
		RequestInterval:  form.integer("request_interval"),
		PageLoadDelay:    form.integer("page_load_delay"),
		CronTimezone:     form.string("cron_timezone"),
		Driver:           form.oneOf("driver", drivers...),
		Proxy:            form.value("proxy"),
	}
	if form.refused(w) {
		return
	}
	c.saveSitemap(s)
	writeData(w, "ok")
}

func (c *Cloud) disableScheduler(w http.ResponseWriter, _ *http.Request, s sitemap) {
	s.scheduler.SchedulerEnabled = false
	c.saveSitemap(s)
	writeData(w, "ok")
}
