package main

import (
	"context"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

func (d *doctor) checkCloud(ctx context.Context) {
	var s program.Settings
	cloud := d.settings.ClientOf(&s, discard(), sink.DefaultAccount)
	if !d.settingsAreRight(&s) {
		return
	}
	account, err := within(ctx, cloud.Account)
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
}
