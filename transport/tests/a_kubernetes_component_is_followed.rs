//! A tracing configuration of Kubernetes, running: what it records, where it sends it, and what of the environment counts.
#![cfg(all(feature = "config", feature = "grpc"))]

use std::time::Duration;

use server::{Answer, Server};
use spanwire_core::context::{SpanContext, TraceFlags, TraceState};
use spanwire_core::pipeline::Pipeline;
use spanwire_transport::config::environment::Environment;
use spanwire_transport::config::kubernetes::TracingConfiguration;
use spanwire_transport::diagnostics::Diagnostics;
use spanwire_transport::setup::Setup;

mod server;

const LONG: Duration = Duration::from_secs(30);

/// Names of spans that arrived, of a root and of children of spans that were sampled and were not, and whether the child of
/// a sampled one passes a sampled context on.
fn sent(server: &Server, tracing: &str, environment: &[(&str, &str)]) -> (String, bool) {
    let tracing = TracingConfiguration::from_kubelet(tracing).unwrap();
    let environment = Environment::from_pairs(environment.iter().copied());
    let pipeline = Setup::new(environment)
        .kubernetes(tracing.as_ref())
        .unwrap()
        .apply(Pipeline::builder(), &Diagnostics::silent())
        .service_name("kubelet")
        .build()
        .unwrap();
    let tracer = pipeline.tracer("kubelet");
    tracer.start("root").end();
    let parent = |flags| {
        SpanContext::new(
            "0af7651916cd43dd8448eb211c80319c".parse().unwrap(),
            "b7ad6b7169203331".parse().unwrap(),
            flags,
            true,
            TraceState::EMPTY,
        )
    };
    let (sampled, other) = (parent(TraceFlags::SAMPLED), parent(TraceFlags::default()));
    let child = tracer.span("child").child_of(&sampled).start();
    let context = child.context().clone();
    child.end();
    tracer.span("other").child_of(&other).start().end();
    assert_eq!(context.trace_id(), sampled.trace_id());
    let report = pipeline.shutdown(LONG);
    assert_eq!(report.lost(), 0, "{report}");
    let mut names: Vec<_> = server
        .seen()
        .iter()
        .flat_map(|request| request.request.resource_spans.clone())
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .map(|span| span.name)
        .collect();
    names.sort();
    (names.join(" "), context.is_sampled())
}

#[test]
fn spans_are_kept_as_kubernetes_keeps_them() {
    for (tracing, wanted) in [
        (
            "tracing: {endpoint: 'HERE', samplingRatePerMillion: 1000000}",
            "child root",
        ),
        (
            "tracing: {endpoint: 'HERE', samplingRatePerMillion: 0}",
            "child",
        ),
        ("tracing: {endpoint: 'HERE'}", "child"),
        ("kind: KubeletConfiguration", ""),
    ] {
        // What the environment says of samplers, exporters and protocols is the business of other programs.
        let server = Server::start(|_, _| Answer::ok());
        let tracing = tracing.replace("HERE", &server.address.to_string());
        let environment = [
            ("OTEL_TRACES_SAMPLER", "always_on"),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "cluster=c-1"),
        ];
        let (names, _) = sent(&server, &tracing, &environment);
        assert_eq!(names, wanted, "{tracing}");
        for request in server.seen() {
            assert_eq!(request.headers["cluster"], "c-1");
        }
    }
}

#[test]
fn where_spans_go_is_the_configurations_to_say_and_then_the_environments_and_never_under_tls() {
    for (endpoint, variable) in [
        ("endpoint: 'HERE', ", "http://127.0.0.1:1"),
        ("endpoint: 'dns:///HERE', ", "http://127.0.0.1:1"),
        ("", "https://HERE"),
        ("", "HERE"),
        ("endpoint: '', ", "http://HERE/"),
    ] {
        let server = Server::start(|_, _| Answer::ok());
        let here = server.address.to_string();
        let tracing = format!("tracing: {{{endpoint}samplingRatePerMillion: 1000000}}");
        let environment = [(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &*variable.replace("HERE", &here),
        )];
        let (names, _) = sent(&server, &tracing.replace("HERE", &here), &environment);
        assert_eq!(names, "child root", "{endpoint} {variable}");
    }
}

#[test]
fn an_endpoint_that_nobody_could_connect_to_is_named() {
    for (endpoint, wanted) in [
        ("http://a:1", "tracing.endpoint: unsupported scheme: http. "),
        ("unix://path/to/socket", "tracing.endpoint: "),
        (
            "localhost",
            "tracing.endpoint: host 'localhost' has no port after it",
        ),
    ] {
        let mut tracing = TracingConfiguration::default();
        tracing.endpoint = Some(endpoint.into());
        let setup = Setup::new(Environment::default()).kubernetes(Some(&tracing));
        let error = setup.unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{error}");
    }
}
