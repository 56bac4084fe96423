package program

import (
	"log/slog"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

// CloudFlags are the settings of the Web Scraper Cloud API.
type CloudFlags struct {
	APIToken   string `name:"webscraper-api-token" env:"WEBSCRAPER_API_TOKEN" placeholder:"TOKEN" help:"API token of the Web Scraper Cloud account."`
	APIBaseURI string `name:"webscraper-api-base-uri" env:"WEBSCRAPER_API_BASE_URI" default:"${base_uri}" help:"Where the API is. Default: ${default}."`
}

// Client returns a client, or notes in s why there is none.
func (f *CloudFlags) Client(s *Settings, logger *slog.Logger) *webscraper.Client {
	if f.APIToken == "" {
		s.Required("WEBSCRAPER_API_TOKEN", "", "the token on the API page of Web Scraper Cloud")
		return nil
	}
	client, err := webscraper.NewClient(f.APIToken, webscraper.WithBaseURI(f.APIBaseURI), webscraper.WithLogger(logger))
	if err != nil {
		s.Problem("WEBSCRAPER_API_TOKEN or WEBSCRAPER_API_BASE_URI: %v", err)
	}
	return client
}
