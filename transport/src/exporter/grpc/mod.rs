//! OTLP over gRPC.
//!
//! tonic supplies the channel and the parsing of a status; the request body yields the batch's own bytes, which are
//! copied nowhere. Connections are made when there is something to send, on a thread of our own or on the host's
//! runtime, and are kept.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderValue, Method, Request, Uri, Version, header};
use hyper_util::rt::TokioIo;
use spanwire_core::batch::Batch;
use spanwire_core::clock::Moment;
use spanwire_core::exporter::{Exporter, Outcome, Provisions, Reply};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint as ChannelEndpoint};
use tower_service::Service;

use super::body::RequestBody;
use super::call::{self, Call};
use crate::dial::Dialer;
use crate::headers::CurrentHeaders;
use crate::otlp::{GRPC_PATH, MAX_RESPONSE, frame_prefix};
use crate::runtime::{Executor, Spawner};
#[cfg(feature = "tls")]
use crate::tls::CurrentTls;

// What a server says.
mod answer;

// The settings.
mod build;

use build::Settings;
pub use build::{GrpcExporterBuilder, InvalidGrpcExporter};

/// How far a server may run ahead with an answer: as long as one may be.
const WINDOW: u32 = MAX_RESPONSE as u32;

/// Sends batches to an OTLP/gRPC server.
///
/// - An answer is judged by [`otlp::grpc::verdict`](crate::otlp::grpc::verdict): exported, in part, again, in smaller pieces,
///   or never.
/// - An export without an answer ends at its timeout, at the pipeline's deadline, or when the pipeline ends, whatever is
///   first; its spans count as possibly duplicated if they are sent again.
/// - Answers are read up to [`MAX_RESPONSE`] bytes.
///
/// A clone has the same settings and connections of its own, which is what a pipeline's factory of exporters wants.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_transport::exporter::grpc::GrpcExporter;
/// use spanwire_transport::headers::Headers;
///
/// let mut headers = Headers::new();
/// headers.set_from_file("authorization", "Bearer ", "/run/secrets/token")?;
/// let exporter = GrpcExporter::builder()
///     .endpoint("http://127.0.0.1:4317")
///     .headers(headers)
///     .timeout(Duration::from_secs(5))
///     .build()?;
/// let pipeline = Pipeline::builder().exporter(move || exporter.clone()).build()?;
/// # drop(pipeline);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct GrpcExporter {
    settings: Arc<Settings>,
    provisions: Option<Provisions>,
    /// What is there once something was sent.
    live: Option<Live>,
}

/// An exporter at work. Dropped, what is under way ends there and then.
struct Live {
    client: Arc<Client>,
    spawner: Spawner,
}

impl GrpcExporter {
    /// Starts to build an exporter.
    pub fn builder() -> GrpcExporterBuilder {
        GrpcExporterBuilder::new()
    }
}

impl Exporter for GrpcExporter {
    fn begin(&mut self, provisions: &Provisions) {
        self.provisions = Some(provisions.clone());
    }

    fn export(&mut self, batch: Batch, reply: Reply) {
        let (timeout, provisions) = (self.settings.timeout, self.provisions.as_ref());
        let deadline = call::deadline(reply.deadline(), timeout, provisions);
        let live = self.live.get_or_insert_with(|| {
            let spawner = Spawner::new(&self.settings.runtime);
            let client = Client::new(
                self.settings.clone(),
                self.provisions.clone(),
                spawner.executor(),
            );
            Live {
                client: Arc::new(client),
                spawner,
            }
        });
        let call = Call::new(reply);
        let client = live.client.clone();
        // Where there is no thread to be had, the future is dropped, and the call in it says so.
        let _ = live.spawner.spawn(async move {
            // The number of the line that the request is sent over.
            let line = AtomicUsize::new(0);
            let attempt = async |call: &Call| client.attempt(batch, call, &line, deadline).await;
            let late = |call: &Call| client.out_of_time(call, &line);
            call.settle(attempt, deadline, late).await;
        });
    }

    fn concurrency(&self) -> usize {
        self.settings.concurrency
    }

    fn shutdown(&mut self, _: Moment) {
        // Every batch is settled, or out of time.
        self.live = None;
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.spawner.close();
    }
}

impl Clone for GrpcExporter {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            provisions: None,
            live: None,
        }
    }
}

impl fmt::Debug for GrpcExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        f.debug_struct("GrpcExporter")
            .field("endpoint", &settings.endpoint)
            .field("headers", &settings.headers)
            .field("compression", &settings.compression)
            .field("timeout", &settings.timeout)
            .finish_non_exhaustive()
    }
}

/// What the exports of one exporter share.
struct Client {
    settings: Arc<Settings>,
    provisions: Option<Provisions>,
    headers: CurrentHeaders,
    dialer: Dialer,
    executor: Executor,
    channel: Mutex<Option<Line>>,
    /// How many channels there were.
    lines: AtomicUsize,
}

/// A channel, and where it was made.
#[derive(Clone)]
struct Line {
    channel: Channel,
    number: usize,
    moves: usize,
}

impl Client {
    fn new(settings: Arc<Settings>, provisions: Option<Provisions>, executor: Executor) -> Self {
        let dialer = Dialer::new(settings.endpoint.clone());
        #[cfg(feature = "tls")]
        let dialer = match settings.under_tls {
            true => dialer.under(CurrentTls::new(settings.tls.clone(), &[b"h2"])),
            false => dialer,
        };
        Self {
            headers: CurrentHeaders::new(&settings.headers),
            provisions,
            dialer,
            executor,
            channel: Mutex::new(None),
            lines: AtomicUsize::new(0),
            settings,
        }
    }

    fn out_of_time(&self, call: &Call, line: &AtomicUsize) -> Outcome {
        // Behind a connection that has died without a word nobody ever answers: the next export makes another.
        self.hang_up(line.load(Ordering::Relaxed));
        call.again("no answer in time")
    }

    /// Sends a batch, and reads what the server says of it.
    async fn attempt(
        &self,
        batch: Batch,
        call: &Call,
        number: &AtomicUsize,
        deadline: Option<Instant>,
    ) -> Outcome {
        if batch.encoded_len() > self.settings.max_request {
            return Outcome::TooLarge {
                limit: Some(self.settings.max_request),
            };
        }
        let request = match self.request(batch, call, deadline) {
            Ok(request) => request,
            Err(outcome) => return outcome,
        };
        let Some(mut line) = self.connect() else {
            return Outcome::rejected("the endpoint is no URL");
        };
        number.store(line.number, Ordering::Relaxed);
        let ready = poll_fn(|cx| line.channel.poll_ready(cx)).await;
        let answered = match ready {
            Ok(()) => line.channel.call(request).await,
            Err(error) => {
                // The task behind the channel has ended.
                self.hang_up(line.number);
                Err(error)
            }
        };
        match answered {
            Ok(response) => answer::read(response).await.unwrap_or_else(|reason| {
                // The connection broke while the answer was awaited.
                Outcome::Retry {
                    after: None,
                    possibly_stored: true,
                    reason: reason.into(),
                }
            }),
            // The channel has a timer of its own for the timeout that is told to the server.
            Err(error) if answer::is_timeout(&error) => self.out_of_time(call, number),
            Err(error) => answer::outcome_of_error(&error, call.has_begun()),
        }
    }

    fn request(
        &self,
        batch: Batch,
        call: &Call,
        deadline: Option<Instant>,
    ) -> Result<Request<Body>, Outcome> {
        let len = batch.encoded_len();
        let too_large = || Outcome::TooLarge {
            limit: Some(u32::MAX as usize),
        };
        let compression = self.settings.compression;
        let provisions = self.provisions.as_ref();
        let (body, encoding) =
            match call::compressed(compression, || batch.chunks(), len, provisions) {
                Some((pieces, encoding)) => {
                    let len = pieces.iter().map(bytes::Bytes::len).sum();
                    let prefix = frame_prefix(len, true).ok_or_else(too_large)?;
                    drop(batch);
                    let body = RequestBody::made(pieces, call.begun()).framed(prefix);
                    (body, Some(encoding))
                }
                None => {
                    let prefix = frame_prefix(len, false).ok_or_else(too_large)?;
                    let body = RequestBody::of_batch(batch, call.begun()).framed(prefix);
                    (body, None)
                }
            };
        let mut request = Request::new(Body::new(body));
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = Uri::from_static(GRPC_PATH);
        let headers = request.headers_mut();
        call::add_headers(&self.headers, headers)?;
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        if let Some(encoding) = encoding {
            headers.insert("grpc-encoding", HeaderValue::from_static(encoding));
        }
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Ok(value) = HeaderValue::from_str(&grpc_timeout(left)) {
                headers.insert("grpc-timeout", value);
            }
        }
        Ok(request)
    }

    fn line(&self) -> std::sync::MutexGuard<'_, Option<Line>> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the next export take another line, unless there is another already.
    fn hang_up(&self, number: usize) {
        self.line().take_if(|line| line.number == number);
    }

    /// The channel of the place where futures run now. It connects when it is first used.
    fn connect(&self) -> Option<Line> {
        let moves = self.executor.moves();
        let mut known = self.line();
        if let Some(line) = &*known
            && line.moves == moves
        {
            return Some(line.clone());
        }
        let number = self.lines.fetch_add(1, Ordering::Relaxed) + 1;
        let line = Line {
            channel: self.channel()?,
            number,
            moves,
        };
        *known = Some(line.clone());
        Some(line)
    }

    fn channel(&self) -> Option<Channel> {
        let settings = &self.settings;
        let origin = |scheme| {
            Uri::builder()
                .scheme(scheme)
                .authority(settings.endpoint.authority())
                .path_and_query("/")
                .build()
                .ok()
        };
        let exports = u32::try_from(settings.concurrency).unwrap_or(u32::MAX);
        // TLS is the dialer's. To the channel every connection is in the clear, but what it says in it is not.
        let mut channel = ChannelEndpoint::from(origin("http")?)
            .executor(self.executor.clone())
            .user_agent(settings.user_agent.as_str())
            .ok()?
            // What a server may send before we have looked at it is held in memory.
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW.saturating_mul(exports));
        if settings.under_tls {
            channel = channel.origin(origin("https")?);
        }
        if let Some((interval, timeout)) = settings.keep_alive {
            channel = channel
                .http2_keep_alive_interval(interval)
                .keep_alive_timeout(timeout)
                .keep_alive_while_idle(true);
        }
        // What nobody waits for any more is not dialled for ever.
        let limit = settings.timeout.unwrap_or(Duration::from_secs(60));
        let dialer = self.dialer.clone();
        Some(channel.connect_with_connector_lazy(Connector { dialer, limit }))
    }
}

/// A wait as gRPC writes it: at most eight digits, and a unit. gRPC over HTTP/2, "Timeout".
fn grpc_timeout(left: Duration) -> String {
    const MOST: u128 = 99_999_999;
    match left.as_millis() {
        millis @ 0..=MOST => format!("{}m", millis.max(1)),
        _ => format!("{}S", u128::from(left.as_secs()).min(MOST)),
    }
}

/// Dials on behalf of a channel.
struct Connector {
    dialer: Dialer,
    limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<crate::dial::Connection>;
    type Error = crate::dial::Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (dialer, limit) = (self.dialer.clone(), self.limit);
        Box::pin(async move { dialer.dial_within(limit).await.map(TokioIo::new) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_has_eight_digits_at_most() {
        for (left, text) in [
            (Duration::ZERO, "1m"),
            (Duration::from_micros(1500), "1m"),
            (Duration::from_secs(10), "10000m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_millis(100_000_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(grpc_timeout(left), text);
        }
    }
}
