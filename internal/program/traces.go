package program

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/opentelemetry"
)

// Tracing says whether the process sends traces.
type Tracing bool

// Tracing reads the standard OTEL_* variables. Traces are off unless
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set; the
// further ones are read by OpenTelemetry itself.
func (s *Settings) Tracing() (on Tracing) {
	if value := os.Getenv("OTEL_SDK_DISABLED"); value != "" && s.Bool("OTEL_SDK_DISABLED", value) || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	endpoint, name := tracesVariable("ENDPOINT")
	if endpoint == "" {
		return false
	}
	// The value may hold a password and is not repeated.
	if u, err := url.Parse(endpoint); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		s.Problem("%s is not the URL of an OTLP receiver: want one like http://HOST:4318", name)
	}
	if protocol, name := tracesVariable("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		s.Problem("%s is %q: want http/protobuf, which receivers take on a port of its own, most at 4318", name, protocol)
	}
	return true
}

// tracesVariable is the one of the two that OpenTelemetry has for traces that counts.
func tracesVariable(of string) (value, name string) {
	name = "OTEL_EXPORTER_OTLP_TRACES_" + of
	if value = os.Getenv(name); value == "" {
		name = "OTEL_EXPORTER_OTLP_" + of
		value = os.Getenv(name)
	}
	return value, name
}

// Start adds the tracing of calls, workflows and activities to the options of
// the Temporal client, if it is on. stop sends what is left; an exporter that
// fails is in the log, and nothing else comes of it.
func (on Tracing) Start(ctx context.Context, logger *slog.Logger, service string, options *client.Options) (stop func(), err error) {
	if !on {
		return func() {}, nil
	}
	logOpenTelemetry(logger)
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("preparing the traces: %w", err)
	}
	// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come last and win.
	described, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", service)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		logger.Warn("The traces are not described in full", "error", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	tracing, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		Tracer: provider.Tracer("go.temporal.io/sdk"), AllowInvalidParentSpans: true,
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the traces: %w", err)
	}
	options.Interceptors = append(options.Interceptors, tracing)
	logger.Info("Traces are sent", "service", service)
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			logger.Warn("The last traces were not sent", "error", err)
		}
	}, nil
}
