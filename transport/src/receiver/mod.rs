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
//!   said nothing for [`BODY_STALL`] are cut for it, the longest silent first, and may come again.
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
pub use pressure::BODY_STALL;
pub use stats::ReceiverStats;
