"""An independent OTLP/gRPC server: prints what it understood of every span, a line of JSON each.

python server.py CERTIFICATE KEY

The first line has the ports, in the clear and under TLS. Ends with its standard input.
"""

import json
import sys
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    held = getattr(any_value, kind)
    if kind == "array_value":
        return {"array": [value(item) for item in held.values]}
    if kind == "kvlist_value":
        return {"map": attributes(held.values)}
    if kind == "bytes_value":
        return {"bytes": held.hex()}
    return {kind.removesuffix("_value"): held}


def attributes(pairs):
    return [[pair.key, value(pair.value)] for pair in pairs]


def spans(request):
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield {
                    "resource": dict(attributes(resource_spans.resource.attributes)),
                    "resource_schema_url": resource_spans.schema_url,
                    "scope": [scope_spans.scope.name, scope_spans.scope.version],
                    "scope_attributes": attributes(scope_spans.scope.attributes),
                    "scope_schema_url": scope_spans.schema_url,
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_span_id": span.parent_span_id.hex(),
                    "trace_state": span.trace_state,
                    "flags": span.flags,
                    "name": span.name,
                    "kind": span.kind,
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "dropped": [
                        span.dropped_attributes_count,
                        span.dropped_events_count,
                        span.dropped_links_count,
                    ],
                    "events": [
                        [event.time_unix_nano, event.name, attributes(event.attributes)]
                        for event in span.events
                    ],
                    "links": [
                        [link.trace_id.hex(), link.span_id.hex(), link.trace_state, link.flags, attributes(link.attributes)]
                        for link in span.links
                    ],
                    "status": [span.status.code, span.status.message],
                }


class Sink(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        metadata = {pair.key: pair.value for pair in context.invocation_metadata()}
        for span in spans(request):
            span["tenant"] = metadata.get("x-tenant")
            print(json.dumps(span), flush=True)
        return trace_service_pb2.ExportTraceServiceResponse()


def main(certificate, key):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Sink(), server)
    plain = server.add_insecure_port("127.0.0.1:0")
    with open(key, "rb") as keys, open(certificate, "rb") as certificates:
        credentials = grpc.ssl_server_credentials([(keys.read(), certificates.read())])
    secure = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    print(plain, secure, flush=True)
    sys.stdin.read()
    server.stop(None)


main(*sys.argv[1:])
