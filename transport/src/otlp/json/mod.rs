//! OTLP as JSON text.
//!
//! OTLP specification, "JSON Protobuf Encoding": the JSON mapping of proto3 with these differences. Trace and span ids
//! are hexadecimal, not base64; enums are written as numbers, never names, and fields in lowerCamelCase, never
//! snake_case; unknown fields are ignored.
//!
//! [`Json`] writes spans from their bytes, without a tree in between. With the feature `json-read`,
//! [`read_request`](read::read_request) turns text into the bytes of the same message.

// Spans as text.
mod write;

// Text as protobuf.
#[cfg(feature = "json-read")]
pub mod read;

// Answers of a server as text.
mod answer;

pub use answer::{write_response, write_status};
pub use write::Json;
#[cfg(feature = "debug")]
pub(crate) use write::{Base64, Plain, entity_refs};
