package webscraper

import (
	"context"
	"net/http"
	"time"
)

// Scheduler is when and how Web Scraper Cloud runs a sitemap by itself.
type Scheduler struct {
	// Enabled says whether it does. [Client.EnableSitemapScheduler] does not look
	// at it.
	Enabled bool
	// The five fields of a cron expression, such as "*/10" or "*".
	CronMinute, CronHour, CronDay, CronMonth, CronWeekday string
	// CronTimezone is the IANA name of the time zone that the fields are in,
	// such as "Europe/Riga".
	CronTimezone string
	// RequestInterval, PageLoadDelay, Driver and Proxy are those of
	// [ScrapingJobConfig].
	RequestInterval, PageLoadDelay time.Duration
	Driver, Proxy                  string
}

// SitemapScheduler returns the scheduler of a sitemap.
func (c *Client) SitemapScheduler(ctx context.Context, sitemapID int64) (*Scheduler, error) {
	req := requestAbout(sitemapID, "get scheduler of sitemap %d", http.MethodGet, "sitemap/%d/scheduler")
	var w struct {
		Enabled wireBool `json:"scheduler_enabled"`
		wireScheduler
	}
	if err := c.call(ctx, req, &w); err != nil {
		return nil, err
	}
	return &Scheduler{
		Enabled:         bool(w.Enabled),
		CronMinute:      string(w.CronMinute),
		CronHour:        string(w.CronHour),
		CronDay:         string(w.CronDay),
		CronMonth:       string(w.CronMonth),
		CronWeekday:     string(w.CronWeekday),
		CronTimezone:    string(w.CronTimezone),
		RequestInterval: time.Duration(w.RequestInterval) * time.Millisecond,
		PageLoadDelay:   time.Duration(w.PageLoadDelay) * time.Millisecond,
		Driver:          w.Driver,
		Proxy:           string(w.Proxy),
	}, nil
}

// EnableSitemapScheduler makes Web Scraper Cloud run a sitemap by itself. What
// the API refuses is in [Error.ValidationErrors].
func (c *Client) EnableSitemapScheduler(ctx context.Context, sitemapID int64, scheduler Scheduler) error {
	req := requestAbout(sitemapID, "enable scheduler of sitemap %d", http.MethodPost, "sitemap/%d/enable-scheduler")
	return c.callWithBody(ctx, req, wireScheduler{
		CronMinute:      wireText(scheduler.CronMinute),
		CronHour:        wireText(scheduler.CronHour),
		CronDay:         wireText(scheduler.CronDay),
		CronMonth:       wireText(scheduler.CronMonth),
		CronWeekday:     wireText(scheduler.CronWeekday),
		CronTimezone:    wireText(scheduler.CronTimezone),
		RequestInterval: wireInt(scheduler.RequestInterval.Milliseconds()),
		PageLoadDelay:   wireInt(scheduler.PageLoadDelay.Milliseconds()),
		Driver:          scheduler.Driver,
		Proxy:           wireProxy(scheduler.Proxy),
	}, nil)
}

// DisableSitemapScheduler stops Web Scraper Cloud from running a sitemap by
// itself.
func (c *Client) DisableSitemapScheduler(ctx context.Context, sitemapID int64) error {
	return c.call(ctx, requestAbout(sitemapID, "disable scheduler of sitemap %d", http.MethodPost, "sitemap/%d/disable-scheduler"), nil)
}

// wireScheduler is a Scheduler as the API spells it.
type wireScheduler struct {
	CronMinute      wireText  `json:"cron_minute"`
	CronHour        wireText  `json:"cron_hour"`
	CronDay         wireText  `json:"cron_day"`
	CronMonth       wireText  `json:"cron_month"`
	CronWeekday     wireText  `json:"cron_weekday"`
	RequestInterval wireInt   `json:"request_interval"` // milliseconds
	PageLoadDelay   wireInt   `json:"page_load_delay"`  // milliseconds
	CronTimezone    wireText  `json:"cron_timezone"`
	Driver          string    `json:"driver"`
	Proxy           wireProxy `json:"proxy,omitempty"`
}
