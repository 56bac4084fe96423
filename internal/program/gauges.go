package program

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// The gauges that are looked up when somebody scrapes are collectors of their
// own: OpenTelemetry holds a lock while it calls back, which the metrics of a
// call to Temporal wait for.
var (
	apiCallsLimit = prometheus.NewDesc("scrapehaul_api_calls_limit",
		"Calls to the API of Web Scraper Cloud that the account may make in 15 minutes.", nil, nil)
	apiCallsRemaining = prometheus.NewDesc("scrapehaul_api_calls_remaining",
		"Calls to the API of Web Scraper Cloud that the account has left, as this process has seen it last.", nil, nil)
	openImports = prometheus.NewDesc("scrapehaul_open_imports",
		"Imports whose workflow is running: at work, holding, or in need of attention.", nil, nil)
	needingAttention = prometheus.NewDesc("scrapehaul_imports_needing_attention",
		"Open imports that wait for a person, by the kind of the problem.", []string{"kind"}, nil)
)

func gauge(to chan<- prometheus.Metric, desc *prometheus.Desc, value int, labels ...string) {
	to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
}

// WatchAPIBudget adds the gauges of the account's API budget. There are none
// before the first answer of the API.
func (m *Metrics) WatchAPIBudget(cloud *webscraper.Client) {
	m.registry.MustRegister(apiBudget{cloud})
}

type apiBudget struct {
	cloud *webscraper.Client
}

func (apiBudget) Describe(to chan<- *prometheus.Desc) {
	to <- apiCallsLimit
	to <- apiCallsRemaining
}

func (b apiBudget) Collect(to chan<- prometheus.Metric) {
	budget, known := b.cloud.RateLimit()
	if !known {
		return
	}
	if !budget.Reset.IsZero() && time.Now().After(budget.Reset) {
		budget.Remaining = budget.Limit
	}
	gauge(to, apiCallsLimit, budget.Limit)
	gauge(to, apiCallsRemaining, budget.Remaining)
}

// Temporal is asked for the open imports no more often than this, however many
// scrape, and not for longer.
const (
	openImportsEvery   = 15 * time.Second
	openImportsTimeout = 5 * time.Second
)

// WatchOpenImports adds the gauges of the open imports of a task queue, those
// that need attention among them. They come from Temporal, and so every process
// tells the same, whatever has been restarted. There are none while Temporal
// cannot be reached.
func (m *Metrics) WatchOpenImports(temporal client.Client, taskQueue string) {
	m.registry.MustRegister(&importsWatch{metrics: m, temporal: temporal, taskQueue: taskQueue})
}

type importsWatch struct {
	metrics   *Metrics
	temporal  client.Client
	taskQueue string

	mu    sync.Mutex
	asked time.Time
	known bool
	// all are the open imports, needAttention those of them by the kind of the problem.
	all           int
	needAttention map[string]int
}

func (*importsWatch) Describe(to chan<- *prometheus.Desc) {
	to <- openImports
	to <- needingAttention
}

func (w *importsWatch) Collect(to chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.asked) >= openImportsEvery {
		w.count()
	}
	if !w.known {
		return
	}
	gauge(to, openImports, w.all)
	for kind, n := range w.needAttention {
		gauge(to, needingAttention, n, kind)
	}
}

func (w *importsWatch) count() {
	ctx, cancel := context.WithTimeout(context.Background(), openImportsTimeout)
	defer cancel()
	all, needAttention, err := workflows.CountOpenImports(ctx, w.temporal, w.taskQueue)
	if err != nil {
		w.metrics.logger.Warn("The open imports were not counted", "error", err)
	}
	w.asked, w.known, w.all, w.needAttention = time.Now(), err == nil, all, needAttention
}
