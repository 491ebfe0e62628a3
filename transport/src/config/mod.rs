//! Settings from outside, validated before anything is built from them.

// What `OTEL_*` variables say.
pub mod environment;
