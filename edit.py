def sub(path, *pairs):
    s=open(path).read()
    for a,b in pairs:
        assert a in s, (path,a)
        s=s.replace(a,b)
    open(path,'w').write(s)
# gauges
p='internal/program/gauges.go'
s=open(p).read()
i=s.index('// importsWatch has the gauges')
s=s[:i]+'''// watchImports collects the gauges of the open imports of a task queue, those that need
// attention among them. They come from Temporal, and so every process tells the
// same, whatever has been restarted. There are none while Temporal cannot be
// reached.
func (m *Metrics) watchImports(temporal client.Client, taskQueue string) collector {
	var mu sync.Mutex
	var asked time.Time
	var counts map[string]workflows.OpenCount // nil while they are not known
	return func(to chan<- prometheus.Metric) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(asked) >= openImportsEvery {
			ctx, cancel := context.WithTimeout(context.Background(), gaugeTimeout)
			defer cancel()
			var err error
			if counts, err = workflows.CountOpenImports(ctx, temporal, taskQueue); err != nil {
				m.logger.Warn("The open imports were not counted", "error", err)
			}
			asked = time.Now()
		}
		for account, count := range counts {
			gauge(to, openImports, count.All, account)
			for kind, n := range count.NeedAttention {
				gauge(to, needingAttention, n, account, kind)
			}
		}
	}
}
'''
open(p,'w').write(s)
sub('internal/program/metrics.go',('collector((&importsWatch{metrics: m, temporal: temporal, taskQueue: taskQueue}).collect)','m.watchImports(temporal, taskQueue)'))
# redactor
p='webscraper/redact.go'
sub(p,('''	mu       sync.Mutex
	last     []string
	redactor *strings.Replacer // nil while there was none
''','''	mu   sync.Mutex
	last []string
'''),('''		t.last = append(t.last[max(0, len(t.last)+1-maxTokens):], token)
		t.redactor = newRedactor(t.last)
''','''		t.last = append(t.last[max(0, len(t.last)+1-maxTokens):], token)
'''),('''// newRedactor returns what replaces the tokens in a text, as they are and as they
// stand in a URL.
func newRedactor(tokens []string) *strings.Replacer {
	var pairs []string
	for _, token := range tokens {
		for _, text := range []string{token, url.QueryEscape(token), url.PathEscape(token)} {
			pairs = append(pairs, text, "[redacted]")
		}
	}
	return strings.NewReplacer(pairs...)
}

// redact removes the token from text that came from outside.
func (c *Client) redact(text string) string {
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	if c.tokens.redactor == nil {
		return text
	}
	return c.tokens.redactor.Replace(text)
}
''','''// redact removes the tokens from text that came from outside, as they are and as they
// stand in a URL.
func (c *Client) redact(text string) string {
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	var pairs []string
	for _, token := range c.tokens.last {
		pairs = append(pairs, token, "[redacted]", url.QueryEscape(token), "[redacted]", url.PathEscape(token), "[redacted]")
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
'''))
# webhook counters
p='webhook/metrics.go'
s=open(p).read()
i=s.index('// counters count the notif')
s=s[:i]+'''var answers = []string{answerAccepted, answerFiltered, answerUnauthorized, answerMalformed, answerMisdirected, answerUnavailable, answerIDTaken}

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
'''
s=s.replace('''import (
	"sync"

	"go.temporal.io/sdk/client"
)

''','')
open(p,'w').write(s)
sub('webhook/webhook.go',('	counters counters\n','	counted  sync.Map // has the accounts whose counters have begun\n'),
('''	h.counters.handler, h.counters.all = options.MetricsHandler, map[string]map[string]client.MetricsCounter{}
	h.counters.of("")
	h.counters.of(sink.DefaultAccount)
''','''	h.count("", answerAccepted, 0)
	h.count(sink.DefaultAccount, answerAccepted, 0)
'''),('h.counters.count(account, answerFiltered)','h.count(account, answerFiltered, 1)'),('h.counters.count(account, answerAccepted)','h.count(account, answerAccepted, 1)'),('h.counters.count(notification.Account, refused.answer)','h.count(notification.Account, refused.answer, 1)'),
('	"sync/atomic"\n','	"sync"\n	"sync/atomic"\n'))
