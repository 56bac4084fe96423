package webscraper

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// Option changes how a [Client] works.
type Option func(*Client) error

// WithBaseURI sets the API's base URI; "" is [DefaultBaseURI], the default. It is http
// or https, without query or user name; the trailing slash is optional.
func WithBaseURI(uri string) Option {
	return func(c *Client) (err error) {
		c.baseURI, err = parseBaseURI(cmp.Or(uri, DefaultBaseURI))
		return err
	}
}

// WithTokenSource makes the client call source for the API token at each call, so
// that the token can change. The source must be safe for concurrent use. If it
// fails, nothing is sent and the call's error is that of a rejected token; see
// [IsUnauthorized]. The error of source must not contain a token.
func WithTokenSource(source func() (string, error)) Option {
	return func(c *Client) error {
		if source == nil {
			return errors.New("the token source is nil")
		}
		c.tokens.source = source
		return nil
	}
}

// WithHTTPClient sets the HTTP client whose transport, cookie jar and timeout
// are used, for example for a proxy or for tracing. It is copied; the copy follows
// only redirects of downloads. Its Timeout, if set, also bounds complete downloads.
func WithHTTPClient(hc *http.Client) Option {
	return func(c *Client) error {
		if hc == nil {
			return errors.New("the HTTP client is nil")
		}
		clone := *hc
		c.http = &clone
		return nil
	}
}

// WithLogger sets the logger: it gets every response at level debug, with its path
// but without the query, which has the token. By default nothing is logged.
func WithLogger(logger *slog.Logger) Option {
	return func(c *Client) error {
		if logger == nil {
			return errors.New("the logger is nil")
		}
		c.logger = logger
		return nil
	}
}

// WithTimeout bounds each call that is not a download, from sending it to the
// last byte of its response; default 30 seconds.
func WithTimeout(d time.Duration) Option {
	return func(c *Client) error {
		if d <= 0 {
			return fmt.Errorf("the timeout is %v; it must be positive", d)
		}
		c.timeout = d
		return nil
	}
}

// WithIdleTimeout bounds how long a download may wait for its response headers
// and then for each further byte; default 60 seconds. Only the context bounds a
// complete download.
func WithIdleTimeout(d time.Duration) Option {
	return func(c *Client) error {
		if d <= 0 {
			return fmt.Errorf("the idle timeout is %v; it must be positive", d)
		}
		c.idleTimeout = d
		return nil
	}
}
