package webscrapertest

import (
	"fmt"
	"log/slog"
	"time"
)

// DefaultToken is the API token of a Cloud made without [WithToken].
const DefaultToken = "webscrapertest-token"

// Option changes a default of [New] or [NewServer].
type Option func(*Cloud)

// WithToken accepts token as the api_token of a request. Give it several
// times to accept several; the default is [DefaultToken] alone.
// An empty one panics: every request without a token would have it.
func WithToken(token string) Option {
	if token == "" {
		panic("webscrapertest: WithToken: the token is empty")
	}
	return func(c *Cloud) { c.tokens[token] = true }
}

// WithWebhookURL sends the notification of each job that ends to url; see
// [Cloud.SetWebhookURL].
func WithWebhookURL(url string) Option {
	return func(c *Cloud) { c.webhook.url = url }
}

// WithAccount changes what the account call answers.
func WithAccount(account Account) Option {
	return func(c *Cloud) { c.account = account }
}

// WithScraper decides what a job created through the API does: scrape gets its
// definition, without an ID yet and waiting to be scheduled, and returns it with
// a [Timeline] and Records. By default such a job waits until it is moved on.
func WithScraper(scrape func(Job) Job) Option {
	return func(c *Cloud) { c.scrape = scrape }
}

// WithRateLimit answers 429 after so many calls in each window of per. The
// default is the service's: 200 calls per 15 minutes. 0 calls turn the limit
// and its headers off. It panics when calls is negative, or per is not
// positive while there is a limit.
func WithRateLimit(calls int, per time.Duration) Option {
	if calls < 0 || calls > 0 && per <= 0 {
		panic(fmt.Sprintf("webscrapertest: WithRateLimit(%d, %s): want calls of at least 0 and a positive duration", calls, per))
	}
	return func(c *Cloud) { c.limit.calls, c.limit.per = calls, per }
}

// WithClock tells the cloud the time: for time_created, the rate limit and the
// progress of jobs. The default is time.Now.
func WithClock(now func() time.Time) Option {
	return func(c *Cloud) { c.now = now }
}

// WithWebhookTimings changes how long a webhook may take to answer, and the
// delays before its first and its second retry. The defaults are the
// service's: 10 s, 5 s and 10 s.
func WithWebhookTimings(timeout, firstRetry, secondRetry time.Duration) Option {
	return func(c *Cloud) {
		c.webhook.timeout = timeout
		c.webhook.delays = []time.Duration{0, firstRetry, secondRetry}
	}
}

// WithLogger logs each API call and each webhook attempt, without their
// secrets. The default logs nothing.
func WithLogger(logger *slog.Logger) Option {
	return func(c *Cloud) { c.logger = logger }
}

// WithoutRanges makes downloads ignore Range headers and carry no ETag, as a
// service would that cannot resume. By default ranges are served; whether the
// real service does is not documented.
func WithoutRanges() Option {
	return func(c *Cloud) { c.noRanges = true }
}

// WithoutGzip never compresses downloads, so that a benchmark on one machine
// does not measure the compression too.
func WithoutGzip() Option {
	return func(c *Cloud) { c.noGzip = true }
}
