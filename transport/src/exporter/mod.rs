//! What takes batches away.

// Batches over OTLP/gRPC.
#[cfg(feature = "grpc")]
pub mod grpc;

// Batches as text for people.
#[cfg(feature = "debug")]
pub mod debug;

// Batches as OTLP JSON lines.
#[cfg(feature = "file")]
pub mod file;
