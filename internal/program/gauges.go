package program

import (
	"context"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// Gauges computed at scrape time are collectors: OpenTelemetry holds a lock during
// callbacks, and the metrics of a call to Temporal would wait for that lock.
var (
	apiCallsLimit = prometheus.NewDesc("scrapehaul_api_calls_limit",
		"API calls that Web Scraper Cloud allows the account per 15 minutes.", []string{"account"}, nil)
	apiCallsRemaining = prometheus.NewDesc("scrapehaul_api_calls_remaining",
		"API calls that the account has left in the current window.", []string{"account"}, nil)
	openImports = prometheus.NewDesc("scrapehaul_open_imports",
		"Open imports: working, holding, or needing attention.", []string{"account"}, nil)
	needingAttention = prometheus.NewDesc("scrapehaul_imports_needing_attention",
		"Open imports that need attention, by kind of problem.", []string{"account", "kind"}, nil)
)

func gauge(to chan<- prometheus.Metric, desc *prometheus.Desc, value int, labels ...string) {
	to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
}

// collector is an unchecked prometheus.Collector: it describes no metrics.
type collector func(to chan<- prometheus.Metric)

func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(to chan<- prometheus.Metric) { c(to) }

// WatchAPIBudget adds the gauges of the accounts' API budgets. They come from the database,
// so all processes report the same values. An account has none before its first call, and
// there are none while the database is unreachable.
func (m *Metrics) WatchAPIBudget(db *sqlx.DB, accounts []string) {
	m.registry.MustRegister(collector(func(to chan<- prometheus.Metric) {
		ctx, cancel := context.WithTimeout(context.Background(), gaugeTimeout)
		defer cancel()
		for _, account := range accounts {
			state, err := postgres.NewLedger(db, account, 0).State(ctx)
			if err != nil {
				m.logger.Warn("Reading the remaining API calls failed", "account", account, "error", err)
				return
			}
			if state.Calls == 0 {
				continue
			}
			remaining := state.Calls
			if time.Now().Before(state.Resets) {
				remaining = max(state.Calls-state.Taken-state.Elsewhere, 0)
			}
			gauge(to, apiCallsLimit, state.Calls, account)
			gauge(to, apiCallsRemaining, remaining, account)
		}
	}))
}

const (
	// openImportsEvery is the minimum interval between counts of the open imports,
	// regardless of the number of scrapes.
	openImportsEvery = 15 * time.Second
	// gaugeTimeout limits the calls for a gauge.
	gaugeTimeout = 5 * time.Second
)

// watchImports collects the gauges of the namespace's open imports. They come from Temporal,
// so all processes report the same values, also after a restart. There are none while
// Temporal is unreachable.
func (m *Metrics) watchImports(temporal client.Client) collector {
	var mu sync.Mutex
	var counted time.Time
	var counts map[string]workflows.OpenCount // nil while unknown
	return func(to chan<- prometheus.Metric) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(counted) >= openImportsEvery {
			ctx, cancel := context.WithTimeout(context.Background(), gaugeTimeout)
			defer cancel()
			var err error
			if counts, err = workflows.CountOpenImports(ctx, temporal); err != nil {
				m.logger.Warn("Counting the open imports failed", "error", err)
			}
			counted = time.Now()
		}
		for account, count := range counts {
			gauge(to, openImports, count.All, account)
			for kind, n := range count.NeedAttention {
				gauge(to, needingAttention, n, account, kind)
			}
		}
	}
}
