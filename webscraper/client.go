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

// DefaultBaseURI is the base URI of the Web Scraper Cloud API.
const DefaultBaseURI = "https://api.webscraper.io/api/v1/"

const (
	userAgent          = "scrapehaul-webscraper (+https://github.com/scrapehaul/scrapehaul)"
	defaultTimeout     = 30 * time.Second
	defaultIdleTimeout = 60 * time.Second
)

// Client calls the Web Scraper Cloud API on behalf of one account. It is safe for
// concurrent use. Create one with [NewClient].
type Client struct {
	tokens      *tokens
	baseURI     *url.URL
	http        *http.Client
	logger      *slog.Logger
	timeout     time.Duration
	idleTimeout time.Duration
	budget      Budget // nil: unlimited
}

// NewClient returns a client that authenticates with token, the API token from
// the account's API page; leave it empty with [WithTokenSource]. It sends no
// request. The error names the invalid argument and never contains the token.
func NewClient(token string, opts ...Option) (*Client, error) {
	baseURI, _ := parseBaseURI(DefaultBaseURI) // always valid
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
		return nil, errors.New("webscraper: both a token and a token source are given; want one")
	}
	// The token is in the query of every request. Following a redirect would leak it
	// to another host in the Referer header. followDownload follows redirects of
	// downloads without it.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	return c, nil
}

// Format prints the client without its token, whatever the verb.
func (c *Client) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "webscraper.Client(%s)", c.baseURI)
}

// WithBudget returns a client for the same account that asks budget before each
// call. The error of a refused call says how long to wait; see [IsRateLimited].
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
		return errors.New("the API token contains white space or a control character (a trailing newline?)")
	}
	return nil
}

func parseBaseURI(uri string) (*url.URL, error) {
	// A pasted URL may have secrets in its query, its fragment or before an @.
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
		return nil, invalid("does not start with https:// or http://")
	case u.Host == "":
		return nil, invalid("has no host")
	case u.User != nil:
		return nil, invalid("has a user name")
	case shown != uri:
		return nil, invalid("has a query or a fragment")
	}
	return u, nil
}
