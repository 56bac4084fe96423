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
	// rateLimitWindow is the time in which the API allows X-RateLimit-Limit
	// calls: "200 API calls per 15 minutes" (API documentation).
	rateLimitWindow = 15 * time.Minute
	// retryAfterMargin is what the vendor's clients add to Retry-After "to be
	// sure rate limits are reset".
	retryAfterMargin = time.Second
	// defaultRetryAfter is the delay after a 429 that names none.
	defaultRetryAfter = time.Minute
	// maxRetryAfter keeps a nonsensical Retry-After from overflowing.
	maxRetryAfter = 24 * time.Hour
)

// rateLimit reads from the headers how many calls the account may make in a window, and
// how many of them are left; both are 0 if an answer does not say.
func rateLimit(h http.Header) (limit, remaining int) {
	limit, err := strconv.Atoi(h.Get("X-RateLimit-Limit"))
	remaining, err2 := strconv.Atoi(h.Get("X-RateLimit-Remaining"))
	if err != nil || err2 != nil || limit <= 0 || remaining < 0 {
		return 0, 0
	}
	return limit, remaining
}

// retryAfter returns how long an answer asks to wait before the next call, the margin
// included; 0 if it does not say, and never 0 of a refusal.
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
	// The API says when the window ends only once the limit is reached.
	if reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil && reset > 0 {
		now = serverTime(h, now)
		// More than a window can only be a difference between two clocks.
		return min(max(time.Unix(reset, 0).Sub(now), 0), rateLimitWindow) + retryAfterMargin
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		return defaultRetryAfter
	}
	return 0
}

// serverTime is the time by the clock that times in the headers are told by.
func serverTime(h http.Header, now time.Time) time.Time {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return date
	}
	return now
}

// Budget decides about each call before it is sent: where several processes share an
// account. See [Client.WithBudget].
type Budget interface {
	// Take takes one call. A positive wait says that there is none before that time:
	// the call is not sent, and its error is that of a refusal, see [IsRateLimited].
	// Otherwise answered takes in what the answer says: the limit and what remains
	// of it, both 0 if it does not say, and for how long the API refuses calls, 0
	// if it does not.
	Take(ctx context.Context) (answered func(ctx context.Context, limit, remaining int, refused time.Duration) error, wait time.Duration, err error)
}

// ErrBudget says that a call was not sent because the [Budget] has failed: the trouble
// is its own, not the API's.
var ErrBudget = errors.New("whether the account has a call left is not known")

// take asks the budget for a call, if there is one.
func (c *Client) take(ctx context.Context, req request) (answered func(*http.Response), err error) {
	if c.budget == nil {
		return func(*http.Response) {}, nil
	}
	tell, wait, err := c.budget.Take(ctx)
	if err != nil {
		return nil, fmt.Errorf("webscraper: %s: %w: %w", req.operation, ErrBudget, err)
	}
	if wait > 0 {
		return nil, &Error{
			Operation: req.operation, StatusCode: http.StatusTooManyRequests, RetryAfter: wait,
			Message: "not sent, as the account has no call left for " + wait.Round(time.Second).String(),
		}
	}
	return func(resp *http.Response) {
		limit, remaining := rateLimit(resp.Header)
		var refused time.Duration
		if resp.StatusCode == http.StatusTooManyRequests {
			refused = retryAfter(resp, time.Now())
		}
		if err := tell(ctx, limit, remaining, refused); err != nil {
			c.logger.WarnContext(ctx, "the budget does not know what the API has said of its limit", "operation", req.operation, "error", err)
		}
	}, nil
}
