// Exports spans with OpenTelemetry's own SDK and its exporter of OTLP/HTTP with JSON, and prints what they are, a JSON object
// a line.
//
// Usage: node client.mjs ENDPOINT COMPRESSION, where @opentelemetry/{api,resources,sdk-trace-base,exporter-trace-otlp-http}
// are to be found.

import { createRequire } from "node:module";

const load = createRequire(process.env.SPANWIRE_INTEROP_NODE + "/");
const { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } = load("@opentelemetry/api");
const { OTLPTraceExporter } = load("@opentelemetry/exporter-trace-otlp-http");
const { resourceFromAttributes } = load("@opentelemetry/resources");
const { BasicTracerProvider, SimpleSpanProcessor } = load("@opentelemetry/sdk-trace-base");

const nanos = ([seconds, nanos]) => String(BigInt(seconds) * 1_000_000_000n + BigInt(nanos));

const described = (span) => ({
  resource: span.resource.attributes,
  scope: [span.instrumentationScope.name, span.instrumentationScope.version],
  name: span.name,
  kind: span.kind + 1,
  trace_id: span.spanContext().traceId,
  span_id: span.spanContext().spanId,
  parent: span.parentSpanContext?.spanId ?? "",
  start: nanos(span.startTime),
  end: nanos(span.endTime),
  attributes: span.attributes,
  events: span.events.map((event) => [event.name, nanos(event.time), event.attributes]),
  links: span.links.map((link) => [link.context.traceId, link.context.spanId, link.attributes]),
  status: [span.status.code, span.status.message ?? ""],
});

const [endpoint, compression] = process.argv.slice(2);
const exporter = new OTLPTraceExporter({ url: endpoint, compression, timeoutMillis: 30_000 });
const printer = {
  export(spans, done) {
    exporter.export(spans, (result) => {
      for (const span of spans) {
        console.log(result.code === 0 ? JSON.stringify(described(span)) : `failed: ${result.error}`);
      }
      done(result);
    });
  },
  shutdown: () => exporter.shutdown(),
  forceFlush: () => exporter.forceFlush(),
};
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": "neighbour", pods: 3 }),
  spanProcessors: [new SimpleSpanProcessor(printer)],
});
const tracer = provider.getTracer("lib", "1.2");
const linked = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "b7ad6b7169203331", traceFlags: 0 };
const parent = tracer.startSpan("parent", {
  kind: SpanKind.SERVER,
  links: [{ context: linked, attributes: { why: "retry" } }],
});
for (let number = 0; number < 20; number += 1) {
  const child = tracer.startSpan("child \u00fc", { kind: SpanKind.CLIENT }, trace.setSpan(ROOT_CONTEXT, parent));
  child.setAttributes({ n: number, ratio: 0.5, yes: true, text: "x".repeat(200), list: ["a", "b"] });
  child.addEvent("exception", { "exception.type": "E" });
  child.setStatus({ code: SpanStatusCode.ERROR, message: "boom" });
  child.end();
}
parent.end();
await provider.forceFlush();
await provider.shutdown();
