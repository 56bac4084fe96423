package webscrapertest

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The service's documented limit.
const (
	defaultCalls = 200
	defaultPer   = 15 * time.Minute
)

// rateLimit counts the account's calls in fixed windows: the first call opens a window,
// and the count is reset when it is over.
type rateLimit struct {
	calls int // negative: no limit
	per   time.Duration

	mu     sync.Mutex
	used   int
	resets time.Time
}

// take counts a call, or returns how long to wait.
func (l *rateLimit) take(now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !now.Before(l.resets) {
		l.used, l.resets = 0, now.Add(l.per)
	}
	if l.used == l.calls {
		return l.resets.Sub(now), false
	}
	l.used++
	return 0, true
}

func (l *rateLimit) setHeaders(header http.Header, now time.Time) {
	if l.calls < 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	remaining := l.calls
	if now.Before(l.resets) {
		remaining -= l.used
	}
	header.Set("X-RateLimit-Limit", strconv.Itoa(l.calls))
	header.Set("X-RateLimit-Remaining", strconv.Itoa(remaining))
}

func (c *Cloud) limitRate(next http.Handler) http.Handler {
	if c.limit.calls < 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := c.options.Clock()
		wait, ok := c.limit.take(now)
		c.limit.setHeaders(w.Header(), now)
		if !ok {
			setRetryAfter(w.Header(), now, wait)
			writeError(w, http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func setRetryAfter(header http.Header, now time.Time, wait time.Duration) {
	seconds := int64(math.Ceil(wait.Seconds()))
	header.Set("Retry-After", strconv.FormatInt(seconds, 10))
	header.Set("X-RateLimit-Reset", strconv.FormatInt(now.Unix()+seconds, 10))
}
