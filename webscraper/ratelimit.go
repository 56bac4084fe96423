package webscraper

import (
	"cmp"
	"context"
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
			return min(max(at.Sub(now), 0), maxRetryAfter) + retryAfterMargin
		}
	}
	if limit, ok := parseRateLimit(h); ok && !limit.Reset.IsZero() {
		// More than a window can only be a difference between two clocks.
		return min(max(limit.Reset.Sub(now), 0), rateLimitWindow) + retryAfterMargin
	}
	return 0
}

// budget remembers the account's API budget and says when the next call may be
// sent. Its zero value knows no limit.
type budget struct {
	mu           sync.Mutex
	limit        RateLimit
	known        bool
	blockedUntil time.Time // set by a refusal
	next         time.Time // earliest time of the next call while the budget is low
}

func (b *budget) lastSeen() (RateLimit, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit, b.known
}

// observe takes in what an answer tells about the budget.
func (b *budget) observe(status int, h http.Header, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if limit, ok := parseRateLimit(h); ok {
		b.limit, b.known = limit, true
	}
	if status == http.StatusTooManyRequests {
		b.blockedUntil = now.Add(cmp.Or(retryAfter(h, now), defaultRetryAfter))
	}
}

// blocked is how long the API refuses calls, by its last refusal.
func (b *budget) blocked(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.blockedUntil.Sub(now), 0)
}

// take returns 0 if a call may be sent now, which it then counts as sent, and
// otherwise how long to wait before asking again.
func (b *budget) take(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if wait := b.blockedUntil.Sub(now); wait > 0 {
		return wait
	}
	if !b.known || b.limit.Remaining >= b.limit.Limit/10 {
		return 0
	}
	if wait := b.next.Sub(now); wait > 0 {
		return wait
	}
	b.next = now.Add(rateLimitWindow / time.Duration(b.limit.Limit))
	return 0
}

// awaitBudget returns when a call may be sent, or when ctx is done. A call
// whose context would end while it waits does not wait, nor does one of a
// client for Temporal.
func (c *Client) awaitBudget(ctx context.Context, op string) error {
	if c.forTemporal {
		return nil
	}
	for {
		wait := c.budget.take(time.Now())
		if wait == 0 || endsWithin(ctx, wait) {
			return nil
		}
		c.logger.InfoContext(ctx, "waiting for the API limit of Web Scraper Cloud", "operation", op, "wait", wait)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// endsWithin reports whether ctx has a deadline sooner than d from now.
func endsWithin(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < d
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
