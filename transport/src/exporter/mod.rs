//! What takes batches away.

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
