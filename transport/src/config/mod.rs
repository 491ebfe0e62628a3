//! Settings from outside, validated before anything is built from them.
//!
//! What is read here is plain data: it opens no socket and builds no pipeline. With the feature `config` it comes from
//! files, too: the OpenTelemetry Collector's YAML and the `tracing` settings of Kubernetes, in which everything that is
//! wrong is reported at once, each fault with its position and the keys that lead to it.

// What `OTEL_*` variables say.
pub mod environment;

// What is wrong, and where.
#[cfg(feature = "config")]
mod fault;

// Spans of time as Go writes them.
#[cfg(feature = "config")]
mod duration;

// Text to values that know where they stand.
#[cfg(feature = "config")]
mod yaml;

// References to variables and files.
#[cfg(feature = "config")]
mod expand;

// How a section reads, checks and prints its keys.
#[cfg(feature = "config")]
mod keys;

// Receivers, processors, exporters, extensions and the pipelines between them.
#[cfg(feature = "config")]
pub mod collector;

// The `tracing` settings of kubelet and the API server.
#[cfg(feature = "config")]
pub mod kubernetes;

#[cfg(feature = "config")]
pub use expand::{Process, Surroundings};
#[cfg(feature = "config")]
pub use fault::{Fault, InvalidConfig, Position};
#[cfg(feature = "config")]
pub(crate) use keys::Walk;

#[cfg(all(test, feature = "config"))]
mod tests;
