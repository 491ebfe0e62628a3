//! What a variable says arrives: at a server, or at an exporter.
#![cfg(all(feature = "grpc", feature = "gzip", feature = "tls"))]

use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use authority::Authority;
use server::{Answer, Received, Server};
use spanwire_core::attribute::KeyValue;
use spanwire_core::batch::Batch;
use spanwire_core::clock::Moment;
use spanwire_core::context::Link;
use spanwire_core::exporter::{Exporter, Outcome, Provisions, Reply};
use spanwire_core::pipeline::{Pipeline, Report};
use spanwire_core::testing::{InMemoryExporter, ManualClock};
use spanwire_transport::config::environment::Environment;
use spanwire_transport::diagnostics::Diagnostics;
use spanwire_transport::setup::Setup;
use waiting::eventually;

mod authority;
mod server;
#[path = "../../core/tests/waiting/mod.rs"]
mod waiting;

/// Long enough for anything that is not to take long, on a machine that has other things to do.
const LONG: Duration = Duration::from_secs(60);

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn setup(pairs: Pairs<'_>) -> Setup {
    let environment = Environment::from_pairs(pairs.iter().copied());
    assert_eq!(environment.problems, []);
    Setup::new(environment)
}

/// Sends so many spans as these variables say: five of everything in each, and values of 20 characters.
fn sent(pairs: Pairs<'_>, spans: usize, patience: Duration) -> Report {
    let pipeline = setup(pairs)
        .apply(Pipeline::builder(), &Diagnostics::silent())
        .build()
        .unwrap();
    let tracer = pipeline.tracer("test");
    let value = "x".repeat(20);
    let keys = ["a", "b", "c", "d", "e"];
    let attributes = keys.map(|key| KeyValue::new(key, &*value));
    let linked = tracer.span("linked").root().start();
    let context = linked.context().clone();
    drop(linked);
    for _ in 0..spans {
        let mut span = tracer.start("span");
        span.set_attributes(&attributes);
        for event in keys {
            span.add_event(event, &attributes);
            span.add_link(&Link::new(&context).with_attributes(&attributes));
        }
    }
    pipeline.shutdown(patience)
}

/// Has a server see what these variables make of so many spans.
fn seen(pairs: Pairs<'_>, spans: usize) -> Vec<Received> {
    let server = Server::start(|_, _| Answer::ok());
    let url = server.url();
    let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str())];
    all.extend_from_slice(pairs);
    let report = sent(&all, spans, LONG);
    assert!(report.is_complete(), "{pairs:?}: {report}");
    server.seen()
}

/// Attributes, events, links, attributes of an event and of a link, characters of a value.
fn shape(received: &[Received]) -> [usize; 6] {
    let resources = received
        .iter()
        .flat_map(|received| &received.request.resource_spans);
    let scopes = resources.flat_map(|resource| &resource.scope_spans);
    let mut spans = scopes.flat_map(|scope| &scope.spans);
    let span = spans.find(|span| span.name == "span").unwrap();
    let value = span.attributes[0].value.as_ref().unwrap();
    let text = format!("{value:?}");
    [
        span.attributes.len(),
        span.events.len(),
        span.links.len(),
        span.events[0].attributes.len(),
        span.links[0].attributes.len(),
        text.matches('x').count(),
    ]
}

#[test]
fn limits_of_spans() {
    assert_eq!(shape(&seen(&[], 1)), [5, 5, 5, 5, 5, 20]);
    for (variable, value, expected) in [
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "3", [3, 5, 5, 5, 5, 20]),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "3", [3, 5, 5, 5, 5, 20]),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "3", [5, 3, 5, 5, 5, 20]),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "3", [5, 5, 3, 5, 5, 20]),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "3", [5, 5, 5, 3, 5, 20]),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "3", [5, 5, 5, 5, 3, 20]),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "7", [5, 5, 5, 5, 5, 7]),
        (
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            "7",
            [5, 5, 5, 5, 5, 7],
        ),
    ] {
        assert_eq!(
            shape(&seen(&[(variable, value)], 1)),
            expected,
            "{variable}"
        );
    }
}

#[test]
fn sizes_of_batches() {
    let sizes = |pairs: Pairs<'_>| {
        let seen = seen(pairs, 9);
        let sizes: Vec<_> = seen.iter().map(Received::spans).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 10);
        sizes.into_iter().max()
    };
    assert_eq!(sizes(&[]), Some(10));
    let most = sizes(&[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")]);
    assert!(most.is_some_and(|most| most <= 4), "{most:?}");
}

/// Says how long an answer may take.
#[derive(Clone, Default)]
struct Waits {
    told: Arc<Mutex<Vec<Option<Duration>>>>,
    with: Option<Provisions>,
}

impl Exporter for Waits {
    fn begin(&mut self, provisions: &Provisions) {
        self.with = Some(provisions.clone());
    }

    fn export(&mut self, batch: Batch, reply: Reply) {
        let now = self
            .with
            .as_ref()
            .map_or(Moment::default(), |with| with.clock().moment());
        let left = reply
            .deadline()
            .map(|deadline| deadline.saturating_since(now));
        self.told.lock().unwrap().push(left);
        drop(batch);
        reply.done(Outcome::Exported);
    }
}

#[test]
fn the_time_that_an_export_may_take() {
    for (value, least, most) in [
        ("", Some(25), Some(30)),
        ("1000000", Some(995), Some(1000)),
        ("0", None, None),
    ] {
        let waits = Waits::default();
        let exporter = waits.clone();
        let pairs = [
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_BSP_EXPORT_TIMEOUT", value),
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ];
        let pipeline = setup(&pairs)
            .apply(Pipeline::builder(), &Diagnostics::silent())
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        pipeline.tracer("test").start("span").end();
        // A flush has no deadline for attempts; a shutdown has.
        assert!(pipeline.flush(LONG).is_complete());
        let told = waits.told.lock().unwrap()[0];
        let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        assert!(
            seconds(least) <= told && told <= seconds(most),
            "{value:?}: {told:?}"
        );
    }
}

#[test]
fn the_time_that_a_request_may_take() {
    // What the exporter gives up after, it tells the server: `grpc-timeout`, in the greatest unit that 8 digits hold.
    let told = |pairs: Pairs<'_>| {
        let mut all = vec![("OTEL_BSP_EXPORT_TIMEOUT", "0")];
        all.extend_from_slice(pairs);
        let text = seen(&all, 1)[0].headers["grpc-timeout"].clone();
        let (number, unit) = text.split_at(text.len() - 1);
        let number: u64 = number.parse().unwrap();
        let nanos = match unit {
            "n" => 1,
            "u" => 1_000,
            "m" => 1_000_000,
            "S" => 1_000_000_000,
            other => panic!("{other}"),
        };
        number * nanos / 1_000_000
    };
    assert!((5_000..=10_000).contains(&told(&[])));
    for (variable, beside) in [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", ("x", "")),
        (
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "20"),
        ),
    ] {
        let told = told(&[(variable, "40000"), beside]);
        assert!((35_000..=40_000).contains(&told), "{variable}: {told}");
    }
}

#[test]
fn how_long_spans_wait_for_others() {
    for (value, waits_at_least, at_most) in [("", 4, 6), ("1000", 0, 2), ("600000", 500, 601)] {
        let clock = ManualClock::new();
        let kept = InMemoryExporter::new();
        let exporter = kept.clone();
        let pairs = [
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_BSP_SCHEDULE_DELAY", value),
        ];
        let pipeline = setup(&pairs)
            .apply(Pipeline::builder(), &Diagnostics::silent())
            .clock(Arc::new(clock.clone()))
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        pipeline.tracer("test").start("span").end();
        // Who asks has the pipeline look at the clock.
        clock.advance(Duration::from_secs(waits_at_least));
        (0..5).for_each(|_| drop(pipeline.stats()));
        assert_eq!(kept.span_count(), 0, "{value:?}");
        clock.advance(Duration::from_secs(at_most - waits_at_least));
        eventually("the span is exported", || {
            drop(pipeline.stats());
            kept.span_count() == 1
        });
    }
}

#[test]
fn headers_and_compression() {
    let plain = seen(&[], 1);
    assert!(!plain[0].compressed && !plain[0].headers.contains_key("x-a"));
    for of in ["", "TRACES_"] {
        let headers = format!("OTEL_EXPORTER_OTLP_{of}HEADERS");
        let compression = format!("OTEL_EXPORTER_OTLP_{of}COMPRESSION");
        let seen = seen(&[(&headers, "x-a=b%20c"), (&compression, "gzip")], 1);
        assert!(seen[0].compressed, "{compression}");
        assert_eq!(seen[0].headers["x-a"], "b c", "{headers}");
    }
}

#[test]
fn whether_an_endpoint_without_a_scheme_is_insecure() {
    let arrives = |pairs: Pairs<'_>| {
        let server = Server::start(|_, _| Answer::ok());
        let bare = server.address.to_string();
        let mut all = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", bare.as_str())];
        all.extend_from_slice(pairs);
        let is_insecure = pairs.iter().any(|(_, value)| *value == "true");
        let patience = if is_insecure {
            LONG
        } else {
            Duration::from_millis(500)
        };
        sent(&all, 1, patience).is_complete()
    };
    assert!(!arrives(&[]), "it is TLS");
    for of in ["", "TRACES_", "SPAN_"] {
        let variable = format!("OTEL_EXPORTER_OTLP_{of}INSECURE");
        assert!(arrives(&[(&variable, "true")]), "{variable}");
    }
}

/// A file for one test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("spanwire-passed-on-{}-{name}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn certificates() {
    let authority = Authority::new();
    // It asks for a certificate.
    let shown = authority.server("localhost", Some(&authority), "h2");
    let server = Server::listen("127.0.0.1:0", |_, _| Answer::ok(), Some(shown));
    let url = format!("https://localhost:{}", server.address.port());
    let (chain, key) = authority.issue("agent");
    let files = [
        ("CERTIFICATE", Scratch::new("ca", &authority.pem())),
        ("CLIENT_CERTIFICATE", Scratch::new("crt", &chain)),
        ("CLIENT_KEY", Scratch::new("key", &key)),
    ];
    // For all of these variables, or all but one.
    let arrives = |of: &str, without: &str| {
        let mut pairs = vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), url.clone())];
        for (name, file) in &files {
            if !of.is_empty() {
                // The general ones are no good, and give way.
                let nothing = "/nothing/here.pem".to_owned();
                pairs.push((format!("OTEL_EXPORTER_OTLP_{name}"), nothing));
            }
            if *name != without {
                let path = file.0.display().to_string();
                pairs.push((format!("OTEL_EXPORTER_OTLP_{of}{name}"), path));
            }
        }
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let patience = match without {
            "" => LONG,
            _ => Duration::from_millis(500),
        };
        sent(&pairs, 1, patience).is_complete()
    };
    for of in ["", "TRACES_"] {
        assert!(arrives(of, ""), "{of}");
        for (name, _) in &files {
            assert!(!arrives(of, name), "{of}{name}");
        }
    }
}

/// Where nobody says so, it is gRPC, whatever the specification's default is.
#[test]
fn the_protocol_that_nobody_names() {
    let seen = seen(&[], 1);
    assert_eq!(seen[0].headers["content-type"], "application/grpc");
}
