package webscrapertest

import (
	"cmp"
	"log/slog"
	"time"
)

// DefaultToken is the API token of a Cloud whose Options have no tokens.
const DefaultToken = "webscrapertest-token"

// Options configure a [Cloud]. The zero value behaves like the service, with one account.
type Options struct {
	// Tokens are the accepted API tokens. Default: [DefaultToken].
	Tokens []string
	// Account is the result of the account call. Default: John Deere, with 500 page
	// credits.
	Account Account
	// WebhookURL is as in [Cloud.SetWebhookURL]. Default: no notifications.
	WebhookURL string

	// Timeline is that of jobs created through the API. Default: 10 s, the last 5 s as
	// "started".
	Timeline Timeline

	// RateLimitCalls is how many calls each RateLimitWindow allows; further ones get 429.
	// Default: the service's 200 calls in 15 minutes. A negative number turns the limit and
	// its headers off.
	RateLimitCalls  int
	RateLimitWindow time.Duration

	// WebhookTimeout bounds the response to a webhook; the others are the delays before
	// the first and second retry. Default: the service's 10 s, 5 s and 10 s.
	WebhookTimeout, WebhookFirstRetry, WebhookSecondRetry time.Duration

	// NoRanges makes downloads ignore Range headers and have no ETag, like a service that
	// cannot resume. By default ranges are served; whether the real service does is not
	// documented.
	NoRanges bool
	// NoGzip turns compression of downloads off, so that a benchmark on one machine does
	// not measure it.
	NoGzip bool

	// Clock returns the time for time_created, the rate limit and the progress of jobs.
	// Default: time.Now.
	Clock func() time.Time
	// Logger logs each API call and each webhook attempt, without secrets.
	// Default: nothing is logged.
	Logger *slog.Logger
}

// withDefaults panics on invalid options.
func (o Options) withDefaults() Options {
	if len(o.Tokens) == 0 {
		o.Tokens = []string{DefaultToken}
	}
	for _, token := range o.Tokens {
		if token == "" { // it would match every request without a token
			panic("webscrapertest: Options: one of the Tokens is empty")
		}
	}
	o.RateLimitCalls = cmp.Or(o.RateLimitCalls, defaultCalls)
	o.RateLimitWindow = cmp.Or(o.RateLimitWindow, defaultPer)
	o.WebhookTimeout = cmp.Or(o.WebhookTimeout, 10*time.Second)
	o.WebhookFirstRetry = cmp.Or(o.WebhookFirstRetry, 5*time.Second)
	o.WebhookSecondRetry = cmp.Or(o.WebhookSecondRetry, 10*time.Second)
	o.Account = cmp.Or(o.Account, Account{Email: "user@example.com", Firstname: "John", Lastname: "Deere", PageCredits: 500})
	o.Timeline = cmp.Or(o.Timeline, Timeline{
		WaitingToBeScheduled: 3 * time.Second, Scheduling: time.Second, Scheduled: time.Second, Started: 5 * time.Second,
	})
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return o
}

// Account is the owner of the API tokens.
type Account struct {
	Email       string `json:"email"`
	Firstname   string `json:"firstname"`
	Lastname    string `json:"lastname"`
	PageCredits int64  `json:"page_credits"`
}
