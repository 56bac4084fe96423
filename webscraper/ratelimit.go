package webscraper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
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

// RateLimit is the account's API budget. It is shared by everything that uses
// the account, so it may shrink by more than this client's calls.
type RateLimit struct {
	// Limit is how many calls the account may make in 15 minutes.
	Limit int
	// Remaining is how many of them are left.
	Remaining int
	// Reset is when the budget is full again. The API says so only once the
	// limit is reached; otherwise it is the zero time.
	Reset time.Time
}

// parseRateLimit reads the X-RateLimit headers; ok is false if they are absent.
func parseRateLimit(h http.Header) (limit RateLimit, ok bool) {
	var err error
	if limit.Limit, err = strconv.Atoi(h.Get("X-RateLimit-Limit")); err != nil || limit.Limit <= 0 {
		return RateLimit{}, false
	}
	if limit.Remaining, err = strconv.Atoi(h.Get("X-RateLimit-Remaining")); err != nil || limit.Remaining < 0 {
		return RateLimit{}, false
	}
	if reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil && reset > 0 {
		limit.Reset = time.Unix(reset, 0).UTC()
	}
	return limit, true
}

// retryAfter returns how long the headers ask to wait before the next call,
// the margin included; 0 if they do not say.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if value := h.Get("Retry-After"); value != "" {
		if seconds, err := strconv.ParseInt(value, 10, 64); err == nil && seconds >= 0 {
			return time.Duration(min(seconds, int64(maxRetryAfter/time.Second)))*time.Second + retryAfterMargin
		}
		if at, err := http.ParseTime(value); err == nil {
			now = serverTime(h, now)
			return min(max(at.Sub(now), 0), maxRetryAfter) + retryAfterMargin
		}
	}
	if limit, ok := parseRateLimit(h); ok && !limit.Reset.IsZero() {
		now = serverTime(h, now)
		// More than a window can only be a difference between two clocks.
		return min(max(limit.Reset.Sub(now), 0), rateLimitWindow) + retryAfterMargin
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

// Budget decides about each call before it is sent, in place of the client's own
// waiting: where several processes share an account. See [Client.WithBudget].
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

// limits remembers what the API has said last. Its zero value knows no limit.
type limits struct {
	mu           sync.Mutex
	limit        RateLimit
	known        bool
	blockedUntil time.Time // set by a refusal
}

func (l *limits) lastSeen() (RateLimit, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit, l.known
}

// observe takes in what an answer says, and returns for how long it refuses calls.
func (l *limits) observe(status int, h http.Header, now time.Time) (refused time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit, ok := parseRateLimit(h); ok {
		l.limit, l.known = limit, true
	}
	if status == http.StatusTooManyRequests {
		refused = cmp.Or(retryAfter(h, now), defaultRetryAfter)
		l.blockedUntil = now.Add(refused)
	}
	return refused
}

// blocked is how long the API refuses calls, by its last refusal.
func (l *limits) blocked(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.blockedUntil.Sub(now), 0)
}

// awaitLimit returns when a call may be sent, or when ctx is done. A call whose
// context would end while it waits does not wait.
func (c *Client) awaitLimit(ctx context.Context, operation string) error {
	wait := c.limits.blocked(time.Now())
	if wait == 0 || endsWithin(ctx, wait) {
		return nil
	}
	c.logger.InfoContext(ctx, "waiting for the API limit of Web Scraper Cloud", "operation", operation, "wait", wait)
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take asks the budget for a call, if there is one.
func (c *Client) take(ctx context.Context, req request) (answered func(*http.Response), err error) {
	if c.budget == nil {
		return func(resp *http.Response) { c.limits.observe(resp.StatusCode, resp.Header, time.Now()) }, nil
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
		refused := c.limits.observe(resp.StatusCode, resp.Header, time.Now())
		limit, _ := parseRateLimit(resp.Header)
		if err := tell(ctx, limit.Limit, limit.Remaining, refused); err != nil {
			c.logger.WarnContext(ctx, "the budget does not know what the API has said of its limit", "operation", req.operation, "error", err)
		}
	}, nil
}

// endsWithin reports whether ctx has a deadline sooner than d from now.
func endsWithin(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < d
}
