//! Exporters: OTLP over gRPC and HTTP, files, and text for people.

// A request: the batch's own bytes, or what was made of them.
#[cfg(any(feature = "grpc", feature = "http"))]
mod body;

// One batch on its way to an OTLP server, whatever protocol carries it.
#[cfg(any(feature = "grpc", feature = "http"))]
mod call;

// An exporter at work.
#[cfg(any(feature = "grpc", feature = "http"))]
mod live;

// What exporters over every protocol are set to.
#[cfg(any(feature = "grpc", feature = "http"))]
mod settings;

// Batches as text for people.
#[cfg(feature = "debug")]
pub mod debug;

// Batches as OTLP JSON lines.
#[cfg(feature = "file")]
pub mod file;

// Batches over HTTP/2, as gRPC.
#[cfg(feature = "grpc")]
pub mod grpc;

// Batches over HTTP.
#[cfg(feature = "http")]
pub mod http;
