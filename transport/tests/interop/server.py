"""An independent OTLP server: prints what it understood of every span, a line of JSON each.

python server.py [CERTIFICATE KEY]

The first line has the ports: gRPC and HTTP in the clear, then both under TLS if there is a certificate. Ends with its
standard input.
"""

import base64
import gzip
import http.server
import json
import ssl
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import json_format
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


PRINTING = threading.Lock()


def show(request, how, tenant):
    """Prints before the client is answered, so that whoever has an answer finds the lines here."""
    with PRINTING:
        for span in spans(request):
            span["how"] = how
            span["tenant"] = tenant
            print(json.dumps(span), flush=True)


class Sink(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        metadata = {pair.key: pair.value for pair in context.invocation_metadata()}
        show(request, ["grpc", None], metadata.get("x-tenant"))
        return trace_service_pb2.ExportTraceServiceResponse()


def with_bytes(json_value):
    """OTLP/JSON has ids in hexadecimal digits; the JSON of Protocol Buffers has all bytes in base64."""
    if isinstance(json_value, list):
        return [with_bytes(item) for item in json_value]
    if not isinstance(json_value, dict):
        return json_value
    return {
        key: base64.b64encode(bytes.fromhex(held)).decode()
        if key in ("traceId", "spanId", "parentSpanId")
        else with_bytes(held)
        for key, held in json_value.items()
    }


class HttpSink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        kind, encoding = self.headers["content-type"], self.headers["content-encoding"]
        try:
            if self.path != "/v1/traces":
                raise ValueError(f"nothing is at {self.path}")
            if encoding == "gzip":
                body = gzip.decompress(body)
            elif encoding is not None:
                raise ValueError(f"no such encoding as {encoding}")
            request = trace_service_pb2.ExportTraceServiceRequest()
            answer = trace_service_pb2.ExportTraceServiceResponse()
            if kind == "application/x-protobuf":
                request.ParseFromString(body)
                answer = answer.SerializeToString()
            elif kind == "application/json":
                # Refuses fields that it does not know, and numbers and names that are none.
                json_format.ParseDict(with_bytes(json.loads(body)), request)
                answer = json_format.MessageToJson(answer).encode()
            else:
                raise ValueError(f"no such content type as {kind}")
            show(request, [kind, encoding], self.headers["x-tenant"])
            status = 200
        except Exception as error:
            status, kind, answer = 400, "text/plain", str(error).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def http_server(context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HttpSink)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def main(certificate=None, key=None):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Sink(), server)
    ports = [server.add_insecure_port("127.0.0.1:0"), http_server()]
    if certificate:
        with open(key, "rb") as keys, open(certificate, "rb") as certificates:
            credentials = grpc.ssl_server_credentials([(keys.read(), certificates.read())])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        ports += [server.add_secure_port("127.0.0.1:0", credentials), http_server(context)]
    server.start()
    print(*ports, flush=True)
    sys.stdin.read()
    server.stop(None)


main(*sys.argv[1:])
