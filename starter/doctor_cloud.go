package main

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

func (d *doctor) checkCloud(ctx context.Context) {
	var s program.Settings
	date := &dateOfAnswers{}
	cloud := d.settings.Client(&s, discard(), webscraper.WithHTTPClient(&http.Client{Transport: date}),
		webscraper.WithTimeout(checkTimeout))
	if !d.settingsAreRight(&s) {
		return
	}
	before := d.now()
	account, err := within(ctx, func(ctx context.Context) (*webscraper.Account, error) { return cloud.Account(ctx) })
	after := d.now()
	_, limited := webscraper.IsRateLimited(err)
	switch {
	case err == nil:
		d.ok("Web Scraper Cloud takes WEBSCRAPER_API_TOKEN, page credits: %d, API calls left: %s", account.PageCredits, budget(cloud))
	case webscraper.IsUnauthorized(err):
		d.fix("Web Scraper Cloud refuses WEBSCRAPER_API_TOKEN: take the one on its API page (%v)", err)
	case limited: // which it may be at any time, of an account that has much to import
		d.line("hint", "Web Scraper Cloud: the account's API calls are used up for now: %v", err)
	default:
		d.fix("Web Scraper Cloud: %v: see WEBSCRAPER_API_BASE_URI, and whether this machine reaches it", err)
	}
	if theirs := date.last.Load(); theirs != nil {
		// The header has whole seconds.
		d.checkClock("Web Scraper Cloud", *theirs, before.Add(-time.Second), after)
	}
}

// dateOfAnswers is a transport that notes the Date header.
type dateOfAnswers struct {
	last atomic.Pointer[time.Time]
}

func (t *dateOfAnswers) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(request)
	if err == nil {
		if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
			t.last.Store(&date)
		}
	}
	return response, err
}
