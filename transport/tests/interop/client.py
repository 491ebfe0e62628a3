"""Exports spans with OpenTelemetry's own SDK and OTLP/HTTP exporter, and prints what they are, a JSON object a line.

Usage: client.py ENDPOINT COMPRESSION
"""

import json
import sys

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, set_span_in_context


class Printer(SpanExporter):
    def __init__(self, exporter):
        self.exporter = exporter

    def export(self, spans):
        result = self.exporter.export(spans)
        for span in spans:
            print(json.dumps(described(span)) if result == SpanExportResult.SUCCESS else "failed", flush=True)
        return result

    def shutdown(self):
        self.exporter.shutdown()


def described(span):
    return {
        "resource": dict(span.resource.attributes),
        "scope": [span.instrumentation_scope.name, span.instrumentation_scope.version],
        "name": span.name,
        "kind": span.kind.value + 1,
        "trace_id": f"{span.context.trace_id:032x}",
        "span_id": f"{span.context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent else "",
        "start": str(span.start_time),
        "end": str(span.end_time),
        "attributes": values(span.attributes),
        "events": [[event.name, str(event.timestamp), values(event.attributes)] for event in span.events],
        "links": [
            [f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}", values(link.attributes)]
            for link in span.links
        ],
        "status": [span.status.status_code.value, span.status.description or ""],
    }


def values(attributes):
    return {key: list(value) if isinstance(value, tuple) else value for key, value in attributes.items()}


def main():
    endpoint, compression = sys.argv[1:]
    exporter = OTLPSpanExporter(
        endpoint=endpoint,
        compression=Compression(compression),
        timeout=30,
    )
    provider = TracerProvider(resource=Resource({"service.name": "neighbour", "pods": 3}))
    provider.add_span_processor(SimpleSpanProcessor(Printer(exporter)))
    tracer = provider.get_tracer("lib", "1.2")
    linked = SpanContext(trace_id=0x4BF92F3577B34DA6A3CE929D0E0E4736, span_id=0xB7AD6B7169203331, is_remote=True)
    parent = tracer.start_span("parent", kind=SpanKind.SERVER, links=[Link(linked, {"why": "retry"})])
    within = set_span_in_context(parent)
    for number in range(20):
        child = tracer.start_span("child \u00fc", context=within, kind=SpanKind.CLIENT)
        child.set_attributes({"n": number, "ratio": 0.5, "yes": True, "text": "x" * 200, "list": ["a", "b"]})
        child.add_event("exception", {"exception.type": "E"})
        child.set_status(Status(StatusCode.ERROR, "boom"))
        child.end()
    parent.end()
    provider.shutdown()


main()
