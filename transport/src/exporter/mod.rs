//! What takes batches away.

#[cfg(feature = "grpc")]
pub mod grpc;
