//! OTLP over gRPC.
//!
//! hyper speaks HTTP/2; the one method that there is, `TraceService/Export`, is served below any codec. A message is copied
//! once, from what was read off the connection into the buffer that its spans travel in.

use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::acceptor::{Protocol, Serving};
use super::connection::Connection;
use super::listener::{Listener, Stopped};
use super::stats::ReceiverStats;
use crate::dial::Connection as Stream;

// What a client is told.
mod answer;

// One request, from its head to its answer.
mod handler;

// The requests of one connection, side by side.
mod streams;

// The settings.
mod build;

use answer::Answer;
use build::Http2Settings;
pub use build::{GrpcReceiverBuilder, InvalidGrpcReceiver};
use handler::Handler;
use streams::{Multiplexed, Streams};

/// The most bytes of a stream's flow-control window: one stream is not to take all of its connection's.
const MOST_STREAM_WINDOW: u32 = 256 << 10;

/// The most bytes of a frame's payload, for clients that make them as long as they may: a frame is two system calls, and what
/// was read of it with the one before is copied. HTTP/2 begins with 16 KiB (RFC 9113, 6.5.2).
pub(super) const MOST_FRAME: u32 = 48 << 10;

/// The most bytes of a request's headers.
const MOST_HEADERS: u32 = 16 << 10;

/// The most bytes of answers that wait to be sent on a connection.
const MOST_ANSWERS: usize = 64 << 10;

/// The most frames in the life of a connection that come for a request which was refused and is forgotten. A client that is
/// refused in the middle of large messages sends a dozen each time; one that sends nothing else is to begin anew.
const MOST_LATE_FRAMES: usize = 1 << 16;

/// Takes in spans over OTLP/gRPC, on HTTP/2.
///
/// | what a client sends | what it gets |
/// |---|---|
/// | a request that is admitted | OK, without a partial success |
/// | when there is no room, or the pipeline has ended | `UNAVAILABLE`, with a `RetryInfo` |
/// | a message that is too large, also after decompression | `RESOURCE_EXHAUSTED`, "larger than max" |
/// | malformed bytes, of gRPC, of a compression or of OTLP | `INVALID_ARGUMENT`, saying what is wrong |
/// | another method, another compression | `UNIMPLEMENTED` |
/// | another content type, or no POST | the same in HTTP: 415, 405 |
/// | no token that is known, where one is asked for | `UNAUTHENTICATED` |
/// | a body slower than 64 KiB a second | `UNAVAILABLE` |
/// | more than its own `grpc-timeout` allows | `DEADLINE_EXCEEDED` |
///
/// Nothing is kept of a request that was not admitted. Dropped, a receiver ends at once.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::testing::InMemoryExporter;
/// use spanwire_transport::receiver::grpc::GrpcReceiver;
///
/// let exporter = InMemoryExporter::new();
/// let pipeline =
///     Pipeline::builder().neighbours(8 << 20).exporter(move || exporter.clone()).build()?;
/// let receiver = GrpcReceiver::builder().endpoint("127.0.0.1:0").serve(pipeline.intake())?;
/// println!("listening on {:?}", receiver.local_addr());
///
/// assert!(receiver.stop(Duration::from_secs(5)).is_complete());
/// assert!(pipeline.shutdown(Duration::from_secs(5)).is_complete());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[must_use = "a receiver that is dropped ends"]
pub struct GrpcReceiver(Listener);

impl GrpcReceiver {
    /// Starts to build a receiver.
    pub fn builder() -> GrpcReceiverBuilder {
        GrpcReceiverBuilder::new()
    }

    #[cfg(feature = "config")]
    pub(crate) fn listener(&self) -> &Listener {
        &self.0
    }

    /// The address that is listened on, with the port that was free; `None` for a Unix domain socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.local_addr()
    }

    /// Why it takes nothing in, although its endpoint was bound: the runtime that it was given does no I/O, has no room for its
    /// socket, or has ended. `None` while all is well, and after a stop.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.0.failure()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> ReceiverStats {
        self.0.stats()
    }

    /// Accepts no more, finishes what is under way, and cuts what is not finished after `within`. Waits on this thread; on the
    /// one thread of a runtime that the receiver runs on, nothing is finished meanwhile, so await
    /// [`stop_async`](Self::stop_async) there.
    pub fn stop(&self, within: Duration) -> Stopped {
        self.0.stop(within)
    }

    /// The same as a future, which any runtime can await. It begins when this is called; keep the receiver until it is
    /// done, since one that is dropped ends at once.
    pub fn stop_async(&self, within: Duration) -> impl Future<Output = Stopped> + Send + use<> {
        self.0.stop_async(within)
    }
}

impl fmt::Debug for GrpcReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcReceiver")
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

/// Speaks HTTP/2 on connections.
struct Http2 {
    handler: Arc<Handler>,
    settings: Http2Settings,
}

impl Protocol for Http2 {
    fn serve(&self, stream: Stream, connection: Connection) -> Serving {
        let streams = Streams::new();
        let mut http2 = http2::Builder::new(streams.clone());
        http2
            .timer(TokioTimer::new())
            .initial_stream_window_size(self.settings.window.min(MOST_STREAM_WINDOW))
            .initial_connection_window_size(self.settings.window)
            .max_frame_size(MOST_FRAME)
            .max_concurrent_streams(self.settings.max_streams)
            .max_header_list_size(MOST_HEADERS)
            .max_send_buf_size(MOST_ANSWERS)
            .max_local_error_reset_streams(MOST_LATE_FRAMES)
            .keep_alive_interval(self.settings.keepalive_time)
            .keep_alive_timeout(self.settings.keepalive_timeout)
            .auto_date_header(false);
        let service = Service {
            handler: self.handler.clone(),
            connection: connection.clone(),
        };
        let stream = connection.listen_ahead(stream);
        let serving = http2.serve_connection(TokioIo::new(stream), service);
        let multiplexed = Multiplexed::new(serving, streams, connection.clone());
        Box::pin(async move {
            connection
                .drive(multiplexed, |multiplexed| {
                    multiplexed.get_mut().protocol().graceful_shutdown();
                })
                .await;
        })
    }
}

/// Answers the requests of one connection.
struct Service {
    handler: Arc<Handler>,
    connection: Connection,
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answer = self
            .handler
            .clone()
            .answer(request, self.connection.clone());
        Box::pin(async move { Ok(answer.await) })
    }
}
