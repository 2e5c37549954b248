// Package telemetry makes the logger and, when an endpoint is configured, the OpenTelemetry tracer.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.26.0"
)

// Logger writes structured lines. Secrets are redacted by their type (core/secret), whatever the format.
func Logger(w io.Writer, format, level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	}
	return nil, fmt.Errorf("log format %q: want json or text", format)
}

// Tracing exports spans by OTLP over HTTP. Wrap costs nothing unless it is used.
type Tracing struct{ provider *sdktrace.TracerProvider }

// StartTracing connects to an endpoint such as http://127.0.0.1:4318.
func StartTracing(ctx context.Context, endpoint, version string) (*Tracing, error) {
	client, err := newOTLP(endpoint)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	res := resource.NewSchemaless(semconv.ServiceName("gatehouse"), semconv.ServiceVersion(version))
	return &Tracing{sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res))}, nil
}

// Wrap opens a span for each request; the route gives it its name.
func (t *Tracing) Wrap(h http.Handler) http.Handler {
	return otelhttp.NewHandler(h, "gatehouse", otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithPropagators(propagation.TraceContext{}))
}

// Stop sends what is left.
func (t *Tracing) Stop(ctx context.Context) error { return t.provider.Shutdown(ctx) }
