package program

import (
	"fmt"
	"log/slog"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

// CloudFlags are the settings of the Web Scraper Cloud API.
type CloudFlags struct {
	APIToken      string `name:"webscraper-api-token" env:"WEBSCRAPER_API_TOKEN" placeholder:"TOKEN" help:"API token of the Web Scraper Cloud account, or of the account default if there are several."`
	APITokenFile  string `name:"webscraper-api-token-file" env:"WEBSCRAPER_API_TOKEN_FILE" placeholder:"FILE" help:"File with this token, read at each call."`
	APITokens     string `name:"webscraper-api-tokens" env:"WEBSCRAPER_API_TOKENS" placeholder:"ACCOUNT=TOKEN,…" help:"API tokens of several accounts."`
	APITokensFile string `name:"webscraper-api-tokens-file" env:"WEBSCRAPER_API_TOKENS_FILE" placeholder:"FILE" help:"File with such tokens, separated by commas or newlines, read at each call."`
	APIBaseURI    string `name:"webscraper-api-base-uri" env:"WEBSCRAPER_API_BASE_URI" default:"${base_uri}" help:"Base URI of the API. Default: ${default}."`
}

func (f *CloudFlags) tokens() (map[string][]string, error) {
	return Tokens{
		Settings: []TokenSetting{
			{Name: "WEBSCRAPER_API_TOKEN", Value: f.APIToken, IsOne: true},
			{Name: "WEBSCRAPER_API_TOKEN_FILE", Value: f.APITokenFile, IsOne: true, IsFile: true},
			{Name: "WEBSCRAPER_API_TOKENS", Value: f.APITokens},
			{Name: "WEBSCRAPER_API_TOKENS_FILE", Value: f.APITokensFile, IsFile: true},
		},
		Missing: "WEBSCRAPER_API_TOKEN is missing: the token on the API page of Web Scraper Cloud; WEBSCRAPER_API_TOKENS for several accounts",
		Check: func(where, token string) error {
			if _, err := webscraper.NewClient(token); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			return nil
		},
		One: true,
	}.Read()
}

// tokenOf reads the token of an account. Problems with other accounts' tokens do not matter.
func (f *CloudFlags) tokenOf(account string) (string, error) {
	tokens, err := f.tokens()
	if of := tokens[account]; len(of) > 0 {
		return of[0], nil
	}
	if err == nil {
		err = fmt.Errorf("there is no API token for account %q in WEBSCRAPER_API_TOKENS_FILE", account)
	}
	return "", err
}

// Clients returns a client for each account. It reports problems to s.
func (f *CloudFlags) Clients(s *Settings, logger *slog.Logger) map[string]*webscraper.Client {
	tokens, err := f.tokens()
	s.Check(err)
	if _, err := webscraper.NewClient("any", webscraper.WithBaseURI(f.APIBaseURI)); err != nil {
		s.Problem("WEBSCRAPER_API_BASE_URI: %v", err)
		return nil
	}
	clients := map[string]*webscraper.Client{}
	for account := range tokens {
		clients[account], err = webscraper.NewClient("",
			webscraper.WithTokenSource(func() (string, error) { return f.tokenOf(account) }),
			webscraper.WithBaseURI(f.APIBaseURI), webscraper.WithLogger(logger.With("account", account)))
		s.Check(err)
	}
	return clients
}
