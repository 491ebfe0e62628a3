//! OTLP bytes: written into fixed buffers, read in place.
//!
//! `opentelemetry/proto/trace/v1/trace.proto` and its neighbours; protobuf encoding guide.

// Field numbers and tags of the OTLP messages.
pub mod field;

// Base-128 numbers.
pub mod varint;

// Where encoded bytes go.
mod put;

// How long a text is.
mod text;

// Attributes, measured and written.
pub mod encode;

// Fields of any message.
pub mod raw;

// What the fields of each message are.
mod schema;

// Whether bytes are text.
mod utf8;

// Messages, read in place.
pub mod view;

// Bytes from outside, trusted after one walk.
pub mod validate;

// Requests and bodies, counted and cut.
pub mod split;

/// What a span is to its parent and children. OTLP `Span.SpanKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum SpanKind {
    /// An operation inside an application. The default.
    #[default]
    Internal = 1,
    /// The server's side of a request.
    Server = 2,
    /// The client's side of a request.
    Client = 3,
    /// The sender's side of a message that nobody awaits.
    Producer = 4,
    /// The receiver's side of such a message.
    Consumer = 5,
}

/// Whether the operation failed. OTLP `Status.StatusCode`, in rising order of finality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum StatusCode {
    /// Nobody has said. The default.
    #[default]
    Unset = 0,
    /// The application says that it succeeded; final.
    Ok = 1,
    /// It failed.
    Error = 2,
}
