//! Settings of the gRPC receiver.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use spanwire_core::pipeline::Intake;

use super::handler::Handler;
use super::{GrpcReceiver, Http2};
use crate::receiver::acceptor::Listening;
use crate::receiver::bearer::BearerTokens;
use crate::receiver::connection::{CONNECTION_BYTES, READ_AHEAD_BYTES, Stay};
use crate::receiver::listener::{ListenError, Listener};
use crate::receiver::request::{Admission, Treatment, some};
use crate::receiver::settings::shared_methods;
use crate::receiver::wait::Wait;
use crate::runtime::Runtime;

/// The bytes a client says before anything else. RFC 9113, 3.4.
const PREFACE: u64 = 24;

/// The least bytes of a connection's window: what HTTP/2 begins with (RFC 9113, 6.9.2), and a little. The most.
const LEAST_WINDOW: u32 = 64 << 10;
const MOST_WINDOW: u32 = 16 << 20;

/// Builds a [`GrpcReceiver`]. Names are those of the Collector's `otlp` receiver and of gRPC's server parameters, where they
/// have them.
///
/// ```
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::testing::InMemoryExporter;
/// use spanwire_transport::receiver::grpc::GrpcReceiver;
///
/// let exporter = InMemoryExporter::new();
/// let pipeline =
///     Pipeline::builder().neighbours(8 << 20).exporter(move || exporter.clone()).build()?;
/// let wrong = GrpcReceiver::builder().endpoint("localhost").serve(pipeline.intake());
/// assert_eq!(wrong.unwrap_err().to_string(), "endpoint host 'localhost' has no port after it");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `serve`"]
pub struct GrpcReceiverBuilder {
    listening: Listening,
    http2: Http2Settings,
    treatment: Treatment,
    max_message: usize,
}

/// How HTTP/2 is spoken.
#[derive(Clone, Debug)]
pub(super) struct Http2Settings {
    pub(super) max_streams: u32,
    /// Bytes.
    pub(super) window: u32,
    pub(super) keepalive_time: Option<Duration>,
    pub(super) keepalive_timeout: Duration,
}

impl GrpcReceiverBuilder {
    pub(super) fn new() -> Self {
        Self {
            listening: Listening {
                endpoint: "127.0.0.1:4317".into(),
                max_connections: 1024,
                connection_bytes: READ_AHEAD_BYTES + CONNECTION_BYTES,
                stay: Stay {
                    handshake: Duration::from_secs(10),
                    opening: PREFACE,
                    max_idle: None,
                    max_age: None,
                    age_grace: None,
                },
                runtime: Runtime::own(),
                #[cfg(feature = "tls")]
                alpn: &[b"h2"],
                #[cfg(feature = "tls")]
                tls: None,
            },
            http2: Http2Settings {
                max_streams: 100,
                window: 1 << 20,
                keepalive_time: Some(Duration::from_secs(2 * 3600)),
                keepalive_timeout: Duration::from_secs(20),
            },
            treatment: Treatment::default(),
            max_message: 4 << 20,
        }
    }

    /// Where to listen: `host:port`, with port 0 for any that is free, `unix:/path` or `unix-abstract:name`. Default:
    /// `127.0.0.1:4317`, which only this machine reaches.
    ///
    /// The file of a socket is removed at the end. One that is there already is replaced if nobody answers on it.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.listening.endpoint = endpoint.into();
        self
    }

    /// The most bytes of a message, before and after decompression; a larger one is refused as `RESOURCE_EXHAUSTED`. At
    /// least 1. Default: 4 MiB, as in the Collector.
    ///
    /// A message has to fit what one connection may hold as well, which is an eighth of the neighbours' share.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message = bytes.max(1);
        self
    }

    /// The most requests under way on one connection; clients wait with others. At least 1. Default: 100.
    pub fn max_concurrent_streams(mut self, streams: u32) -> Self {
        self.http2.max_streams = streams.max(1);
        self
    }

    /// The bytes that a client may send on a connection before it hears that they were taken: the flow-control window. From
    /// 64 KiB to 16 MiB. Default: 1 MiB. A stream has 256 KiB of them at most.
    ///
    /// It costs no memory here: no more than [`READ_AHEAD_BYTES`](crate::receiver::READ_AHEAD_BYTES) are read that no request
    /// has taken. With a smaller one clients wait more often; with a larger one more
    /// is on its way in vain when a request is refused.
    pub fn connection_window(mut self, bytes: usize) -> Self {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.http2.window = bytes.clamp(LEAST_WINDOW, MOST_WINDOW);
        self
    }

    shared_methods!();

    /// How long TLS and the opening of HTTP/2 may take together; zero: as long as they like. Default: 10 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.listening.stay.handshake = some(timeout).unwrap_or(Duration::MAX);
        self
    }

    /// How long a connection may be without a request before it is asked to leave; zero: for ever, as long as nobody else
    /// needs its place. Default: for ever, as in gRPC.
    pub fn max_connection_idle(mut self, idle: Duration) -> Self {
        self.listening.stay.max_idle = some(idle);
        self
    }

    /// How old a connection may become before it is asked to leave, give or take a tenth; zero: as old as it likes. Default:
    /// as old as it likes, as in gRPC.
    pub fn max_connection_age(mut self, age: Duration) -> Self {
        self.listening.stay.max_age = some(age);
        self
    }

    /// How long requests may take to end on a connection that is too old; zero: as long as they like. Default: as long as
    /// they like, as in gRPC.
    pub fn max_connection_age_grace(mut self, grace: Duration) -> Self {
        self.listening.stay.age_grace = some(grace);
        self
    }

    /// After what time of silence a client is asked whether it is still there; zero: never. Default: 2 h, as in gRPC.
    ///
    /// How often a client asks the same is not enforced: gRPC's servers send those away that ping more often than every five
    /// minutes; here a ping is answered, holds nothing, and a connection that does nothing else counts as idle.
    pub fn keepalive_time(mut self, time: Duration) -> Self {
        self.http2.keepalive_time = some(time);
        self
    }

    /// How long a client has to answer that before its connection is closed. At least 1 ms. Default: 20 s, as in gRPC.
    pub fn keepalive_timeout(mut self, timeout: Duration) -> Self {
        self.http2.keepalive_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// What clients that are refused for now are told to wait; zero: they may come at once. Default: 1 s.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.treatment.retry_after = wait;
        self
    }

    /// Answers a request when every exporter has sent its spans, and not as soon as they are admitted; zero: as soon as they
    /// are. Default: zero.
    ///
    /// A client hears the status of a server that refused its spans for good, unchanged, `INTERNAL` where it gave none, `UNAVAILABLE` when they were lost on the way, and
    /// `DEADLINE_EXCEEDED` when neither is known `within` that time, after which they may still be exported. It waits for as
    /// long as a batch waits to be filled, at least.
    pub fn answer_after_export(mut self, within: Duration) -> Self {
        self.treatment.wait = some(within).map_or(Wait::Admission, Wait::Export);
        self
    }

    /// Takes spans only from clients that show one of these tokens; others are `UNAUTHENTICATED`. Default: from everybody.
    pub fn bearer(mut self, tokens: BearerTokens) -> Self {
        self.treatment.bearer = Some(tokens);
        self
    }

    /// Keeps the values of these headers with the spans of a request, in whatever case they are named, for processors that ask
    /// for them as `metadata.` and a name in small letters: see [`ClientInfo`](spanwire_core::batch::ClientInfo). `host` is the
    /// `:authority` of HTTP/2. Default: none, and nothing else is kept.
    pub fn keep_metadata<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.treatment.kept.keep_headers(names);
        self
    }

    /// Validates the settings, binds the endpoint, and takes requests from then on.
    ///
    /// # Errors
    ///
    /// [`InvalidGrpcReceiver`] names the setting at fault.
    pub fn serve(self, intake: Intake) -> Result<GrpcReceiver, InvalidGrpcReceiver> {
        let handler = Handler {
            admission: Admission::new(intake.clone(), self.treatment),
            max_message: self.max_message,
        };
        let http2 = Http2 {
            handler: Arc::new(handler),
            settings: self.http2,
        };
        Listener::start(self.listening, intake, Arc::default(), http2)
            .map(GrpcReceiver)
            .map_err(InvalidGrpcReceiver::Listen)
    }
}

/// Why a receiver can't start. Names the setting at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidGrpcReceiver {
    /// It can't listen.
    Listen(ListenError),
}

impl fmt::Display for InvalidGrpcReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for InvalidGrpcReceiver {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // Its words are ours.
            Self::Listen(error) => error.source(),
        }
    }
}
