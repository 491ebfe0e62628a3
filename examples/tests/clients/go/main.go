// Sends the same spans to a server and through a collector, with OpenTelemetry's own SDK and exporters, as kubelet does.
//
// client DIRECT_GRPC DIRECT_HTTP RELAY_GRPC RELAY_HTTP: each is host:port.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// Spans with everything that a span can have.
func spans(how string) []sdk.ReadOnlySpan {
	kept := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(
		sdk.WithSpanProcessor(kept),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "go"),
			attribute.String("client.how", how),
			attribute.String("ascii", "no: größer, 日本語"),
		)),
	)
	tracer := provider.Tracer("client", trace.WithInstrumentationVersion("1.0"), trace.WithSchemaURL("https://example.org/1"))
	inside, root := tracer.Start(context.Background(), "root", trace.WithSpanKind(trace.SpanKindServer))
	for number := range 40 {
		_, child := tracer.Start(inside, fmt.Sprintf("child %d", number), trace.WithSpanKind(trace.SpanKindClient),
			trace.WithLinks(trace.Link{SpanContext: root.SpanContext(), Attributes: []attribute.KeyValue{attribute.Int("link", number)}}))
		child.SetAttributes(
			attribute.String("text", strings.Repeat("x", number)),
			attribute.Int("int", number-20),
			attribute.Float64("double", float64(number)/7),
			attribute.Bool("bool", number%2 == 0),
			attribute.StringSlice("texts", []string{"a", "", "c"}),
			attribute.IntSlice("ints", []int{1, -1}),
		)
		child.AddEvent("event", trace.WithAttributes(attribute.Int("number", number)))
		child.RecordError(errors.New("a fault"))
		if number%3 == 0 {
			child.SetStatus(codes.Error, "said so")
		}
		child.End()
	}
	root.End()
	return kept.Ended()
}

type exporter interface {
	ExportSpans(context.Context, []sdk.ReadOnlySpan) error
	Shutdown(context.Context) error
}

func must[T any](made T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return made
}

func main() {
	ctx := context.Background()
	directGrpc, directHttp, relayGrpc, relayHttp := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	headers := map[string]string{"x-tenant": "direct"}
	overGrpc := func(at string, options ...otlptracegrpc.Option) exporter {
		options = append(options, otlptracegrpc.WithEndpoint(at), otlptracegrpc.WithInsecure())
		return must(otlptracegrpc.New(ctx, options...))
	}
	overHttp := func(at string, options ...otlptracehttp.Option) exporter {
		options = append(options, otlptracehttp.WithEndpoint(at), otlptracehttp.WithInsecure())
		return must(otlptracehttp.New(ctx, options...))
	}
	cases := []struct {
		how           string
		direct, relay exporter
	}{
		{"grpc", overGrpc(directGrpc, otlptracegrpc.WithHeaders(headers)), overGrpc(relayGrpc)},
		{"grpc, gzip", overGrpc(directGrpc, otlptracegrpc.WithHeaders(headers)), overGrpc(relayGrpc, otlptracegrpc.WithCompressor("gzip"))},
		{"http", overHttp(directHttp, otlptracehttp.WithHeaders(headers)), overHttp(relayHttp)},
		{"http, gzip", overHttp(directHttp, otlptracehttp.WithHeaders(headers)), overHttp(relayHttp, otlptracehttp.WithCompression(otlptracehttp.GzipCompression))},
	}
	for _, each := range cases {
		made := spans(each.how)
		for _, exporter := range []exporter{each.direct, each.relay} {
			must(0, exporter.ExportSpans(ctx, made))
			must(0, exporter.Shutdown(ctx))
		}
		fmt.Println(each.how, len(made))
	}
}
