package webhook

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

var answers = []string{answerAccepted, answerFiltered, answerUnauthorized, answerMalformed, answerMisdirected, answerUnavailable, answerIDTaken}

// count adds to the counter of an account's notifications with that answer. All of the
// account begin at 0.
func (h *handler) count(account, answer string, n int64) {
	if _, begun := h.counted.LoadOrStore(account, true); !begun {
		for _, each := range answers {
			h.count(account, each, 0)
		}
	}
	h.options.MetricsHandler.WithTags(map[string]string{"answer": answer, "account": account}).Counter(notificationsMetric).Inc(n)
}
