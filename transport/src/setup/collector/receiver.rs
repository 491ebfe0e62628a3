//! Receivers as their sections say.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use spanwire_core::pipeline::Intake;

use super::Host;
use crate::config::Walk;
#[cfg(not(all(feature = "receive-grpc", feature = "receive-http")))]
use crate::config::collector;
use crate::config::collector::{Config, Receiver};
#[cfg(feature = "listen")]
use crate::receiver::{ReceiverStats, Stopped};

// OTLP over gRPC.
#[cfg(feature = "receive-grpc")]
mod grpc;

// OTLP over HTTP.
#[cfg(feature = "receive-http")]
mod http;

// What both are told.
#[cfg(any(feature = "receive-grpc", feature = "receive-http"))]
mod shared;

/// A receiver that listens. Dropped, it ends.
pub(super) trait Open: Send + Sync {
    fn local_addr(&self) -> Option<SocketAddr>;
    /// Why it takes nothing in any more.
    #[cfg(feature = "listen")]
    fn failure(&self) -> Option<&str>;
    #[cfg(feature = "listen")]
    fn stats(&self) -> ReceiverStats;
    /// Begins to stop, and returns at once.
    #[cfg(feature = "listen")]
    fn begin_to_stop(&self, within: Duration);
    /// Comes to an end.
    #[cfg(feature = "listen")]
    fn stop(&self, within: Duration) -> Stopped;
}

/// When who sends is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(feature = "receive-grpc", feature = "receive-http")),
    allow(dead_code, reason = "there is no receiver to be told")
)]
pub(super) enum Answer {
    /// When its spans are admitted.
    AtOnce,
    /// When processors have passed them on, or after that time.
    AfterProcessors(Duration),
    /// When they are exported, within that time.
    AfterExport(Duration),
}

type Serve = Arc<dyn Fn(Intake) -> Result<Box<dyn Open>, String> + Send + Sync>;

/// One protocol of a receiver, validated.
#[derive(Clone)]
pub(super) struct Entrance {
    /// The receiver.
    pub(super) id: String,
    /// `grpc` or `http`.
    pub(super) protocol: &'static str,
    /// Where it listens, as its section says.
    pub(super) endpoint: String,
    serve: Serve,
}

impl Entrance {
    /// What a section asks for, protocol by protocol. What can't be had is told to `walk`. `answer` says when who
    /// sends is answered, and `asked` what processors want to know about it; `config` has those who check it.
    pub(super) fn all(
        id: &str,
        receiver: &Receiver,
        answer: Answer,
        asked: &[String],
        host: &Host,
        config: &Config,
        walk: &mut Walk,
    ) -> Vec<Self> {
        let Receiver::Otlp(section) = receiver;
        let mut all = Vec::new();
        walk.within("protocols", |walk| {
            if let Some(section) = &section.protocols.grpc {
                let serve = walk.within("grpc", |walk| {
                    grpc(section, answer, asked, host, config, walk)
                });
                all.extend(serve.map(|serve| Self {
                    id: id.into(),
                    protocol: "grpc",
                    endpoint: section.endpoint.clone(),
                    serve,
                }));
            }
            if let Some(section) = &section.protocols.http {
                let serve = walk.within("http", |walk| {
                    http(section, answer, asked, host, config, walk)
                });
                all.extend(serve.map(|serve| Self {
                    id: id.into(),
                    protocol: "http",
                    endpoint: section.endpoint.clone(),
                    serve,
                }));
            }
        });
        all
    }

    /// Listens, and offers what comes to `intake`.
    pub(super) fn serve(&self, intake: Intake) -> Result<Box<dyn Open>, String> {
        (self.serve)(intake)
    }

    /// The keys that lead to it.
    pub(super) fn path(&self) -> String {
        path(&self.id, self.protocol)
    }
}

/// The keys that lead to a protocol of a receiver.
pub(super) fn path(receiver: &str, protocol: &str) -> String {
    format!("receivers::{receiver}::protocols::{protocol}")
}

#[cfg(test)]
#[cfg(any(feature = "receive-grpc", feature = "receive-http"))]
pub(super) use self::shared::endpoint;

#[cfg(feature = "receive-grpc")]
use self::grpc::serve as grpc;
#[cfg(feature = "receive-http")]
use self::http::serve as http;

#[cfg(not(feature = "receive-grpc"))]
fn grpc(
    _: &collector::GrpcServer,
    _: Answer,
    _: &[String],
    _: &Host,
    _: &Config,
    walk: &mut Walk,
) -> Option<Serve> {
    super::not_built_in("receive-grpc", walk);
    None
}

#[cfg(not(feature = "receive-http"))]
fn http(
    _: &collector::HttpServer,
    _: Answer,
    _: &[String],
    _: &Host,
    _: &Config,
    walk: &mut Walk,
) -> Option<Serve> {
    super::not_built_in("receive-http", walk);
    None
}
