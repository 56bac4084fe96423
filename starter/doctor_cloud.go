package main

import (
	"context"
	"maps"
	"slices"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

func (d *doctor) checkCloud(ctx context.Context, settings *program.Settings) {
	if !d.validSettings(settings) {
		return
	}
	for _, account := range slices.Sorted(maps.Keys(d.clients)) {
		d.checkAccount(ctx, account, d.clients[account])
	}
	used := map[string]bool{}
	for account := range d.jobs {
		used[account] = true
	}
	for account, count := range d.open {
		used[account] = used[account] || count.All > 0
	}
	for _, account := range slices.Sorted(maps.Keys(used)) {
		if used[account] && d.clients[account] == nil {
			d.checkRemoved(account, d.jobs[account], d.open[account].All)
		}
	}
}

func (d *doctor) checkAccount(ctx context.Context, name string, cloud *webscraper.Client) {
	setting := tokenSetting(name)
	account, err := within(ctx, cloud.Account)
	_, limited := webscraper.IsRateLimited(err)
	switch {
	case err == nil:
		d.ok("%sWeb Scraper Cloud accepts %s given here (the workers may have another), page credits: %d", d.clients.of(name), setting, account.PageCredits)
	case webscraper.IsUnauthorized(err):
		d.fix("%sWeb Scraper Cloud refuses %s given here: use the one on its API page (%v)", d.clients.of(name), setting, err)
	case limited: // normal for an account that imports much
		d.line("hint", "%sWeb Scraper Cloud: the account's API calls are used up for now: %v", d.clients.of(name), err)
	default:
		d.fix("%sWeb Scraper Cloud: %v: check WEBSCRAPER_API_BASE_URI, and that this machine can reach it", d.clients.of(name), err)
	}
}

// checkRemoved checks an account that has no API token here.
func (d *doctor) checkRemoved(account string, jobs, open int) {
	if open == 0 {
		d.line("hint", "account %s is not in the settings here; its jobs in the database: %d, open imports: none", account, jobs)
		return
	}
	d.fix("account %s is not in the settings here; its jobs in the database: %d, open imports, which wait for its API token: %d: restore its token here and on all workers, or close them with abandon (starter list --account %s)",
		account, jobs, open, account)
}
