package webhook

// notificationsMetric is the counter of notifications in [Options.MetricsHandler], with the
// tags "answer" and "account".
const notificationsMetric = "scrapehaul_notifications"

// Values of the tag "answer".
const (
	answerAccepted     = "accepted"
	answerFiltered     = "filtered"
	answerUnauthorized = "unauthorized"         // 401
	answerMalformed    = "malformed"            // any other refusal that the sender caused
	answerMisdirected  = "misdirected"          // not a POST, or not to the path
	answerUnavailable  = "temporal-unavailable" // 503
	answerIDTaken      = "id-taken"             // 503 too
)

var answers = []string{answerAccepted, answerFiltered, answerUnauthorized, answerMalformed, answerMisdirected, answerUnavailable, answerIDTaken}

// count adds to the counter of an account's notifications with this answer. All counters of
// the account start at 0.
func (h *handler) count(account, answer string, n int64) {
	if _, counted := h.counted.LoadOrStore(account, true); !counted {
		for _, each := range answers {
			h.count(account, each, 0)
		}
	}
	h.options.MetricsHandler.WithTags(map[string]string{"answer": answer, "account": account}).Counter(notificationsMetric).Inc(n)
}
