//! Guarantees: spans that OpenTelemetry's SDKs for Python (protobuf) and JavaScript (JSON) export arrive with every field as it was
//! recorded, plain and compressed.
//!
//! `SPANWIRE_INTEROP_PYTHON` names an interpreter with `opentelemetry-sdk` and `opentelemetry-exporter-otlp-proto-http`;
//! `SPANWIRE_INTEROP_NODE` a folder with `@opentelemetry/{api,resources,sdk-trace-base,exporter-trace-otlp-http}`. Without
//! them there is nobody to send, which is said.
#![cfg(all(
    feature = "receive-http",
    feature = "receive-grpc",
    feature = "gzip",
    feature = "zstd"
))]

use std::process::Command;

use client::{exported, pipeline};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span, Status};
use post::receiver;
use serde_json::{Value as Json, json};

mod client;
mod post;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn value(value: &Value) -> Json {
    match value {
        Value::StringValue(text) => json!(text),
        Value::BoolValue(yes) => json!(yes),
        Value::IntValue(number) => json!(number),
        Value::DoubleValue(number) => json!(number),
        Value::ArrayValue(list) => {
            let members = list.values.iter().flat_map(|one| &one.value);
            members.map(self::value).collect()
        }
        other => panic!("{other:?} was not sent"),
    }
}

fn values(attributes: &[KeyValue]) -> Json {
    let pairs = attributes.iter().map(|one| {
        let member = one.value.as_ref().and_then(|value| value.value.as_ref());
        (one.key.clone(), member.map_or(Json::Null, value))
    });
    Json::Object(pairs.collect())
}

/// A span in the words of the clients.
fn described(resource: Option<&Resource>, scope: &ScopeSpans, span: &Span) -> Json {
    let library = scope.scope.clone().unwrap_or_default();
    let Status { code, message } = span.status.clone().unwrap_or_default();
    let events = span.events.iter();
    let links = span.links.iter();
    json!({
        "resource": values(&resource.cloned().unwrap_or_default().attributes),
        "scope": [library.name, library.version],
        "name": span.name,
        "kind": span.kind,
        "trace_id": hex(&span.trace_id),
        "span_id": hex(&span.span_id),
        "parent": hex(&span.parent_span_id),
        "start": span.start_time_unix_nano.to_string(),
        "end": span.end_time_unix_nano.to_string(),
        "attributes": values(&span.attributes),
        "events": events
            .map(|event| json!([event.name, event.time_unix_nano.to_string(), values(&event.attributes)]))
            .collect::<Json>(),
        "links": links
            .map(|link| json!([hex(&link.trace_id), hex(&link.span_id), values(&link.attributes)]))
            .collect::<Json>(),
        "status": [json!(code), json!(message)],
    })
}

fn sorted(mut spans: Vec<Json>) -> Vec<Json> {
    spans.sort_by_key(|span| span["span_id"].to_string());
    spans
}

fn all(requests: &[ExportTraceServiceRequest]) -> Vec<Json> {
    let mut spans = Vec::new();
    for resource in requests.iter().flat_map(|request| &request.resource_spans) {
        for scope in &resource.scope_spans {
            let of_scope = scope.spans.iter();
            spans.extend(of_scope.map(|span| described(resource.resource.as_ref(), scope, span)));
        }
    }
    sorted(spans)
}

/// Has a client send, and holds what arrives to what it says it sent.
fn holds(what: &str, client: impl FnOnce(u16) -> Command) {
    let (pipeline, kept) = pipeline(16 << 20);
    let receiver = receiver().serve(pipeline.intake()).unwrap();
    let port = receiver.local_addr().unwrap().port();
    let output = client(port).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{what}: {printed}{told}");
    let lines = printed.lines();
    let sent: Result<Vec<Json>, _> = lines.map(serde_json::from_str).collect();
    let sent = sorted(sent.unwrap_or_else(|_| panic!("{what}: {printed}{told}")));
    assert_eq!(sent.len(), 21, "{what}: {told}");
    let arrived = all(&exported(&pipeline, &kept));
    for (arrived, sent) in arrived.iter().zip(&sent) {
        assert_eq!(arrived, sent, "{what}");
    }
    assert_eq!(arrived.len(), sent.len());
    println!("{what}: {} spans arrived as they were sent", sent.len());
}

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/");

#[test]
fn of_python() {
    let Some(interpreter) = std::env::var_os("SPANWIRE_INTEROP_PYTHON") else {
        println!("skipped: SPANWIRE_INTEROP_PYTHON is not set");
        return;
    };
    let python = |url: String, compression: &str| {
        let mut command = Command::new(&interpreter);
        command
            .arg(format!("{HERE}client.py"))
            .arg(url)
            .arg(compression);
        command
    };
    for compression in ["none", "gzip", "deflate"] {
        holds(&format!("Python, {compression}"), |port| {
            python(format!("http://127.0.0.1:{port}/v1/traces"), compression)
        });
    }
}

#[test]
fn of_javascript() {
    let Some(modules) = std::env::var_os("SPANWIRE_INTEROP_NODE") else {
        println!("skipped: SPANWIRE_INTEROP_NODE is not set");
        return;
    };
    for compression in ["none", "gzip"] {
        holds(&format!("JavaScript, {compression}"), |port| {
            let mut command = Command::new("node");
            command
                .env("SPANWIRE_INTEROP_NODE", &modules)
                .arg(format!("{HERE}client.mjs"))
                .arg(format!("http://127.0.0.1:{port}/v1/traces"))
                .arg(compression);
            command
        });
    }
}
