//! Answers to short requests over HTTP/1.1, in bounded memory.
//!
//! [`MOST_CONNECTIONS`] connections at most, for 5 s each, with 8 KiB of a request's head and nothing of its body; when one more
//! comes, the oldest gives way. One request a connection.

use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{sleep, timeout};

use crate::dial::Connection;
use crate::endpoint::Address;
use crate::receiver::socket::{Bound, Open};
use crate::runtime::{Runtime, Spawner};

/// The most connections at once.
pub const MOST_CONNECTIONS: usize = 16;

/// How long a connection may take, from its first byte to the answer.
const VISIT: Duration = Duration::from_secs(5);

/// The most bytes of a request's head; hyper takes no less.
const MOST_HEAD: usize = 8 << 10;

/// How long to wait when the system gives no connection.
const PAUSE: Duration = Duration::from_millis(100);

/// The media type of what is said to people.
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";

/// What is said of a path that is not there, as Go says it.
pub(super) const NOT_FOUND: &str = "404 page not found\n";

pub(super) type Answer = Response<Full<Bytes>>;

/// An answer of this media type.
pub(super) fn answer(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

type Respond = dyn Fn(&Parts) -> Answer + Send + Sync;

/// Listens, and answers. Dropped, it does so no more.
pub(super) struct Responder {
    spawner: Spawner,
    local_addr: Option<SocketAddr>,
}

impl Responder {
    pub(super) fn start(
        address: &Address,
        runtime: &Runtime,
        respond: impl Fn(&Parts) -> Answer + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let bound = Bound::bind(address)?;
        let local_addr = bound.local_addr();
        let spawner = Spawner::new(runtime);
        spawner.spawn(serve(bound, Arc::new(respond)))?;
        Ok(Self {
            spawner,
            local_addr,
        })
    }

    /// Where it listens; `None` on a Unix domain socket.
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.spawner.close();
    }
}

type Visit = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Accepts and answers until it is dropped. Everything happens in this one task.
async fn serve(bound: Bound, respond: Arc<Respond>) {
    let Ok(open) = bound.open() else { return };
    let mut visits = VecDeque::<Visit>::with_capacity(MOST_CONNECTIONS);
    loop {
        match accept(&open, &mut visits).await {
            Ok(stream) => {
                if visits.len() >= MOST_CONNECTIONS {
                    visits.pop_front();
                }
                visits.push_back(visit(stream, respond.clone()));
            }
            // The peer has gone already, or the system has nothing to give.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// The next connection; until it comes, those that are there go on.
async fn accept(open: &Open, visits: &mut VecDeque<Visit>) -> io::Result<Connection> {
    let mut accepted = pin!(open.accept());
    poll_fn(|context| {
        if let Poll::Ready(accepted) = accepted.as_mut().poll(context) {
            return Poll::Ready(accepted.map(|(stream, _)| stream));
        }
        visits.retain_mut(|visit| visit.as_mut().poll(context).is_pending());
        Poll::Pending
    })
    .await
}

/// One connection, of one request.
fn visit(stream: Connection, respond: Arc<Respond>) -> Visit {
    let service = service_fn(move |request: Request<Incoming>| {
        let (head, _) = request.into_parts();
        core::future::ready(Ok::<_, Infallible>(respond(&head)))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(VISIT)
        .keep_alive(false)
        .max_buf_size(MOST_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    Box::pin(async move {
        // Whoever asked and has gone is not told.
        let _ = timeout(VISIT, connection).await;
    })
}
