//! Headers and the address of who sends become attributes where a configuration asks for them, and go no further otherwise.
#![cfg(all(
    feature = "config",
    feature = "grpc",
    feature = "http",
    feature = "receive-grpc",
    feature = "receive-http"
))]

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use server::{Answer, Server};
use spanwire_core::pipeline::Pipeline;
use spanwire_transport::config::Process;
use spanwire_transport::config::collector::Config;
use spanwire_transport::diagnostics::Diagnostics;
use spanwire_transport::exporter::grpc::GrpcExporter;
use spanwire_transport::exporter::http::{Encoding, HttpExporter};
use spanwire_transport::headers::Headers;
use spanwire_transport::setup::collector::{Collector, Node};

mod server;

const LONG: Duration = Duration::from_secs(30);

const TEXT: &str = "
receivers:
  otlp:
    protocols:
      grpc: {endpoint: '127.0.0.1:0', include_metadata: true}
      http: {endpoint: '127.0.0.1:0', include_metadata: true}
  otlp/plain: {protocols: {grpc: {endpoint: '127.0.0.1:0'}}}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 32}
  batch: {timeout: 2s}
  resource:
    attributes:
    - {key: tenant, from_context: metadata.X-Tenant, action: upsert}
    - {key: sender, from_context: client.address, action: insert}
  attributes:
    actions:
    - {key: via, from_context: X-Via, action: insert}
exporters:
  otlp: {endpoint: 'BACKEND', tls: {insecure: true}, compression: none}
service:
  pipelines:
    traces:
      receivers: [otlp, otlp/plain]
      processors: [memory_limiter, batch, resource, attributes]
      exporters: [otlp]
";

fn collector(text: &str) -> Collector {
    let collector = Collector::from_config(Config::load(text, &Process).unwrap()).unwrap();
    collector.diagnostics(Diagnostics::silent())
}

fn headers(of: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in of {
        headers.set(name, value).unwrap();
    }
    headers
}

/// Sends a span of this name over gRPC.
fn over_grpc(address: &str, name: &'static str, of: &[(&str, &str)]) {
    let exporter = GrpcExporter::builder().endpoint(format!("http://{address}"));
    let exporter = exporter.headers(headers(of)).build().unwrap();
    let pipeline = Pipeline::builder().exporter(move || exporter.clone());
    sent(&pipeline.build().unwrap(), name);
}

fn over_http(address: &str, name: &'static str, encoding: Encoding, of: &[(&str, &str)]) {
    let url = format!("http://{address}/v1/traces");
    let exporter = HttpExporter::builder().traces_endpoint(url);
    let exporter = exporter.encoding(encoding).headers(headers(of));
    let exporter = exporter.build().unwrap();
    let pipeline = Pipeline::builder().exporter(move || exporter.clone());
    sent(&pipeline.build().unwrap(), name);
}

fn sent(pipeline: &Pipeline, name: &'static str) {
    pipeline.tracer("tests").start(name).end();
    let report = pipeline.shutdown(LONG);
    assert!(report.is_complete(), "{report}");
}

/// By name of a span: its resource's tenant and sender, and its own `via`.
fn told(backend: &Server) -> BTreeMap<String, [String; 3]> {
    let text = |attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str| {
        let found = attributes.iter().find(|one| one.key == key);
        match found.and_then(|one| one.value.clone()?.value) {
            Some(Value::StringValue(text)) => text,
            None => "-".into(),
            other => panic!("{key}: {other:?}"),
        }
    };
    let mut all = BTreeMap::new();
    for request in backend.seen() {
        for resource in request.request.resource_spans {
            let of = resource.resource.unwrap_or_default().attributes;
            for span in resource.scope_spans.into_iter().flat_map(|it| it.spans) {
                let via = text(&span.attributes, "via");
                all.insert(span.name, [text(&of, "tenant"), text(&of, "sender"), via]);
            }
        }
    }
    all
}

fn address<'a>(node: &'a Node, receiver: &str, protocol: &str) -> &'a str {
    let mut listening = node.listening().iter();
    let found = listening.find(|it| it.receiver() == receiver && it.protocol() == protocol);
    found.unwrap().address()
}

#[test]
fn each_request_is_told_by_its_own_headers_through_a_batch_of_many() {
    let backend = Server::start(|_, _| Answer::ok());
    let text = TEXT.replace("BACKEND", &backend.address.to_string());
    let node = collector(&text).start().unwrap();
    assert!(node.warnings().is_empty(), "{:?}", node.warnings());
    let (grpc, http) = (
        address(&node, "otlp", "grpc").to_owned(),
        address(&node, "otlp", "http").to_owned(),
    );
    let plain = address(&node, "otlp/plain", "grpc").to_owned();

    let secret = ("x-secret", "hunter2");
    over_grpc(&grpc, "blue", &[("x-tenant", "blue"), secret]);
    over_grpc(&grpc, "red", &[("X-Tenant", "red"), ("x-via", "mesh")]);
    over_grpc(&grpc, "nobody", &[]);
    over_http(
        &http,
        "green",
        Encoding::Protobuf,
        &[("x-tenant", "green"), secret],
    );
    over_http(&http, "json", Encoding::Json, &[("x-via", "proxy")]);
    over_grpc(
        &plain,
        "plain",
        &[("x-tenant", "unseen"), ("x-via", "unseen")],
    );
    node.tracer("own").start("own").end();
    let shown = format!("{node:?}{}", node.metrics());
    assert!(
        !shown.contains("hunter2") && !shown.contains("blue"),
        "{shown}"
    );

    let account = node.shutdown(LONG);
    assert!(account.is_complete(), "{account}");
    let here = "127.0.0.1";
    let wanted = [
        ("blue", ["blue", here, "-"]),
        ("green", ["green", here, "-"]),
        ("json", ["-", here, "proxy"]),
        ("nobody", ["-", here, "-"]),
        ("own", ["-", "-", "-"]),
        ("plain", ["-", here, "-"]),
        ("red", ["red", here, "mesh"]),
    ];
    let wanted = wanted.map(|(name, of)| (name.to_owned(), of.map(str::to_owned)));
    assert_eq!(told(&backend), BTreeMap::from(wanted));
    for request in backend.seen() {
        assert!(!format!("{:?}", request.request).contains("hunter2"));
        assert!(!request.headers.contains_key("x-tenant"));
    }
}

#[test]
fn what_nobody_keeps_or_nobody_asks_for_is_warned_of() {
    let warned = |text: &str| {
        let collector = collector(&text.replace("BACKEND", "127.0.0.1:4317"));
        let warnings = collector.warnings().iter();
        warnings.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(warned(TEXT).is_empty());
    let nobody_keeps = TEXT.replace(", include_metadata: true", "");
    assert_eq!(
        warned(&nobody_keeps),
        [
            "11:3: processors::resource: finds no \"metadata.x-tenant\": no receiver that leads to it has `include_metadata`",
            "15:3: processors::attributes: finds no \"metadata.x-via\": no receiver that leads to it has `include_metadata`",
        ]
    );
    let nobody_asks = TEXT.replace(
        "[memory_limiter, batch, resource, attributes]",
        "[memory_limiter, batch]",
    );
    let warnings = warned(&nobody_asks);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for warning in warnings {
        assert!(
            warning.ends_with("include_metadata: has no effect: no processor behind it asks for metadata with `from_context`"),
            "{warning}"
        );
    }
}
