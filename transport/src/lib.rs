//! The doors of Spanwire: what moves the bytes of [`spanwire_core`] over sockets, files and runtimes.
//!
//! The core decides what is sent, when, and what happens when it fails; this crate sends it. An exporter here takes a
//! [`Batch`](spanwire_core::batch::Batch), puts its bytes on a wire as they are, and says what the server made of them.
//!
//! The modules stand in walking order: each knows only those above it.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(
    dead_code,
    unused_imports,
    reason = "what stands here is for exporters, and the first is being built"
)]

// The rules of OTLP: framing, answers and what they mean. Pure.
pub mod otlp;

// Where a server is.
pub mod endpoint;

// What is sent along with every request; values stay secret.
pub mod headers;

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
