package webscraper

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// DefaultBaseURI is where Web Scraper Cloud serves its API.
const DefaultBaseURI = "https://api.webscraper.io/api/v1/"

const (
	userAgent          = "scrapehaul-webscraper (+https://github.com/scrapehaul/scrapehaul)"
	defaultTimeout     = 30 * time.Second
	defaultIdleTimeout = 60 * time.Second
)

// Client calls the Web Scraper Cloud API on behalf of one account. Its methods
// may be called from many goroutines at once. Make one with [NewClient].
type Client struct {
	tokens      *tokens
	baseURI     *url.URL
	http        *http.Client
	logger      *slog.Logger
	timeout     time.Duration
	idleTimeout time.Duration
	budget      Budget // nil: every call is sent
}

// NewClient returns a client that authenticates with token, the API token of
// the account's API page; it is empty with [WithTokenSource]. It makes no request. The
// error says which of the arguments is wrong, and never contains the token.
func NewClient(token string, opts ...Option) (*Client, error) {
	baseURI, _ := parseBaseURI(DefaultBaseURI) // is right
	c := &Client{
		tokens:      &tokens{},
		baseURI:     baseURI,
		http:        &http.Client{},
		logger:      slog.New(slog.DiscardHandler),
		timeout:     defaultTimeout,
		idleTimeout: defaultIdleTimeout,
	}
	for _, opt := range opts {
		if err := opt(c); err != nil {
			return nil, fmt.Errorf("webscraper: %w", err)
		}
	}
	if c.tokens.source == nil {
		if err := checkToken(token); err != nil {
			return nil, fmt.Errorf("webscraper: %w", err)
		}
		c.tokens.source = func() (string, error) { return token, nil }
	} else if token != "" {
		return nil, errors.New("webscraper: there are a token and a source of tokens: want one of them")
	}
	// The token is in the query of every request: following a redirect would
	// hand it to whatever host the server names, in the Referer header. Those of
	// downloads are followed without it.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	return c, nil
}

// Format names the client without its token, whatever the verb.
func (c *Client) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "webscraper.Client(%s)", c.baseURI)
}

// WithBudget returns a client of the same account whose calls a budget decides about.
// The error of one that it refuses says how long to wait, see [IsRateLimited].
func (c *Client) WithBudget(budget Budget) *Client {
	clone := *c
	clone.budget = budget
	return &clone
}

func checkToken(token string) error {
	if token == "" {
		return errors.New("the API token is empty")
	}
	if strings.ContainsFunc(token, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return errors.New("the API token contains white space or a control character (a newline at its end?)")
	}
	return nil
}

func parseBaseURI(uri string) (*url.URL, error) {
	// A pasted URL may carry secrets in its query, its fragment or before an @.
	shown := uri
	if end := strings.IndexAny(uri, "?#"); end >= 0 {
		shown = uri[:end]
	}
	invalid := func(why string) error {
		if at := strings.LastIndex(shown, "@"); at >= 0 {
			shown = "…" + shown[at:]
		}
		return fmt.Errorf("the base URI %q %s; it must look like %q", shown, why, DefaultBaseURI)
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return nil, invalid("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, invalid("does not begin with https:// or http://")
	case u.Host == "":
		return nil, invalid("has no host")
	case u.User != nil:
		return nil, invalid("has a user name")
	case shown != uri:
		return nil, invalid("has a query or a fragment")
	}
	return u, nil
}
