//! A tracing pipeline that lives inside another program.
//!
//! A span is encoded once, as OTLP protobuf, at the moment it ends, straight into a block of a bounded ring. From
//! there to the socket it is bytes: batching lists blocks, memory accounting counts bytes, a retry sends the same
//! bytes again.
//!
//! ```text
//!  DOOR A: this program's code
//!    Tracer -> Sampler -> Span --end--> Ring (sharded blocks) --seal--+
//!                                                                     |
//!  DOOR B: neighbours                                                 +--> log --> stages --> Lane -> Exporter
//!    receiver -> validate -> Intake ----------segment-----------------+                  \--> Lane -> Exporter
//! ```
//!
//! A program builds a [`Pipeline`](pipeline::Pipeline) with an [`Exporter`](exporter::Exporter), takes a
//! [`Tracer`](tracer::Tracer) from it, and starts [`Span`](span::Span)s:
//!
//! ```
//! # #[cfg(all(feature = "std", feature = "testing"))] {
//! use core::time::Duration;
//! use spanwire_core::pipeline::Pipeline;
//! use spanwire_core::testing::InMemoryExporter;
//!
//! let kept = InMemoryExporter::new();
//! let exporter = kept.clone();
//! let pipeline =
//!     Pipeline::builder().service_name("agent").exporter(move || exporter.clone()).build()?;
//! let tracer = pipeline.tracer("agent::sync");
//! let mut span = tracer.start("sync pod");
//! span.set_attribute("k8s.pod.name", "web-0");
//! tracer.span("mount").child_of(span.context()).start().end();
//! span.end();
//! assert!(pipeline.shutdown(Duration::from_secs(5)).is_complete());
//! assert_eq!(kept.span_names(), ["mount", "sync pod"]);
//! # }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Without a feature the crate needs no allocator and has no dependency: spans end in a `static` ring, and a superloop drives the
//! rest. `alloc` adds batches, processors and the engine; `std` adds the pipeline, its thread, and the system's clocks and ids;
//! `testing` adds what the tests of programs need.
//!
//! The modules stand in walking order: each knows only those above it.
#![no_std]
#![deny(unsafe_code)]
// What needs no `std` says so by its paths; tests run where `std` is.
#![cfg_attr(
    not(test),
    warn(
        clippy::alloc_instead_of_core,
        clippy::std_instead_of_alloc,
        clippy::std_instead_of_core
    )
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Tests allocate in every tier.
#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

// The one door to atomics and cells.
mod sync;

// Sets of small numbers that threads share.
mod bitmap;

// Names of traces and spans.
pub mod id;

// What time it is.
pub mod clock;

// Which thread this is: a small number, reused.
mod thread;

// Which process this is: a forked child counts one more.
#[cfg(feature = "std")]
mod fork;

// Where ids come from.
pub mod random;

// Every span counted out exactly once.
pub mod stats;

// What is said about a span.
pub mod attribute;

// OTLP bytes: written into fixed buffers, read in place.
pub mod wire;

// Who is speaking.
pub mod resource;

// What crosses a process boundary.
pub mod context;

// Context as header text.
pub mod propagation;

// Which traces are kept.
pub mod sampler;

// How much memory there is.
#[cfg(feature = "alloc")]
pub mod limiter;

// Where ended spans wait; a room with `unsafe`.
pub mod ring;

// What a span needs to be recorded.
pub mod recorder;

// The live handle.
pub mod span;

// The span this thread is in.
#[cfg(feature = "std")]
pub mod current;

// What starts spans.
pub mod tracer;

// Blocks, listed.
#[cfg(feature = "alloc")]
pub mod batch;

// What may change or drop a batch.
#[cfg(feature = "alloc")]
pub mod processor;

// What takes a batch away.
#[cfg(feature = "alloc")]
pub mod exporter;

// The only brain: no thread, no clock, no I/O.
#[cfg(feature = "alloc")]
pub mod engine;

// The thread that turns the crank.
#[cfg(feature = "std")]
mod worker;

// The whole, built and closed.
#[cfg(feature = "std")]
pub mod pipeline;

// For the tests of programs that link Spanwire.
#[cfg(feature = "testing")]
pub mod testing;
