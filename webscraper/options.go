package webscraper

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// Option changes how a [Client] works.
type Option func(*Client) error

// WithBaseURI sets where the API is, [DefaultBaseURI] otherwise. It is http or
// https, without query and user name; a slash at its end may be left out.
func WithBaseURI(uri string) Option {
	return func(c *Client) (err error) {
		c.baseURI, err = parseBaseURI(uri)
		return err
	}
}

// WithTokenSource has the API token asked for at each call, so that it can change without
// a new client. The source may be called from many goroutines at once. Its error, which
// must not contain a token, is the call's, as if the API had refused the token, see
// [IsUnauthorized]; nothing is sent then.
func WithTokenSource(source func() (string, error)) Option {
	return func(c *Client) error {
		if source == nil {
			return errors.New("the source of tokens is nil")
		}
		c.tokens.source = source
		return nil
	}
}

// WithHTTPClient sets the HTTP client whose transport, cookie jar and timeout
// are used, for example for a proxy or for tracing. It is copied; the copy
// follows redirects of downloads only. Its Timeout, if set, bounds whole downloads too.
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

// WithLogger sets where the client tells what it does: every answer at level
// debug. Paths are logged without their query, which holds the token. Without this
// option nothing is logged.
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
// last byte of its answer; 30 seconds otherwise.
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
// and then for each next byte; 60 seconds otherwise. A whole download is
// bounded by its context only.
func WithIdleTimeout(d time.Duration) Option {
	return func(c *Client) error {
		if d <= 0 {
			return fmt.Errorf("the idle timeout is %v; it must be positive", d)
		}
		c.idleTimeout = d
		return nil
	}
}
