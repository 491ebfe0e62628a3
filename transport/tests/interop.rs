//! An independent server understands every field of what is sent: in the clear, compressed, and under TLS.
//!
//! The server is Python's gRPC and its HTTP server, with the messages of opentelemetry-proto. `.ci/interop` installs what
//! it takes and names the interpreter in `SPANWIRE_INTEROP_PYTHON`; without it there is nothing to ask, which is said.
#![cfg(all(feature = "grpc", feature = "http", feature = "gzip", feature = "tls"))]

use core::time::Duration;

use serde_json::{Value as Json, json};
use spanwire_core::attribute::{KeyValue, Value};
use spanwire_core::clock::Timestamp;
use spanwire_core::context::{Link, SpanContext};
use spanwire_core::exporter::Exporter;
use spanwire_core::pipeline::Pipeline;
use spanwire_core::resource::{InstrumentationScope, Resource};
use spanwire_core::span::Status;
use spanwire_core::wire::SpanKind;
use spanwire_transport::compression::Compression;
use spanwire_transport::exporter::grpc::GrpcExporter;
use spanwire_transport::exporter::http::{Encoding, HttpExporter};
use spanwire_transport::headers::Headers;
use spanwire_transport::tls::ClientTls;

#[path = "interop/identity.rs"]
mod identity;
#[path = "interop/python.rs"]
mod python;

use identity::Identity;
use python::Python;

const LONG: Duration = Duration::from_secs(60);

const START: u64 = 1_700_000_000_000_000_000;

fn resource() -> Resource {
    Resource::builder()
        .attribute("service.name", "interop")
        .attribute("pods", 3)
        .build()
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("lib")
        .version("1.2")
        .attribute("a", true)
        .schema_url("https://opentelemetry.io/schemas/1.40.0")
        .build()
}

/// Sends a parent and a child with everything that a span can hold, and says how the server is to understand them.
fn send<E: Exporter + Clone + Sync + 'static>(exporter: E) -> [Json; 2] {
    let pipeline = Pipeline::builder()
        .resource(&resource())
        .exporter(move || exporter.clone())
        .build()
        .unwrap();
    let tracer = pipeline.tracer(scope());
    let parent = tracer
        .span("parent")
        .kind(SpanKind::Server)
        .started_at(Timestamp::from_unix_nanos(START))
        .start();
    let ids = |context: &SpanContext| {
        (
            context.trace_id().to_string(),
            context.span_id().to_string(),
        )
    };
    let (trace_id, parent_id) = ids(parent.context());
    let mut child = tracer
        .span("child ü")
        .kind(SpanKind::Client)
        .child_of(parent.context())
        .started_at(Timestamp::from_unix_nanos(START + 1))
        .start();
    let (_, child_id) = ids(child.context());
    let inner = [KeyValue::new("k", "v")];
    let array = [Value::Int(-1), Value::Str("s"), Value::Map(&inner)];
    child
        .set_attribute("str", "text ✓")
        .set_attribute("empty", "")
        .set_attribute("bool", false)
        .set_attribute("int", i64::MIN)
        .set_attribute("double", 0.1)
        .set_attribute("bytes", Value::Bytes(&[0, 255]))
        .set_attribute("array", Value::Array(&array))
        .set_attribute("none", Value::Empty)
        // Long enough for a compressed request to be smaller.
        .set_attribute("long", &*"again ".repeat(200))
        .add_event_at(
            Timestamp::from_unix_nanos(START + 2),
            "event",
            &[KeyValue::new("n", 7)],
        )
        .add_link(&Link::new(parent.context()).with_attributes(&[KeyValue::new("why", "cause")]))
        .set_status(Status::Error("boom"));
    let child_flags = 0x100 | u32::from(child.context().flags().bits());
    child.end_at(Timestamp::from_unix_nanos(START + 1_000_000));
    parent.end_at(Timestamp::from_unix_nanos(START + 2_000_000));
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report}");

    let expected = |own: Json| {
        let mut span = json!({
            "tenant": "blue",
            "resource_schema_url": "",
            "scope": ["lib", "1.2"],
            "scope_attributes": [["a", {"bool": true}]],
            "scope_schema_url": "https://opentelemetry.io/schemas/1.40.0",
            "trace_id": trace_id,
            "trace_state": "",
            "flags": child_flags,
            "dropped": [0, 0, 0],
        });
        let fields = span.as_object_mut().unwrap();
        fields.extend(own.as_object().unwrap().clone());
        span
    };
    [
        expected(json!({
            "span_id": child_id,
            "parent_span_id": parent_id,
            "name": "child ü",
            "kind": 3,
            "start": START + 1,
            "end": START + 1_000_000,
            "attributes": [
                ["str", {"string": "text ✓"}],
                ["empty", {"string": ""}],
                ["bool", {"bool": false}],
                ["int", {"int": i64::MIN}],
                ["double", {"double": 0.1}],
                ["bytes", {"bytes": "00ff"}],
                ["array", {"array": [
                    {"int": -1},
                    {"string": "s"},
                    {"map": [["k", {"string": "v"}]]},
                ]}],
                ["none", null],
                ["long", {"string": "again ".repeat(200)}],
            ],
            "events": [[START + 2, "event", [["n", {"int": 7}]]]],
            "links": [[trace_id, parent_id, "", child_flags, [["why", {"string": "cause"}]]]],
            "status": [2, "boom"],
        })),
        expected(json!({
            "span_id": parent_id,
            "parent_span_id": "",
            "name": "parent",
            "kind": 2,
            "start": START,
            "end": START + 2_000_000,
            "attributes": [],
            "events": [],
            "links": [],
            "status": [0, ""],
        })),
    ]
}

#[test]
fn an_independent_server_understands_every_field() {
    let Ok(interpreter) = std::env::var("SPANWIRE_INTEROP_PYTHON") else {
        println!("skipped: interop: SPANWIRE_INTEROP_PYTHON names no interpreter; see .ci/interop");
        return;
    };
    let identity = Identity::new();
    let mut python = Python::start(&interpreter, &identity.0);
    let mut headers = Headers::new();
    headers.set("x-tenant", "blue").unwrap();
    let tls = ClientTls::new().roots_file(&identity.0[0]);
    let place = |secure: bool, [plain_port, secure_port]: [u16; 2]| match secure {
        false => format!("http://127.0.0.1:{plain_port}"),
        true => format!("https://localhost:{secure_port}"),
    };
    for (secure, compression) in [
        (false, Compression::None),
        (false, Compression::Gzip),
        (true, Compression::None),
        (true, Compression::Gzip),
    ] {
        let grpc = GrpcExporter::builder()
            .endpoint(place(secure, python.grpc))
            .headers(headers.clone())
            .compression(compression)
            .tls(tls.clone())
            .timeout(LONG)
            .build()
            .unwrap();
        // What gRPC makes of the encoding is not shown to a service.
        let what = format!("gRPC, {compression:?}, TLS: {secure}");
        understood(&mut python, send(grpc), &json!(["grpc", null]), &what);
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let http = HttpExporter::builder()
                .endpoint(place(secure, python.http))
                .encoding(encoding)
                .headers(headers.clone())
                .compression(compression)
                .tls(tls.clone())
                .timeout(LONG)
                .build()
                .unwrap();
            let how = json!([encoding.content_type(), compression.encoding()]);
            let what = format!("HTTP, {encoding:?}, {compression:?}, TLS: {secure}");
            understood(&mut python, send(http), &how, &what);
        }
    }
}

/// Asserts that the next spans that the server understood are these, sent this way.
fn understood(python: &mut Python, sent: [Json; 2], how: &Json, what: &str) {
    for expected in sent {
        let span = python.line().expect("the server prints a span");
        let mut span: Json = serde_json::from_str(&span).unwrap();
        let fields = span.as_object_mut().unwrap();
        let resource = fields.remove("resource").unwrap();
        assert_eq!(fields.remove("how"), Some(how.clone()), "{what}");
        assert_eq!(span, expected, "{what}");
        for (key, value) in [
            ("service.name", json!({"string": "interop"})),
            ("pods", json!({"int": 3})),
            ("telemetry.sdk.language", json!({"string": "rust"})),
        ] {
            assert_eq!(resource[key], value, "{what}");
        }
    }
    println!("interop: {what}: 2 spans, equal in every field");
}
