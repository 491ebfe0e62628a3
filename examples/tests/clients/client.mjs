// Sends the same spans to a server and through a collector, with OpenTelemetry's own SDK and exporters.
//
// node client.mjs DIRECT_GRPC DIRECT_HTTP RELAY_GRPC RELAY_HTTP: each is host:port.

import { createRequire } from 'node:module';

// The packages lie where they were installed, not beside this file.
const require = createRequire(process.env.SPANWIRE_NODE_MODULES + '/');
const { SpanKind, SpanStatusCode, trace, context, ROOT_CONTEXT } = require('@opentelemetry/api');
const { resourceFromAttributes } = require('@opentelemetry/resources');
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { OTLPTraceExporter: GrpcExporter } = require('@opentelemetry/exporter-trace-otlp-grpc');
const { OTLPTraceExporter: JsonExporter } = require('@opentelemetry/exporter-trace-otlp-http');
const { OTLPTraceExporter: ProtoExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { Metadata } = require('@grpc/grpc-js');

// Spans with everything that a span can have.
function spans(how) {
  const kept = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'node', 'client.how': how, ascii: 'no: größer, 日本語' }),
    spanProcessors: [new SimpleSpanProcessor(kept)],
  });
  const tracer = provider.getTracer('client', '1.0', { schemaUrl: 'https://example.org/1' });
  const root = tracer.startSpan('root', { kind: SpanKind.SERVER, root: true });
  const inside = trace.setSpan(ROOT_CONTEXT, root);
  for (let number = 0; number < 40; number++) {
    const links = [{ context: root.spanContext(), attributes: { link: number } }];
    const child = tracer.startSpan(`child ${number}`, { kind: SpanKind.CLIENT, links }, inside);
    child.setAttribute('text', 'x'.repeat(number));
    child.setAttribute('int', number - 20);
    child.setAttribute('double', number / 7);
    child.setAttribute('bool', number % 2 === 0);
    child.setAttribute('texts', ['a', '', 'c']);
    child.setAttribute('ints', [1, -1]);
    child.addEvent('event', { number });
    child.recordException(new Error('a fault'));
    if (number % 3 === 0) child.setStatus({ code: SpanStatusCode.ERROR, message: 'said so' });
    child.end();
  }
  root.end();
  return kept.getFinishedSpans();
}

async function main(directGrpc, _directHttp, relayGrpc, relayHttp) {
  const metadata = new Metadata();
  metadata.set('x-tenant', 'direct');
  const at = (place) => `http://${place}/v1/traces`;
  const direct = () => new GrpcExporter({ url: `http://${directGrpc}`, metadata });
  const cases = {
    grpc: [direct(), new GrpcExporter({ url: `http://${relayGrpc}` })],
    'grpc, gzip': [direct(), new GrpcExporter({ url: `http://${relayGrpc}`, compression: 'gzip' })],
    proto: [direct(), new ProtoExporter({ url: at(relayHttp) })],
    'proto, gzip': [direct(), new ProtoExporter({ url: at(relayHttp), compression: 'gzip' })],
    json: [direct(), new JsonExporter({ url: at(relayHttp) })],
    'json, gzip': [direct(), new JsonExporter({ url: at(relayHttp), compression: 'gzip' })],
  };
  for (const [how, exporters] of Object.entries(cases)) {
    const made = spans(how);
    for (const exporter of exporters) {
      const result = await new Promise((done) => exporter.export(made, done));
      if (result.code !== 0) throw new Error(`${how}: ${result.error}`);
      await exporter.shutdown();
    }
    console.log(how, made.length);
  }
}

await main(...process.argv.slice(2));
