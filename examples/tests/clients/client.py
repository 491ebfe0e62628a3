"""Sends the same spans to a server and through a collector, with OpenTelemetry's own SDK and exporters.

python client.py DIRECT_GRPC DIRECT_HTTP RELAY_GRPC RELAY_HTTP: each is host:port.
"""

import sys

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context


def spans(how):
    """Spans with everything that a span can have."""
    kept = InMemorySpanExporter()
    resource = Resource.create({"service.name": "python", "client.how": how, "ascii": "no: größer, 日本語"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("client", "1.0", schema_url="https://example.org/1")
    with tracer.start_as_current_span("root", kind=SpanKind.SERVER) as root:
        for number in range(40):
            link = Link(root.get_span_context(), {"link": number})
            with tracer.start_as_current_span(f"child {number}", kind=SpanKind.CLIENT, links=[link]) as child:
                child.set_attribute("text", "x" * number)
                child.set_attribute("int", number - 20)
                child.set_attribute("double", number / 7)
                child.set_attribute("bool", number % 2 == 0)
                child.set_attribute("texts", ["a", "", "c"])
                child.set_attribute("ints", [1, -1])
                child.add_event("event", {"number": number})
                try:
                    raise ValueError("a fault")
                except ValueError as fault:
                    child.record_exception(fault)
                if number % 3 == 0:
                    child.set_status(Status(StatusCode.ERROR, "said so"))
        tracer.start_span("remote", context=set_span_in_context(root)).end()
    return kept.get_finished_spans()


def main(direct_grpc, direct_http, relay_grpc, relay_http):
    told = {"x-tenant": "direct"}
    # What the collector keeps with the spans.
    team = {"x-team": "a team"}
    at = "http://{}/v1/traces".format
    cases = {
        "grpc": (
            GrpcExporter(direct_grpc, insecure=True, headers=told),
            GrpcExporter(relay_grpc, insecure=True, headers=team),
        ),
        "grpc, gzip": (
            GrpcExporter(direct_grpc, insecure=True, headers=told),
            GrpcExporter(relay_grpc, insecure=True, headers=team, compression=grpc.Compression.Gzip),
        ),
        "http": (HttpExporter(at(direct_http), headers=told), HttpExporter(at(relay_http), headers=team)),
        "http, gzip": (
            HttpExporter(at(direct_http), headers=told),
            HttpExporter(at(relay_http), headers=team, compression=Compression.Gzip),
        ),
    }
    for how, exporters in cases.items():
        made = spans(how)
        for exporter in exporters:
            if exporter.export(made) is not SpanExportResult.SUCCESS:
                sys.exit(f"{how}: not exported")
            exporter.shutdown()
        print(how, len(made), flush=True)


main(*sys.argv[1:])
