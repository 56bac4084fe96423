package webscrapertest

import (
	"cmp"
	"log/slog"
	"time"
)

// DefaultToken is the API token of a Cloud made without tokens of its own.
const DefaultToken = "webscrapertest-token"

// Options are what a [Cloud] is made with. Their zero value is the service as it
// is, with some user's account.
type Options struct {
	// Tokens are accepted as the api_token of a request. Default: [DefaultToken].
	Tokens []string
	// Account is what the account call answers. Default: John Deere, with 500 page
	// credits.
	Account Account
	// WebhookURL is that of [Cloud.SetWebhookURL]. Default: no notifications.
	WebhookURL string

	// Timeline of jobs created through the API. Default: 10 s, the last 5 s of them
	// started.
	Timeline Timeline

	// RateLimitCalls are allowed in each RateLimitWindow; those beyond get 429.
	// Default: the service's 200 calls in 15 minutes. A negative number turns the limit and
	// its headers off.
	RateLimitCalls  int
	RateLimitWindow time.Duration

	// WebhookTimeout is how long a webhook may take to answer; the others are the
	// delays before its first and its second retry. Default: the service's 10 s, 5 s
	// and 10 s.
	WebhookTimeout, WebhookFirstRetry, WebhookSecondRetry time.Duration

	// NoRanges makes downloads ignore Range headers and carry no ETag, as a service
	// would that cannot resume. By default ranges are served; whether the real
	// service does is not documented.
	NoRanges bool
	// NoGzip never compresses downloads, so that a benchmark on one machine does not
	// measure the compression too.
	NoGzip bool

	// Clock says the time: for time_created, the rate limit and the progress of
	// jobs. Default: time.Now.
	Clock func() time.Time
	// Logger logs each API call and each webhook attempt, without their secrets.
	// Default: nothing is logged.
	Logger *slog.Logger
}

// withDefaults panics where the options make no sense.
func (o Options) withDefaults() Options {
	if len(o.Tokens) == 0 {
		o.Tokens = []string{DefaultToken}
	}
	for _, token := range o.Tokens {
		if token == "" { // which every request without a token would have
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

// Account is whom the API tokens belong to.
type Account struct {
	Email       string `json:"email"`
	Firstname   string `json:"firstname"`
	Lastname    string `json:"lastname"`
	PageCredits int64  `json:"page_credits"`
}
