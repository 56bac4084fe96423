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

// The gauges that are looked up when somebody scrapes are collectors of their
// own: OpenTelemetry holds a lock while it calls back, which the metrics of a
// call to Temporal wait for.
var (
	apiCallsLimit = prometheus.NewDesc("scrapehaul_api_calls_limit",
		"Calls to the API of Web Scraper Cloud that the account may make in 15 minutes.", []string{"account"}, nil)
	apiCallsRemaining = prometheus.NewDesc("scrapehaul_api_calls_remaining",
		"Calls to the API of Web Scraper Cloud that the account has left.", []string{"account"}, nil)
	openImports = prometheus.NewDesc("scrapehaul_open_imports",
		"Imports whose workflow is running: at work, holding, or in need of attention.", []string{"account"}, nil)
	needingAttention = prometheus.NewDesc("scrapehaul_imports_needing_attention",
		"Open imports that wait for a person, by the kind of the problem.", []string{"account", "kind"}, nil)
)

func gauge(to chan<- prometheus.Metric, desc *prometheus.Desc, value int, labels ...string) {
	to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
}

// collector is a prometheus.Collector that describes nothing before it collects.
type collector func(to chan<- prometheus.Metric)

func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(to chan<- prometheus.Metric) { c(to) }

// WatchAPIBudget adds the gauges of the API budgets of the accounts. They come from the
// database, and so every process tells the same. There are none of an account before its
// first call, and none while the database cannot be read.
func (m *Metrics) WatchAPIBudget(db *sqlx.DB, accounts []string) {
	m.registry.MustRegister(collector(func(to chan<- prometheus.Metric) {
		ctx, cancel := context.WithTimeout(context.Background(), gaugeTimeout)
		defer cancel()
		for _, account := range accounts {
			state, err := postgres.NewLedger(db, account, 0).State(ctx)
			if err != nil {
				m.logger.Warn("The API calls that are left were not read", "account", account, "error", err)
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
	// openImportsEvery is how often Temporal is asked for the open imports at most,
	// however many scrape.
	openImportsEvery = 15 * time.Second
	// gaugeTimeout is for what has to be asked for a gauge.
	gaugeTimeout = 5 * time.Second
)

// watchImports collects the gauges of the open imports of a task queue, those that need
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
