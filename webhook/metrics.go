package webhook

import (
	"sync"

	"go.temporal.io/sdk/client"
)

// notificationsMetric is the name of the counter of notifications that
// [Options.MetricsHandler] gets, with the tags "answer" and "account".
const notificationsMetric = "scrapehaul_notifications"

// Values of the tag "answer".
const (
	answerAccepted     = "accepted"
	answerFiltered     = "filtered"
	answerUnauthorized = "unauthorized"         // 401
	answerMalformed    = "malformed"            // any other refusal that is the sender's
	answerMisdirected  = "misdirected"          // not a POST, or not to the path
	answerUnavailable  = "temporal-unavailable" // 503
	answerIDTaken      = "id-taken"             // 503 too
)

// counters count the notifications by their account and answer, from 0.
type counters struct {
	handler client.MetricsHandler
	mu      sync.Mutex
	all     map[string]map[string]client.MetricsCounter
}

// of are the counters of an account by their answer.
func (c *counters) of(account string) map[string]client.MetricsCounter {
	c.mu.Lock()
	defer c.mu.Unlock()
	of, ok := c.all[account]
	if !ok {
		of = map[string]client.MetricsCounter{}
		for _, answer := range []string{answerAccepted, answerFiltered, answerUnauthorized, answerMalformed, answerMisdirected, answerUnavailable, answerIDTaken} {
			of[answer] = c.handler.WithTags(map[string]string{"answer": answer, "account": account}).Counter(notificationsMetric)
			of[answer].Inc(0)
		}
		c.all[account] = of
	}
	return of
}

func (c *counters) count(account, answer string) { c.of(account)[answer].Inc(1) }
