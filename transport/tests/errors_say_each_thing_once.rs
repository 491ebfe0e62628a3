//! Errors that have a cause say their own part and leave the rest to it.
#![cfg(all(
    feature = "config",
    feature = "grpc",
    feature = "health-check",
    feature = "http",
    feature = "receive-grpc",
    feature = "receive-http",
    feature = "tls"
))]

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use spanwire_core::batch::SplitError;
use spanwire_core::limiter::{Door, MemoryLimiter};
use spanwire_core::pipeline::{Branch, Pipeline};
use spanwire_core::testing::InMemoryExporter;
use spanwire_transport::config::Surroundings;
use spanwire_transport::config::collector::Config;
use spanwire_transport::diagnostics::{Chain, Diagnostics};
use spanwire_transport::exporter::grpc::GrpcExporter;
use spanwire_transport::exporter::http::HttpExporter;
use spanwire_transport::extension::health_check::HealthCheck;
use spanwire_transport::proxy::Proxies;
use spanwire_transport::receiver::grpc::GrpcReceiver;
use spanwire_transport::receiver::http::HttpReceiver;
use spanwire_transport::setup::collector::{Collector, StartError};
use spanwire_transport::tls::{ClientTls, ServerTls};

const NOWHERE: &str = "/nowhere/ca.crt";

/// The whole chain in one line, after a check that no link of it repeats the next.
fn whole(error: &(dyn Error + 'static)) -> String {
    let (mut link, mut parts) = (error, Vec::new());
    loop {
        parts.push(link.to_string());
        match link.source() {
            Some(next) => link = next,
            None => break,
        }
    }
    for pair in parts.windows(2) {
        assert!(!pair[0].contains(&pair[1]), "{parts:?}");
    }
    let text = Chain(error).to_string();
    assert_eq!(text, parts.join(": "));
    text
}

#[test]
fn of_exporters() {
    let tls = || ClientTls::new().roots_file(NOWHERE);
    let error = GrpcExporter::builder()
        .endpoint("https://localhost:4317")
        .tls(tls())
        .build()
        .unwrap_err();
    let text = whole(&error);
    assert!(
        text.starts_with("tls: ") && text.contains(NOWHERE),
        "{text}"
    );
    let error = HttpExporter::builder()
        .endpoint("https://localhost:4318")
        .tls(tls())
        .build()
        .unwrap_err();
    assert_eq!(whole(&error), text);
    let error = HttpExporter::builder().endpoint("ftp://h").build();
    assert!(whole(&error.unwrap_err()).starts_with("endpoint scheme 'ftp'"));
    let proxies = Proxies::from_pairs([("HTTP_PROXY", "socks5://h:1")]);
    let error = HttpExporter::builder()
        .endpoint("http://h:4318")
        .proxies(proxies)
        .build()
        .unwrap_err();
    assert!(
        whole(&error).ends_with(": proxy scheme 'socks5' is not http"),
        "{error}"
    );
}

#[test]
fn of_receivers_and_probes() {
    let pipeline = Pipeline::builder()
        .neighbours(8 << 20)
        .exporter(InMemoryExporter::new)
        .build()
        .unwrap();
    let tls = || ServerTls::files(NOWHERE, NOWHERE);
    let error = GrpcReceiver::builder().tls(tls()).serve(pipeline.intake());
    let text = whole(&error.unwrap_err());
    assert!(
        text.starts_with("tls: ") && text.contains(NOWHERE),
        "{text}"
    );
    let error = HttpReceiver::builder().tls(tls()).serve(pipeline.intake());
    assert_eq!(whole(&error.unwrap_err()), text);
    let error = GrpcReceiver::builder()
        .endpoint("ftp://h:1")
        .serve(pipeline.intake());
    assert!(whole(&error.unwrap_err()).starts_with("endpoint "));
    let error = HealthCheck::builder().endpoint("ftp://h:1").start();
    assert!(whole(&error.unwrap_err()).starts_with("endpoint "));
}

/// Of core: each has a source, and its own words are said before it.
#[test]
fn of_core() {
    let limiter = MemoryLimiter::builder(1000)
        .reserve(0)
        .own(0)
        .neighbours(1000)
        .spike(0);
    let limiter = limiter.build().unwrap();
    let door = limiter.door(Door::Neighbours);
    let refused = || door.acquire(2000).unwrap_err();
    let missing = refused().to_string();
    let uncovered = || {
        let permit = door.acquire(10).unwrap();
        permit.attach(vec![1; 1500]).unwrap_err()
    };
    let pipeline = || Pipeline::builder().exporter(InMemoryExporter::new);
    let taken = pipeline().neighbours(64 << 10).build().unwrap();
    let torn = taken.intake().offer(b"\x0a\x09").unwrap_err();
    // A span whose name is longer than the share.
    let nest = |tag: u8, inner: &[u8]| {
        let mut out = vec![tag];
        out.extend(
            (0..3).map(|at| (inner.len() >> (7 * at)) as u8 & 0x7f | if at < 2 { 0x80 } else { 0 }),
        );
        out.extend_from_slice(inner);
        out
    };
    let name = nest(0x2a, &vec![b'a'; 128 << 10]);
    let request = nest(0x0a, &nest(0x12, &nest(0x12, &name)));
    let no_room = taken.intake().offer(&request).unwrap_err();
    let of_rate = pipeline()
        .sampling_rate_per_million(-1)
        .build()
        .unwrap_err();
    let of_budget = pipeline().neighbours_spike(usize::MAX).build();
    let of_branch = pipeline().branch(Branch::new("a")).build().unwrap_err();
    for (error, own) in [
        (&torn as &dyn Error, "malformed request"),
        (&no_room, "no memory for the request"),
        (&SplitError::NoRoom(refused()), "no room to split a batch"),
        (&uncovered(), "memory of 1500 bytes has a permit for 10"),
        (&of_rate, "sampling_rate_per_million"),
        (&of_budget.unwrap_err(), "memory_limit"),
        (&of_branch, "branch"),
    ] {
        assert_eq!(error.to_string(), own);
        assert!(error.source().is_some(), "{own}");
        assert!(whole(error).starts_with(&format!("{own}: ")), "{own}");
    }
    assert_eq!(
        whole(&SplitError::NoRoom(refused())),
        format!("no room to split a batch: {missing}")
    );
}

struct Nothing;

impl Surroundings for Nothing {
    fn variable(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("there is none".into())
    }
}

#[test]
fn of_nodes() {
    const NODE: &str = "
receivers: {otlp: {protocols: {grpc: {endpoint: '127.0.0.1:0'}}}}
exporters: {otlp: {endpoint: '127.0.0.1:1', tls: {insecure: true}}}
service: {pipelines: {traces: {receivers: [otlp], exporters: [otlp]}}}
";
    let collector = || {
        let config = Config::load(NODE, &Nothing).unwrap();
        let collector = Collector::from_config(config).unwrap();
        collector.diagnostics(Diagnostics::silent())
    };
    let mut node = collector().start().unwrap();
    let unbuildable = || collector().memory_limit(1 << 10);
    let error = unbuildable().start().unwrap_err();
    assert!(matches!(error, StartError::Pipeline { .. }));
    let text = whole(&error);
    assert!(text.contains(": memory_limit: "), "{text}");
    let error = node
        .reload(unbuildable(), Duration::from_secs(30))
        .unwrap_err();
    assert_eq!(
        whole(&error),
        format!("the old configuration runs on: {text}")
    );
    drop(node.shutdown(Duration::from_secs(30)));
}
