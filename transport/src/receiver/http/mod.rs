//! OTLP over HTTP/1.1, taken in.
//!
//! Requests are posted to one path, as protobuf or JSON, plain or compressed. Protobuf goes to the pipeline in the buffer that
//! it was read into; JSON is written as protobuf first, which takes the length of its text once more while that lasts.

use core::convert::Infallible;
use core::fmt;
use core::future::Future;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::acceptor::{Protocol, Serving};
use super::connection::Connection;
use super::listener::{Listener, Stopped};
use super::stats::ReceiverStats;
use crate::dial::Connection as Stream;

// What a client is told.
mod answer;

// Requests from the pages of other origins.
mod cors;

// The bytes of a connection.
mod wire;

// One request, from its head to its answer.
mod handler;

// The settings.
mod build;

pub use build::{HttpReceiverBuilder, InvalidHttpReceiver};
pub use cors::Cors;
use handler::Handler;
use wire::{Talk, Wire};

/// What is read of a connection at a time. A buffer has up to twice as much, which is the most bytes of a head; with a piece of
/// a body on its way and another being copied that is what a connection is charged for.
const MOST_READ: usize = 16 << 10;

/// Takes in the spans of neighbours over OTLP/HTTP. Dropped, it cuts what is under way; [`stop`](Self::stop) does not.
///
/// - A request that is taken is answered with 200 and an empty response, in its own encoding. From then on its spans are the
///   pipeline's.
/// - Where there is no room it is answered with 503 and `Retry-After`, and may be sent again.
/// - What can't be taken is answered with a `google.rpc.Status` in the encoding of the request, which names what is wrong:
///   400 for what is malformed, 413 for what is too large, 401 for who shows no token that is known. Requests for something
///   else get 404, 405 and 415 in words.
/// - A client that is refused before it has sent more than 64 KiB of what it said reads its answer, and then the end of the
///   connection.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::testing::InMemoryExporter;
/// use spanwire_transport::receiver::http::HttpReceiver;
///
/// let kept = InMemoryExporter::new();
/// let exporter = kept.clone();
/// let pipeline =
///     Pipeline::builder().neighbours(4 << 20).exporter(move || exporter.clone()).build()?;
/// let receiver = HttpReceiver::builder().endpoint("127.0.0.1:0").serve(pipeline.intake())?;
///
/// // Neighbours post to http://127.0.0.1:PORT/v1/traces; at the end, first the door and then the pipeline is shut.
/// assert!(receiver.local_addr().is_some());
/// assert!(receiver.stop(Duration::from_secs(5)).is_complete());
/// assert!(pipeline.shutdown(Duration::from_secs(5)).is_complete());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[must_use = "dropped, it takes nothing in"]
pub struct HttpReceiver {
    listener: Listener,
}

impl HttpReceiver {
    /// Starts to build a receiver.
    pub fn builder() -> HttpReceiverBuilder {
        HttpReceiverBuilder::new()
    }

    #[cfg(feature = "config")]
    pub(crate) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Where it listens; `None` on a Unix domain socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr()
    }

    /// Why it takes nothing in, although its endpoint was bound: the runtime that it was given does no I/O, has no room for its
    /// socket, or has ended. `None` while all is well, and after a stop.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.listener.failure()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> ReceiverStats {
        self.listener.stats()
    }

    /// Accepts nothing more, answers the requests that are under way, and cuts those that are not answered `within` that
    /// time. Waits on this thread; on the one thread of a runtime that the receiver runs on, nothing is answered meanwhile,
    /// so await [`stop_async`](Self::stop_async) there.
    pub fn stop(&self, within: Duration) -> Stopped {
        self.listener.stop(within)
    }

    /// The same as a future, which any runtime can await. It begins when this is called; keep the receiver until it is
    /// done, since one that is dropped ends at once.
    pub fn stop_async(&self, within: Duration) -> impl Future<Output = Stopped> + Send + use<> {
        self.listener.stop_async(within)
    }
}

impl fmt::Debug for HttpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpReceiver")
            .field("local_addr", &self.local_addr())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// HTTP/1.1, spoken at a handler.
struct Http {
    handler: Arc<Handler>,
    head_timeout: Option<Duration>,
    keep_alive: bool,
}

impl Protocol for Http {
    fn serve(&self, stream: Stream, connection: Connection) -> Serving {
        let (handler, with) = (self.handler.clone(), connection.clone());
        let talk = Arc::<Talk>::default();
        let wire = Wire::new(
            connection.listen_to(stream),
            talk.clone(),
            self.head_timeout,
        );
        let service = service_fn(move |request| {
            let (handler, connection, talk) = (handler.clone(), with.clone(), talk.clone());
            async move { Ok::<_, Infallible>(handler.answer(request, &connection, &talk).await) }
        });
        let serving = http1::Builder::new()
            // Slow heads are the wire's to cut, and idle connections the listener's.
            .header_read_timeout(None)
            .keep_alive(self.keep_alive)
            .max_buf_size(MOST_READ)
            .serve_connection(TokioIo::new(wire), service);
        Box::pin(async move {
            connection
                .drive(serving, |serving| serving.graceful_shutdown())
                .await;
        })
    }
}
