package program

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

// CloudFlags are the settings of the Web Scraper Cloud API.
type CloudFlags struct {
	APIToken      string `name:"webscraper-api-token" env:"WEBSCRAPER_API_TOKEN" placeholder:"TOKEN" help:"API token of the Web Scraper Cloud account; of the account default, if there are several."`
	APITokenFile  string `name:"webscraper-api-token-file" env:"WEBSCRAPER_API_TOKEN_FILE" placeholder:"FILE" help:"File with that token, read at each call."`
	APITokens     string `name:"webscraper-api-tokens" env:"WEBSCRAPER_API_TOKENS" placeholder:"ACCOUNT=TOKEN,…" help:"API tokens of several accounts."`
	APITokensFile string `name:"webscraper-api-tokens-file" env:"WEBSCRAPER_API_TOKENS_FILE" placeholder:"FILE" help:"File with such tokens, with commas or line ends between them, read at each call."`
	APIBaseURI    string `name:"webscraper-api-base-uri" env:"WEBSCRAPER_API_BASE_URI" default:"${base_uri}" help:"Where the API is. Default: ${default}."`
}

// tokens reads the tokens of all accounts. See [ReadTokens].
func (f *CloudFlags) tokens() ([]AccountToken, error) {
	tokens, err := ReadTokens(
		TokenSetting{Name: "WEBSCRAPER_API_TOKEN", Value: f.APIToken, IsOne: true},
		TokenSetting{Name: "WEBSCRAPER_API_TOKEN_FILE", Value: f.APITokenFile, IsOne: true, IsFile: true},
		TokenSetting{Name: "WEBSCRAPER_API_TOKENS", Value: f.APITokens},
		TokenSetting{Name: "WEBSCRAPER_API_TOKENS_FILE", Value: f.APITokensFile, IsFile: true},
	)
	if len(tokens) == 0 && err == nil {
		err = errors.New("WEBSCRAPER_API_TOKEN is missing: the token on the API page of Web Scraper Cloud; WEBSCRAPER_API_TOKENS for several accounts")
	}
	first := map[string]string{}
	for _, each := range tokens {
		if where, taken := first[each.Account]; taken {
			err = errors.Join(err, fmt.Errorf("%s is of the same account as %s: want one for each account", each.Where, where))
		} else {
			first[each.Account] = each.Where
		}
	}
	return tokens, err
}

// tokenOf reads the token of an account. What is wrong with those of others does not matter.
func (f *CloudFlags) tokenOf(account string) (string, error) {
	tokens, err := f.tokens()
	var of []string
	for _, each := range tokens {
		if each.Account == account {
			of = append(of, each.Token)
		}
	}
	others := func(each AccountToken) bool { return each.Account != account && slices.Contains(of, each.Token) }
	if len(of) == 1 && !slices.ContainsFunc(tokens, others) {
		return of[0], nil
	}
	if err == nil {
		err = fmt.Errorf("there is no API token of account %q in WEBSCRAPER_API_TOKENS_FILE", account)
	}
	return "", err
}

// Clients returns a client for each account, or notes in s what is wrong.
func (f *CloudFlags) Clients(s *Settings, logger *slog.Logger) map[string]*webscraper.Client {
	tokens, err := f.tokens()
	s.Check(err)
	if _, err := webscraper.NewClient("any", webscraper.WithBaseURI(f.APIBaseURI)); err != nil {
		s.Problem("WEBSCRAPER_API_BASE_URI: %v", err)
	}
	clients := map[string]*webscraper.Client{}
	for _, each := range tokens {
		if _, err := webscraper.NewClient(each.Token); err != nil {
			s.Problem("%s: %v", each.Where, err)
		}
		source := func() (string, error) { return f.tokenOf(each.Account) }
		clients[each.Account], err = webscraper.NewClient("", webscraper.WithTokenSource(source),
			webscraper.WithBaseURI(f.APIBaseURI), webscraper.WithLogger(logger.With("account", each.Account)))
		if err != nil {
			return nil // and it has been noted
		}
	}
	return clients
}

// ClientOf returns the client of one account, or notes in s why there is none.
func (f *CloudFlags) ClientOf(s *Settings, logger *slog.Logger, account string) *webscraper.Client {
	clients := f.Clients(s, logger)
	client, ok := clients[account]
	if !ok && len(clients) > 0 {
		s.Problem("there is no API token of account %q: want one of %s", account, strings.Join(slices.Sorted(maps.Keys(clients)), ", "))
	}
	return client
}
