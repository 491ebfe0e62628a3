//! The doors of Spanwire: what moves the bytes of [`spanwire_core`] over sockets, files and runtimes.
//!
//! The core decides what is sent, when, and what happens when it fails; this crate sends it. An exporter here takes a
//! [`Batch`](spanwire_core::batch::Batch), puts its bytes on a wire as they are, and says what the server made of them. A
//! receiver reads what neighbours send into memory that is granted, and offers it to an
//! [`Intake`](spanwire_core::pipeline::Intake).
//!
#![cfg_attr(
    feature = "grpc",
    doc = "```
use core::time::Duration;
use spanwire_core::pipeline::Pipeline;
use spanwire_transport::exporter::grpc::GrpcExporter;

let exporter = GrpcExporter::builder().endpoint(\"http://127.0.0.1:4317\").build()?;
let pipeline = Pipeline::builder()
    .service_name(\"agent\")
    .exporter(move || exporter.clone())
    .build()?;
pipeline.tracer(\"agent\").start(\"sync\").end();
// Nobody listens there: the report says so.
let report = pipeline.shutdown(Duration::from_millis(50));
println!(\"{report}\");
# Ok::<(), Box<dyn core::error::Error>>(())
```"
)]
//!
//! The modules stand in walking order: each knows only those above it.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(any(feature = "grpc", feature = "http")),
    allow(
        dead_code,
        unused_imports,
        reason = "what exporters stand on is of no use without one"
    )
)]

// What is said to people, and how often.
pub mod diagnostics;

// Dates and times of day.
#[cfg(any(feature = "debug", feature = "health-check"))]
mod calendar;

// How a pipeline stands, in numbers for a scraper.
pub mod telemetry;

// The rules of OTLP: framing, JSON, answers and what they mean. Pure.
pub mod otlp;

// Where a server is.
pub mod endpoint;

// What is sent along with every request; values stay secret.
pub mod headers;

// What stands before a server.
#[cfg(feature = "http")]
pub mod proxy;

// Smaller requests.
pub mod compression;

// Who a server is, and who we are.
#[cfg(feature = "tls")]
pub mod tls;

// What runs the network.
#[cfg(feature = "runtime")]
pub mod runtime;

// The way to a server: sockets, TLS around them.
#[cfg(feature = "runtime")]
mod dial;

// What takes batches away.
pub mod exporter;

// What takes in the spans of neighbours.
#[cfg(feature = "listen")]
pub mod receiver;

// What stands beside pipelines: whether the program is well, and its numbers.
#[cfg(any(feature = "health-check", feature = "metrics-endpoint"))]
pub mod extension;

// Settings from outside, validated.
pub mod config;

// A pipeline as the environment asks for it, or a Collector's configuration.
pub mod setup;

// The example of the README is a test.
#[cfg(all(doctest, feature = "grpc", feature = "config"))]
#[doc = include_str!("../../README.md")]
struct Readme;
