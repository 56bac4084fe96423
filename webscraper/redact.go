package webscraper

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// maxTokens is how many of its last tokens a client remembers.
const maxTokens = 16

// tokens are an account's. The response to a call in flight during a token change may
// repeat the previous token.
type tokens struct {
	source func() (string, error)

	mu   sync.Mutex
	last []string
}

func (t *tokens) next() (string, error) {
	token, err := t.source()
	if err == nil {
		err = checkToken(token)
	}
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.last, token) {
		t.last = append(t.last[max(0, len(t.last)+1-maxTokens):], token)
	}
	return token, nil
}

// redact removes the tokens, plain and URL-escaped, from text that came from outside.
func (c *Client) redact(text string) string {
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	var pairs []string
	for _, token := range c.tokens.last {
		pairs = append(pairs, token, "[redacted]", url.QueryEscape(token), "[redacted]", url.PathEscape(token), "[redacted]")
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// excerpt returns the beginning of text, quoted, without the token.
func (c *Client) excerpt(text string) string {
	return strconv.Quote(c.shorten(text, 200))
}

// shorten returns at most limit characters of text, with white space folded and the
// token removed.
func (c *Client) shorten(text string, limit int) string {
	runes := []rune(strings.Join(strings.Fields(c.redact(text)), " "))
	if len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return string(runes)
}

// transportError returns the reason why a request under ctx failed, without
// the URL that [url.Error] carries.
func (c *Client) transportError(ctx context.Context, err error) error {
	var timeout timeoutError
	if errors.As(context.Cause(ctx), &timeout) {
		return timeout
	}
	for urlErr := (*url.Error)(nil); errors.As(err, &urlErr); {
		err = urlErr.Err
	}
	return c.redactError(err)
}

// redactError returns err, or a redacted error if its text contains the token.
func (c *Client) redactError(err error) error {
	if text := err.Error(); c.redact(text) != text {
		return redactedError{text: c.redact(text), err: err}
	}
	return err
}

// redactedError replaces an error whose text contains the token. It matches what that
// error matches but cannot be unwrapped: a logger of error chains would log the token.
type redactedError struct {
	text string
	err  error
}

func (e redactedError) Error() string        { return e.text }
func (e redactedError) Is(target error) bool { return errors.Is(e.err, target) }
func (e redactedError) As(target any) bool   { return errors.As(e.err, target) }
