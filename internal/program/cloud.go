package program

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper"
)

// CloudFlags are the settings of the Web Scraper Cloud API.
type CloudFlags struct {
	APIToken      string `name:"webscraper-api-token" env:"WEBSCRAPER_API_TOKEN" placeholder:"TOKEN" help:"API token of the Web Scraper Cloud account: of the account \"default\", where there are several."`
	APITokenFile  string `name:"webscraper-api-token-file" env:"WEBSCRAPER_API_TOKEN_FILE" placeholder:"FILE" help:"File with that token, read at each call."`
	APITokens     string `name:"webscraper-api-tokens" env:"WEBSCRAPER_API_TOKENS" placeholder:"ACCOUNT=TOKEN,…" help:"API tokens of further accounts."`
	APITokensFile string `name:"webscraper-api-tokens-file" env:"WEBSCRAPER_API_TOKENS_FILE" placeholder:"FILE" help:"File with such tokens, with commas or line ends between, read at each call."`
	APIBaseURI    string `name:"webscraper-api-base-uri" env:"WEBSCRAPER_API_BASE_URI" default:"${base_uri}" help:"Where the API is. Default: ${default}."`
}

// apiTokens is a setting with API tokens.
type apiTokens struct {
	setting, value string
	isFile         bool
	isOne          bool // the default account's, as it is
}

func (t apiTokens) read() (tokens []AccountToken, err error) {
	text := t.value
	if t.isFile {
		if text, err = readFile(t.setting, t.value); err != nil {
			return nil, err
		}
	}
	if t.isOne && text != "" {
		return []AccountToken{{t.setting, sink.DefaultAccount, text}}, nil
	}
	tokens, err = ParseTokens(t.setting, text)
	accounts := map[string]bool{}
	for _, each := range tokens {
		if accounts[each.Account] {
			err = errors.Join(err, fmt.Errorf("%s is of the same account as one before it: want one for each account", each.Where))
		}
		accounts[each.Account] = true
	}
	return tokens, err
}

// tokenOf reads the token of an account. It takes no account of what is wrong with those of
// others.
func (t apiTokens) tokenOf(account string) (string, error) {
	tokens, err := t.read()
	var of []string
	for _, each := range tokens {
		if each.Account == account {
			of = append(of, each.Token)
		}
	}
	taken := func(each AccountToken) bool { return each.Account != account && slices.Contains(of, each.Token) }
	switch {
	case len(of) == 1 && !slices.ContainsFunc(tokens, taken):
		return of[0], nil
	case err != nil:
		return "", err
	}
	return "", fmt.Errorf("%s has no token of account %q", t.setting, account)
}

// tokens returns where the token of each account is, or notes in s what is wrong.
func (f *CloudFlags) tokens(s *Settings) map[string]apiTokens {
	from := map[string]apiTokens{}
	accountOf := map[string]string{}
	given := false
	for _, source := range []apiTokens{
		{setting: "WEBSCRAPER_API_TOKEN", value: f.APIToken, isOne: true},
		{setting: "WEBSCRAPER_API_TOKEN_FILE", value: f.APITokenFile, isOne: true, isFile: true},
		{setting: "WEBSCRAPER_API_TOKENS", value: f.APITokens},
		{setting: "WEBSCRAPER_API_TOKENS_FILE", value: f.APITokensFile, isFile: true},
	} {
		if source.value == "" {
			continue
		}
		given = true
		tokens, err := source.read()
		if err != nil {
			s.Check(err)
			continue
		}
		for _, each := range tokens {
			other, taken := from[each.Account]
			_, err := webscraper.NewClient(each.Token)
			switch {
			case err != nil:
				s.Problem("%s: %v", each.Where, err)
			case taken:
				s.Problem("%s is of the same account as one of %s: want one for each account", each.Where, other.setting)
			case accountOf[each.Token] != "" && accountOf[each.Token] != each.Account:
				s.Problem("%s is another account's too: want one of its own for each account", each.Where)
			}
			from[each.Account], accountOf[each.Token] = source, each.Account
		}
	}
	if !given {
		s.Required("WEBSCRAPER_API_TOKEN", "", "the token on the API page of Web Scraper Cloud; WEBSCRAPER_API_TOKENS for several accounts")
	}
	return from
}

// Clients returns a client for each account, at least one, or notes in s why there is
// none.
func (f *CloudFlags) Clients(s *Settings, logger *slog.Logger) map[string]*webscraper.Client {
	from := f.tokens(s)
	if len(from) == 0 { // what else is wrong is told too
		from[sink.DefaultAccount] = apiTokens{}
	}
	clients := map[string]*webscraper.Client{}
	for account, source := range from {
		client, err := webscraper.NewClient("", webscraper.WithTokenSource(func() (string, error) { return source.tokenOf(account) }),
			webscraper.WithBaseURI(f.APIBaseURI), webscraper.WithLogger(logger.With("account", account)))
		if err != nil {
			s.Problem("WEBSCRAPER_API_BASE_URI: %v", err)
			return nil
		}
		clients[account] = client
	}
	return clients
}

// ClientOf returns the client of one account, or notes in s why there is none.
func (f *CloudFlags) ClientOf(s *Settings, logger *slog.Logger, account string) *webscraper.Client {
	clients := f.Clients(s, logger)
	client, ok := clients[account]
	if !ok && s.Err() == nil {
		s.Problem("there is no API token of account %q: want one of %s", account, strings.Join(slices.Sorted(maps.Keys(clients)), ", "))
	}
	return client
}
