package program

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/gin-gonic/gin"
	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
)

// MetricsPath is the path of a process's metrics.
const MetricsPath = "/metrics"

// Metrics are the metrics of scrapehaul, the Temporal SDK, the Go runtime and the process,
// for Prometheus.
type Metrics struct {
	logger   *slog.Logger
	setting  string // the name of the address's setting
	address  string
	registry *prometheus.Registry
}

// ours are the tags that scrapehaul's metrics keep. The SDK's tags would multiply the
// series: its task queue names a worker's spool.
var ours = attribute.NewAllowKeysFilter("outcome", "step", "kind", "answer", "account")

// Histogram buckets, in seconds.
var (
	// latencyBounds are for all SDK histograms: calls to Temporal, and tasks that wait or
	// run, which may take any time.
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

// NewMetrics adds a metrics handler to the Temporal client options, for [Metrics.Serve] at
// address. It returns nil if address is empty.
func NewMetrics(logger *slog.Logger, setting, address string, options *client.Options) (*Metrics, error) {
	if address == "" {
		return nil, nil
	}
	logOpenTelemetry(logger)
	m := &Metrics{logger: logger, setting: setting, address: address, registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(m.registry),
		otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("preparing the metrics: %w", err)
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithView(views()...))
	options.MetricsHandler = opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{
		Meter: provider.Meter("temporal-sdk-go"), OnError: otel.Handle, UseMonotonicCounters: true,
	})
	return m, nil
}

// Serve serves /metrics, including the gauges of the open imports, and the routes that
// register adds, until ctx ends. It logs message with the address. A nil m only waits
// for ctx.
func (m *Metrics) Serve(ctx context.Context, message string, temporal client.Client, register func(gin.IRouter)) error {
	if m == nil {
		<-ctx.Done()
		return nil
	}
	m.registry.MustRegister(m.watchImports(temporal))
	engine := gin.New()
	engine.GET(MetricsPath, gin.WrapH(promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(m.logger.Handler(), slog.LevelWarn),
	})))
	register(engine)
	return Serve(ctx, m.logger, m.setting, m.address, engine, func(address net.Addr) {
		m.logger.Info(message, "address", address.String())
	})
}

// logOpenTelemetry sends OpenTelemetry's errors to the process's log. A failing exporter,
// for instance, has no other effect.
func logOpenTelemetry(logger *slog.Logger) {
	otel.SetLogger(logr.FromSlogHandler(logger.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		logger.Warn("OpenTelemetry error", "error", err)
	}))
}
