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

// Tracing reports whether the process sends traces.
type Tracing bool

// Tracing reads the standard OTEL_* variables. Tracing is off unless
// OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set. OpenTelemetry
// itself reads the other variables.
func (s *Settings) Tracing() (on Tracing) {
	if value := os.Getenv("OTEL_SDK_DISABLED"); value != "" && s.Bool("OTEL_SDK_DISABLED", value) || os.Getenv("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	endpoint, name := tracesVariable("ENDPOINT")
	if endpoint == "" {
		return false
	}
	// The error omits the value, which may contain a password.
	if u, err := url.Parse(endpoint); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		s.Problem("%s is not the URL of an OTLP receiver: want one like http://HOST:4318", name)
	}
	if protocol, name := tracesVariable("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		s.Problem("%s is %q: want http/protobuf, which most receivers accept on port 4318", name, protocol)
	}
	return true
}

// tracesVariable returns OpenTelemetry's variable for traces, or else the general one.
func tracesVariable(of string) (value, name string) {
	name = "OTEL_EXPORTER_OTLP_TRACES_" + of
	if value = os.Getenv(name); value == "" {
		name = "OTEL_EXPORTER_OTLP_" + of
		value = os.Getenv(name)
	}
	return value, name
}

// Start adds tracing of calls, workflows and activities to the Temporal client options, if
// it is on. stop sends the remaining traces. A failing exporter is only logged.
func (on Tracing) Start(ctx context.Context, logger *slog.Logger, service string, options *client.Options) (stop func(), err error) {
	if !on {
		return func() {}, nil
	}
	logOpenTelemetry(logger)
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("preparing the traces: %w", err)
	}
	// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override the rest.
	described, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", service)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		logger.Warn("Detecting the traces' resource attributes failed; using those found", "error", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	tracing, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		Tracer: provider.Tracer("go.temporal.io/sdk"), AllowInvalidParentSpans: true,
	})
	if err != nil {
		return nil, fmt.Errorf("preparing the traces: %w", err)
	}
	options.Interceptors = append(options.Interceptors, tracing)
	logger.Info("Sending traces", "service", service)
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			logger.Warn("Sending the last traces failed", "error", err)
		}
	}, nil
}
