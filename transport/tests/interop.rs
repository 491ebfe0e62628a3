//! An independent server understands every field of what is sent: in the clear, compressed, and under TLS.
//!
//! The server is Python's gRPC with the messages of opentelemetry-proto. `.ci/interop` installs both and names the
//! interpreter in `SPANWIRE_INTEROP_PYTHON`; without it there is nothing to ask, which is said.
#![cfg(all(feature = "grpc", feature = "gzip", feature = "tls"))]

use core::time::Duration;
use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value as Json, json};
use spanwire_core::attribute::{KeyValue, Value};
use spanwire_core::clock::Timestamp;
use spanwire_core::context::{Link, SpanContext};
use spanwire_core::pipeline::Pipeline;
use spanwire_core::resource::{InstrumentationScope, Resource};
use spanwire_core::span::Status;
use spanwire_core::wire::SpanKind;
use spanwire_transport::compression::Compression;
use spanwire_transport::exporter::grpc::{GrpcExporter, GrpcExporterBuilder};
use spanwire_transport::headers::Headers;
use spanwire_transport::tls::ClientTls;

const LONG: Duration = Duration::from_secs(60);

/// The server, and what it prints.
struct Python {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    plain: u16,
    secure: u16,
    /// The certificate it shows, which is its own authority.
    certificate: String,
    files: [PathBuf; 2],
}

impl Python {
    fn start(interpreter: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let certificate = made.cert.pem();
        let files = ["crt", "key"].map(|kind| {
            let name = format!("spanwire-interop-{}.{kind}", std::process::id());
            std::env::temp_dir().join(name)
        });
        std::fs::write(&files[0], &certificate).unwrap();
        std::fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/server.py");
        let mut child = Command::new(interpreter)
            .arg(script)
            .args(&files)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ports = lines.next().expect("the server prints its ports").unwrap();
        let mut ports = ports.split(' ').map(|port| port.parse().unwrap());
        Self {
            child,
            lines,
            plain: ports.next().unwrap(),
            secure: ports.next().unwrap(),
            certificate,
            files,
        }
    }

    /// The next span that it understood.
    fn span(&mut self) -> Json {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

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
fn send(exporter: GrpcExporterBuilder) -> [Json; 2] {
    let mut headers = Headers::new();
    headers.set("x-tenant", "blue").unwrap();
    let exporter = exporter.timeout(LONG).headers(headers).build().unwrap();
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
    let mut python = Python::start(&interpreter);
    let plain = format!("http://127.0.0.1:{}", python.plain);
    let secure = format!("https://localhost:{}", python.secure);
    let tls = ClientTls::new().roots_pem(&python.certificate);
    for (what, exporter) in [
        ("plain", GrpcExporter::builder().endpoint(&plain)),
        (
            "gzip",
            GrpcExporter::builder()
                .endpoint(&plain)
                .compression(Compression::Gzip),
        ),
        (
            "TLS",
            GrpcExporter::builder().endpoint(&secure).tls(tls.clone()),
        ),
        (
            "gzip under TLS",
            GrpcExporter::builder()
                .endpoint(&secure)
                .tls(tls.clone())
                .compression(Compression::Gzip),
        ),
    ] {
        for expected in send(exporter) {
            let mut span = python.span();
            let resource = span.as_object_mut().unwrap().remove("resource").unwrap();
            assert_eq!(span, expected, "{what}");
            assert_eq!(
                resource["service.name"],
                json!({"string": "interop"}),
                "{what}"
            );
            assert_eq!(resource["pods"], json!({"int": 3}), "{what}");
            assert_eq!(
                resource["telemetry.sdk.language"],
                json!({"string": "rust"}),
                "{what}"
            );
        }
        println!("interop: {what}: 2 spans, equal in every field");
    }
}
