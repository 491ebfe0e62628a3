//! The rules of OTLP that need no I/O: framing, and what an answer means for a batch.
//!
//! OpenTelemetry protocol 1.x. Everything here is a function of bytes and numbers, tested as a table.

mod frame;
mod response;

pub mod grpc;

pub mod refusal;

#[cfg(feature = "http")]
pub mod http;

// What stands side by side in a batch.
#[cfg(feature = "json")]
pub(crate) mod runs;

// OTLP as JSON text.
#[cfg(feature = "json")]
pub mod json;

pub use frame::{FRAME_PREFIX, FrameError, frame_prefix, read_frame};
pub use response::{PartialSuccess, outcome_of_response};

/// The path of a gRPC export. OTLP specification, "OTLP/gRPC".
pub const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The path of an HTTP export below a base URL. OTLP specification, "OTLP/HTTP Request".
pub const HTTP_PATH: &str = "v1/traces";

/// The most bytes of a request before compression: clients refuse to send more. OTLP specification, "OTLP/gRPC Request
/// Size" and "OTLP/HTTP Request Size".
pub const MAX_REQUEST: usize = 64 << 20;

/// The most bytes of an answer that are read. The specification allows 4 MiB; an answer has a number and a sentence in it.
pub const MAX_RESPONSE: usize = 64 << 10;

/// The user agent of exporters: the product, and what the specification calls it. OTLP specification, "User Agent".
pub const USER_AGENT: &str = concat!(
    "Spanwire/",
    env!("CARGO_PKG_VERSION"),
    " OTel-OTLP-Exporter-Rust/",
    env!("CARGO_PKG_VERSION")
);

/// The most characters of a server's text that are kept.
const MOST_CHARS: usize = 200;

/// A text from outside, fit for a line of a log: no control characters, not long.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .take(MOST_CHARS)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
