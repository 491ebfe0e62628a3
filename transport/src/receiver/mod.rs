//! Receivers: what takes in the spans of neighbours.
//!
//! A receiver listens on a socket of this machine, loopback unless told otherwise, and offers what it is sent to a
//! pipeline's [`Intake`](spanwire_core::pipeline::Intake). Everything that it holds for others is granted by the neighbours'
//! share of the budget before it is allocated: what a connection takes when it is accepted, a body as it arrives, what is
//! decompressed as it comes out. Who would break a bound is refused, and told so; nobody else notices.
//!
//! - A connection is charged what its peer may make it hold: over HTTP/2 [`READ_AHEAD_BYTES`] that no request has taken yet, and
//!   [`CONNECTION_BYTES`] for its buffers; over HTTP/1.1 [`HTTP_CONNECTION_BYTES`]. All connections together take a third of the share at most, each receiver on it the
//!   same part; when there is no room for another, one is asked to leave that has asked for nothing, whose requests have
//!   stalled, or else that was idle longest, and accepting pauses until it has.
//! - The bodies of one connection hold an eighth of the share at most, less what the connection itself was charged.
//! - A forked child that does not exec keeps the listening sockets open, though nobody answers on them there: their ports are taken
//!   for as long as it lives. What is executed inherits none of them.
//! - A body that arrives at less than [`SLOWEST_BYTES_PER_SECOND`], [`BODY_GRACE`] aside, is cut.
//! - A request that finds no room waits for half a second at most, if it is bodies on their way that take it. Those that have
//!   said nothing for [`BODY_STALL`] are cut for it, the longest silent first, and may come again; on a connection that has sent
//!   no body whole yet, [`FIRST_BODY_STALL`] will do.
//!
//! # What bad input gets
//!
//! Each costs its sender an answer and nobody else anything: the next request on the same connection is served, where there is
//! one. What may come again says when, in `RetryInfo` and in `Retry-After`. Long words are cut off here.
//!
//! | what comes | over gRPC | over HTTP |
//! |---|---|---|
//! | bytes that are no protobuf | `INVALID_ARGUMENT: malformed request: field ends after its message at byte 0` | `400: malformed request: field ends after its message at byte 0` |
//! | a message that ends too early | `INVALID_ARGUMENT: malformed request: field ends after its message at byte 0 in resource_spans` | `400: malformed request: field ends after its message at byte 0 in resource_spans` |
//! | a name that is not UTF-8 | `INVALID_ARGUMENT: malformed request: text is not UTF-8 at byte 6 in resource_spans.scope_spans.spans..` | `400: malformed request: text is not UTF-8 at byte 6 in resource_spans.scope_spans.spans.name` |
//! | a trace id of 15 bytes | `INVALID_ARGUMENT: malformed request: id has the wrong length at byte 6 in resource_spans.scope_spans..` | `400: malformed request: id has the wrong length at byte 6 in resource_spans.scope_spans.spans.trace_..` |
//! | a span id of 7 bytes | `INVALID_ARGUMENT: malformed request: id has the wrong length at byte 6 in resource_spans.scope_spans..` | `400: malformed request: id has the wrong length at byte 6 in resource_spans.scope_spans.spans.span_i..` |
//! | arrays in arrays, 120 deep | `INVALID_ARGUMENT: malformed request: messages are nested too deeply at byte 300 in resource_spans.re..` | `400: malformed request: messages are nested too deeply at byte 300 in resource_spans.resource.attrib..` |
//! | JSON that ends too early | - | `400: malformed request: resourceSpans[0]: EOF while parsing a list at line 1 column 18` |
//! | JSON with a list for an object | - | `400: malformed request: expected an object at line 1 column 0` |
//! | JSON with a trace id of 4 digits | - | `400: malformed request: resourceSpans[0].scopeSpans[0].spans[0].traceId: id has 4 hexadecimal digits..` |
//! | a message of twice the bytes that are allowed | `RESOURCE_EXHAUSTED: received message larger than max (8388608 vs. 4194304)` | `413: received message larger than max (8388608 vs. 4194304)` |
//! | twice those bytes, compressed to a few KiB | `RESOURCE_EXHAUSTED: received message after decompression larger than max 4194304` | `413: received message after decompression larger than max 4194304` |
//! | gzip that is none | `INVALID_ARGUMENT: body is no gzip: invalid gzip header` | `400: body is no gzip: invalid gzip header` |
//! | a compression that is not known | `UNIMPLEMENTED: grpc-encoding 'br' is none of identity,deflate,gzip,zstd` | `400: unsupported Content-Encoding: br; supported: identity,deflate,gzip,zstd` |
//! | another content type | `INVALID_ARGUMENT: content-type 'text/plain' is not application/grpc` | `415: 415 unsupported media type, supported: [application/json, application/x-protobuf]` |
//! | another path | `UNIMPLEMENTED: method /x.Y/Z is not served here` | `404: 404 page not found` |
//! | another method than POST | `UNIMPLEMENTED: method GET is not POST` | `405: 405 method not allowed, supported: [POST]` |
//! | no bearer token where one is asked for | `UNAUTHENTICATED: there is no bearer token` | `401: there is no bearer token` |
//! | a body that stalls | `UNAVAILABLE: body is slower than 65536 bytes a second`, again after 1 s | `503: body is slower than 65536 bytes a second`, again after 1 s |
//! | anything, with no memory left for it | `UNAVAILABLE: no memory for the request: memory share 'neighbours' is above its soft limit`, again after 1 s | `503: no memory for the request: memory share 'neighbours' is above its soft limit`, again after 1 s |
#![cfg_attr(
    not(any(feature = "receive-grpc", feature = "receive-http")),
    allow(
        dead_code,
        unused_imports,
        reason = "what receivers stand on is of no use without one"
    )
)]

// The sockets themselves.
pub(crate) mod socket;

// What happened, in numbers.
mod stats;

// Who needs room in a share, and who is in the way.
mod pressure;

// One connection: how long it may stay, and how much it may hold.
mod connection;

// Which connections there are, and who leaves for another.
mod members;

// Accepting connections.
mod acceptor;

// Listening, from the socket to the end.
pub(crate) mod listener;

// Bodies below any codec.
mod body;

// Bodies that come compressed.
pub(crate) mod inflate;

// Who may send.
mod bearer;

// Who sends, as far as processors ask.
#[cfg(any(feature = "receive-grpc", feature = "receive-http"))]
mod client;

// When it is answered.
mod wait;

// How one request is counted.
mod tally;

// What requests of every protocol have in common.
#[cfg(any(feature = "receive-grpc", feature = "receive-http"))]
mod request;

// What receivers of every protocol are set to.
#[cfg(any(feature = "receive-grpc", feature = "receive-http"))]
mod settings;

// The OTLP/gRPC receiver.
#[cfg(feature = "receive-grpc")]
pub mod grpc;

// The OTLP/HTTP receiver.
#[cfg(feature = "receive-http")]
pub mod http;

pub use bearer::{BearerTokens, InvalidToken};
pub use connection::{
    BODY_GRACE, CONNECTION_BYTES, HTTP_CONNECTION_BYTES, READ_AHEAD_BYTES, SLOWEST_BYTES_PER_SECOND,
};
pub use listener::{ListenError, Stopped};
pub use pressure::{BODY_STALL, FIRST_BODY_STALL};
pub use stats::ReceiverStats;
