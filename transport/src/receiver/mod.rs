//! What takes in the spans of neighbours.
//!
//! A receiver listens on a socket of this machine, loopback unless told otherwise, and offers what it is sent to a
//! pipeline's [`Intake`](spanwire_core::pipeline::Intake). Everything that it holds for others is granted by the neighbours'
//! share of the budget before it is allocated: a connection's windows when it is accepted, a body as it arrives, what is
//! decompressed as it comes out. Who would break a bound is refused, and told so; nobody else notices.
//!
//! - A connection is charged what its peer may make it hold: the flow-control window, and [`CONNECTION`] bytes for its
//!   buffers. All connections together take half of the share at most; when there is no room for another, one that has asked
//!   for nothing, or else the one that was idle longest, is asked to leave, and accepting pauses until it has.
//! - The bodies of one connection hold an eighth of the share at most, less what the connection itself was charged.
//! - A forked child that does not exec keeps the listening sockets open, though nobody answers on them there: their ports are taken
//!   for as long as it lives. What is executed inherits none of them.
//! - A body that arrives at less than [`SLOWEST`] bytes a second, [`GRACE`] aside, is cut.
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

// One connection: how long it may stay, and how much it may hold.
mod line;

// Accepting, and coming to an end.
mod listener;

// Bodies below any codec.
mod body;

// Bodies that come compressed.
mod inflate;

// Who may send.
mod bearer;

// Who sends, as far as processors ask.
#[cfg(any(feature = "receive-grpc", feature = "receive-http"))]
mod client;

// When it is answered.
mod wait;

// How one request is counted.
mod tally;

// The OTLP/gRPC receiver.
#[cfg(feature = "receive-grpc")]
pub mod grpc;

// The OTLP/HTTP receiver.
#[cfg(feature = "receive-http")]
pub mod http;

pub use bearer::{BearerTokens, InvalidToken};
pub use line::{CONNECTION, GRACE, SLOWEST, STALL};
pub use listener::{ListenError, Stopped};
pub use stats::ReceiverStats;
