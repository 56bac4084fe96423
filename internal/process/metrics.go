package process

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// MetricsPath is where Prometheus finds a process's metrics.
const MetricsPath = "/metrics"

// Metrics are the Temporal SDK's, ours, and those of the Go runtime and the
// process, for Prometheus.
type Metrics struct {
	logger   *slog.Logger
	registry *prometheus.Registry
	meter    metric.Meter
	handler  client.MetricsHandler
}

// ours are the tags that our own metrics keep. Without the SDK's, of which the
// task queue names a worker's spool, each of them is one series for each value.
var ours = attribute.NewAllowKeysFilter("outcome", "step", "kind", "answer")

// Bounds of histograms, in seconds.
var (
	// latencyBounds are for all of the SDK's: calls to Temporal, and tasks that
	// wait or run, which have no end.
	latencyBounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
	stepBounds    = []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600}
)

func views() []sdkmetric.View {
	return []sdkmetric.View{
		sdkmetric.NewView(
			sdkmetric.Instrument{Name: "scrapehaul_*", Kind: sdkmetric.InstrumentKindCounter},
			sdkmetric.Stream{AttributeFilter: ours}),
		sdkmetric.NewView(
			sdkmetric.Instrument{Name: "scrapehaul_*", Kind: sdkmetric.InstrumentKindHistogram},
			sdkmetric.Stream{AttributeFilter: ours, Aggregation: sdkmetric.AggregationExplicitBucketHistogram{Boundaries: stepBounds}}),
		sdkmetric.NewView(
			sdkmetric.Instrument{Name: "temporal_*", Kind: sdkmetric.InstrumentKindHistogram},
			sdkmetric.Stream{Aggregation: sdkmetric.AggregationExplicitBucketHistogram{Boundaries: latencyBounds}}),
	}
}

// NewMetrics returns metrics that nothing has been counted in.
func NewMetrics(logger *slog.Logger) (*Metrics, error) {
	logOpenTelemetry(logger)
	m := &Metrics{logger: logger, registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(m.registry),
		otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("preparing the metrics: %w", err)
	}
	m.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithView(views()...)).Meter("scrapehaul")
	m.handler = opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter: m.meter, OnError: otel.Handle, UseMonotonicCounters: true,
	})
	return m, nil
}

// Handler is the MetricsHandler of the process's Temporal client.
func (m *Metrics) Handler() client.MetricsHandler { return m.handler }

// Register adds /metrics.
func (m *Metrics) Register(router gin.IRouter) {
	router.GET(MetricsPath, gin.WrapH(promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(m.logger.Handler(), slog.LevelWarn),
	})))
}

// WatchAPIBudget adds the gauges of the account's API budget, as this process
// has seen it last.
func (m *Metrics) WatchAPIBudget(cloud *webscraper.Client) error {
	limit, err := m.meter.Int64ObservableGauge("scrapehaul_api_calls_limit",
		metric.WithDescription("Calls to the API of Web Scraper Cloud that the account may make in 15 minutes."))
	if err != nil {
		return err
	}
	remaining, err := m.meter.Int64ObservableGauge("scrapehaul_api_calls_remaining",
		metric.WithDescription("Calls to the API of Web Scraper Cloud that the account has left."))
	if err != nil {
		return err
	}
	_, err = m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		budget, known := cloud.RateLimit()
		if !known {
			return nil
		}
		if !budget.Reset.IsZero() && time.Now().After(budget.Reset) {
			budget.Remaining = budget.Limit
		}
		o.ObserveInt64(limit, int64(budget.Limit))
		o.ObserveInt64(remaining, int64(budget.Remaining))
		return nil
	}, limit, remaining)
	return err
}

// Temporal is asked for the open imports no more often than this, however many
// scrape, and not for longer.
const (
	openImportsEvery   = 15 * time.Second
	openImportsTimeout = 5 * time.Second
)

// WatchOpenImports adds the gauges of the open imports of a task queue, those
// that need attention among them. They come from Temporal, and so every process
// tells the same, whatever has been restarted. There is none while Temporal
// cannot be reached.
func (m *Metrics) WatchOpenImports(temporal client.Client, taskQueue string) error {
	open, err := m.meter.Int64ObservableGauge("scrapehaul_open_imports",
		metric.WithDescription("Imports whose workflow is running: at work, holding, or in need of attention."))
	if err != nil {
		return err
	}
	attention, err := m.meter.Int64ObservableGauge("scrapehaul_imports_needing_attention",
		metric.WithDescription("Open imports that wait for a person, by the kind of the problem."))
	if err != nil {
		return err
	}
	var (
		mu    sync.Mutex
		asked time.Time
		last  workflows.OpenImports
		known bool
	)
	_, err = m.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(asked) > openImportsEvery {
			ctx, cancel := context.WithTimeout(ctx, openImportsTimeout)
			defer cancel()
			counted, err := workflows.CountOpenImports(ctx, temporal, taskQueue)
			if err != nil {
				m.logger.Warn("The open imports were not counted", "error", err)
			}
			asked, last, known = time.Now(), counted, err == nil
		}
		if !known {
			return nil
		}
		o.ObserveInt64(open, int64(last.All))
		for kind, n := range last.NeedAttention {
			o.ObserveInt64(attention, int64(n), metric.WithAttributes(attribute.String("kind", kind)))
		}
		return nil
	}, open, attention)
	return err
}

// logOpenTelemetry has OpenTelemetry log to the process's log: an exporter that
// fails, for instance, of which nothing else comes.
func logOpenTelemetry(logger *slog.Logger) {
	otel.SetLogger(logr.FromSlogHandler(logger.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		logger.Warn("OpenTelemetry", "error", err)
	}))
}
