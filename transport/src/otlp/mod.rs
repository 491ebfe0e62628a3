//! What OTLP says beyond its messages: pure, without I/O.

// What stands side by side in a batch.
#[cfg(feature = "json")]
pub(crate) mod runs;

// OTLP as JSON text.
#[cfg(feature = "json")]
pub mod json;
