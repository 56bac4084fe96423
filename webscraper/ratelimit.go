package webscraper

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	// rateLimitWindow is the window of X-RateLimit-Limit: "200 API calls per 15
	// minutes" (API documentation).
	rateLimitWindow = 15 * time.Minute
	// retryAfterMargin is what the vendor's clients add to Retry-After "to be
	// sure rate limits are reset".
	retryAfterMargin = time.Second
	// defaultRetryAfter is the delay after a 429 without one.
	defaultRetryAfter = time.Minute
	// maxRetryAfter keeps a nonsensical Retry-After from overflowing.
	maxRetryAfter = 24 * time.Hour
)

// rateLimit returns the account's calls per window and how many are left, from the
// response header; both are 0 if it does not say.
func rateLimit(h http.Header) (limit, remaining int) {
	limit, err := strconv.Atoi(h.Get("X-RateLimit-Limit"))
	remaining, err2 := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
	if err != nil || err2 != nil || limit <= 0 || remaining < 0 {
		return 0, 0
	}
	return limit, remaining
}

// retryAfter returns how long a response asks to wait before the next call, including
// the margin; 0 if it does not say, and never 0 for a 429.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	h := resp.Header
	if value := h.Get("Retry-After"); value != "" {
		if seconds, err := strconv.ParseInt(value, 10, 64); err == nil && seconds >= 0 {
			return time.Duration(min(seconds, int64(maxRetryAfter/time.Second)))*time.Second + retryAfterMargin
		}
		if at, err := http.ParseTime(value); err == nil {
			now = serverTime(h, now)
			return min(max(at.Sub(now), 0), maxRetryAfter) + retryAfterMargin
		}
	}
	// The API says when the window ends only after the limit is reached.
	if reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil && reset > 0 {
		now = serverTime(h, now)
		// More than a window can only be clock skew.
		return min(max(time.Unix(reset, 0).Sub(now), 0), rateLimitWindow) + retryAfterMargin
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		return defaultRetryAfter
	}
	return 0
}

// serverTime returns the time by the server's clock, which times in the header are by.
func serverTime(h http.Header, now time.Time) time.Time {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return date
	}
	return now
}

// Budget admits each call before it is sent, for several processes that share an
// account. See [Client.WithBudget].
type Budget interface {
	// Take takes one call. A positive wait means that none is left for that long: the
	// call is not sent, and its error is that of a 429, see [IsRateLimited]. Otherwise
	// answered is called with the response: the limit and the remaining calls, both 0
	// if the response does not say, and for how long the API refuses calls, 0 if it
	// does not.
	Take(ctx context.Context) (answered func(ctx context.Context, limit, remaining int, refused time.Duration) error, wait time.Duration, err error)
}

// ErrBudget is wrapped by the error of a call that was not sent because the [Budget]
// failed. The failure is the budget's, not the API's.
var ErrBudget = errors.New("checking the budget of API calls failed")

// take asks the budget for a call, if there is one.
func (c *Client) take(ctx context.Context, req request) (answered func(*http.Response), err error) {
	if c.budget == nil {
		return func(*http.Response) {}, nil
	}
	report, wait, err := c.budget.Take(ctx)
	if err != nil {
		return nil, fmt.Errorf("webscraper: %s: %w: %w", req.operation, ErrBudget, err)
	}
	if wait > 0 {
		return nil, &Error{
			Operation: req.operation, StatusCode: http.StatusTooManyRequests, RetryAfter: wait,
			Message: "not sent: the account has no call left for " + wait.Round(time.Second).String(),
		}
	}
	return func(resp *http.Response) {
		limit, remaining := rateLimit(resp.Header)
		var refused time.Duration
		if resp.StatusCode == http.StatusTooManyRequests {
			refused = retryAfter(resp, time.Now())
		}
		if err := report(ctx, limit, remaining, refused); err != nil {
			c.logger.WarnContext(ctx, "updating the budget of API calls failed", "operation", req.operation, "error", err)
		}
	}, nil
}
