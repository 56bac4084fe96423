package webhook

import "go.temporal.io/sdk/client"

// notificationsMetric is the name of the counter of notifications that
// [Options.MetricsHandler] gets, with the tag "answer".
const notificationsMetric = "scrapehaul_notifications"

const answerTag = "answer"

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

// counters count the notifications by their answer, from 0.
type counters map[string]client.MetricsCounter

func newCounters(handler client.MetricsHandler) counters {
	all := counters{}
	for _, answer := range []string{answerAccepted, answerFiltered, answerUnauthorized, answerMalformed, answerMisdirected, answerUnavailable, answerIDTaken} {
		all[answer] = handler.WithTags(map[string]string{answerTag: answer}).Counter(notificationsMetric)
		all[answer].Inc(0)
	}
	return all
}

func (c counters) count(answer string) { c[answer].Inc(1) }
