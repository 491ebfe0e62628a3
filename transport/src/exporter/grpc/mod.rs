//! OTLP over gRPC.
//!
//! hyper supplies HTTP/2 and tonic the parsing of a status; the request body yields the batch's own bytes, which are
//! copied nowhere, in frames as long as the server takes. A connection is made when there is something to send, on a
//! thread of our own or on the host's runtime, and is kept.

use core::fmt;
use core::time::Duration;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderValue, Method, Request, Uri, Version, header};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use spanwire_core::batch::Batch;
use spanwire_core::clock::Moment;
use spanwire_core::exporter::{Exporter, Outcome, Provisions, Reply};
use tokio::time::Instant;

use super::body::RequestBody;
use super::call::{self, Call};
use super::live::Live;
use crate::compression::Compression;
use crate::dial::Dialer;
use crate::headers::CurrentHeaders;
use crate::otlp::{GRPC_PATH, MAX_RESPONSE, frame_prefix, printable};
use crate::runtime::Executor;
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
    live: Option<Live<Client>>,
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
        let (timeout, provisions) = (self.settings.shared.timeout, self.provisions.as_ref());
        let deadline = call::deadline(reply.deadline(), timeout, provisions);
        let live = self.live.get_or_insert_with(|| {
            let (settings, provisions) = (self.settings.clone(), self.provisions.clone());
            Live::start(&self.settings.shared.runtime, |executor| {
                Client::new(settings, provisions, executor)
            })
        });
        let call = Call::new(reply);
        let client = live.client.clone();
        live.run(async move {
            // The number of the channel that the request is sent over.
            let channel = AtomicUsize::new(0);
            let attempt = async |call: &Call| client.attempt(batch, call, &channel, deadline).await;
            let late = |call: &Call| client.out_of_time(call, &channel);
            call.settle(attempt, deadline, late).await;
        });
    }

    fn concurrency(&self) -> usize {
        self.settings.shared.concurrency
    }

    fn shutdown(&mut self, _: Moment) {
        // Every batch is settled, or out of time.
        self.live = None;
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
            .field("endpoint", &settings.shared.endpoint)
            .field("headers", &settings.shared.headers)
            .field("compression", &settings.shared.compression)
            .field("timeout", &settings.shared.timeout)
            .finish_non_exhaustive()
    }
}

/// What the exports of one exporter share.
struct Client {
    settings: Arc<Settings>,
    provisions: Option<Provisions>,
    headers: CurrentHeaders,
    /// Where requests go to; `None` where that is no URL.
    uri: Option<Uri>,
    dialer: Dialer,
    executor: Executor,
    channel: Mutex<Option<Channel>>,
    /// One export connects, and those that come meanwhile wait for it.
    dialling: tokio::sync::Mutex<()>,
    /// How many connections there were.
    channels: AtomicUsize,
}

/// A connection that all exports share, and where it was made.
#[derive(Clone)]
struct Channel {
    sender: http2::SendRequest<RequestBody>,
    number: usize,
    moves: usize,
}

impl Client {
    fn new(settings: Arc<Settings>, provisions: Option<Provisions>, executor: Executor) -> Self {
        let dialer = Dialer::new(settings.shared.endpoint.clone());
        #[cfg(feature = "tls")]
        let dialer = match settings.shared.under_tls {
            true => dialer.under(CurrentTls::new(settings.shared.tls.clone(), &[b"h2"])),
            false => dialer,
        };
        let uri = Uri::builder()
            .scheme(if settings.shared.under_tls {
                "https"
            } else {
                "http"
            })
            .authority(settings.shared.endpoint.authority())
            .path_and_query(GRPC_PATH);
        Self {
            headers: CurrentHeaders::new(&settings.shared.headers),
            provisions,
            uri: uri.build().ok(),
            dialer,
            executor,
            channel: Mutex::new(None),
            dialling: tokio::sync::Mutex::new(()),
            channels: AtomicUsize::new(0),
            settings,
        }
    }

    fn out_of_time(&self, call: &Call, channel: &AtomicUsize) -> Outcome {
        // Behind a connection that has died without a word nobody ever answers: the next export makes another.
        self.hang_up(channel.load(Ordering::Relaxed));
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
        if batch.encoded_len() > self.settings.shared.max_request {
            return Outcome::TooLarge {
                limit: Some(self.settings.shared.max_request),
            };
        }
        let mut request = match self.request(batch, call, deadline).await {
            Ok(request) => request,
            Err(outcome) => return outcome,
        };
        loop {
            let moves = self.executor.moves();
            let (mut channel, kept) = match self.kept(moves) {
                Some(channel) => (channel, true),
                None => match self.connect(moves).await {
                    Ok(channel) => (channel, false),
                    Err(outcome) => return outcome,
                },
            };
            number.store(channel.number, Ordering::Relaxed);
            match channel.sender.try_send_request(request).await {
                Ok(response) => {
                    return answer::read(response).await.unwrap_or_else(|reason| {
                        // The connection broke while the answer was awaited.
                        Outcome::Retry {
                            after: None,
                            possibly_stored: true,
                            reason: reason.into(),
                        }
                    });
                }
                // A connection that has ended meanwhile took nothing: another one will.
                Err(mut error) => match error.take_message() {
                    Some(back) if kept => {
                        self.hang_up(channel.number);
                        request = back;
                    }
                    _ => return call.again(call::chain(error.error())),
                },
            }
        }
    }

    /// The body, and how it is compressed.
    async fn body(
        &self,
        batch: Batch,
        call: &Call,
    ) -> Result<(RequestBody, Option<&'static str>), Outcome> {
        let too_large = || Outcome::TooLarge {
            limit: Some(u32::MAX as usize),
        };
        let (compression, provisions) = (self.settings.shared.compression, self.provisions.clone());
        let len = batch.encoded_len();
        let (packed, batch) = if compression == Compression::None {
            (None, batch)
        } else {
            let pack = move || {
                let with = provisions.as_ref();
                let packed = call::compressed(compression, || batch.chunks(), len, with);
                (packed, batch)
            };
            call::made(len, pack).await?
        };
        if let Some((pieces, encoding)) = packed {
            let len = pieces.iter().map(bytes::Bytes::len).sum();
            let prefix = frame_prefix(len, true).ok_or_else(too_large)?;
            let body = RequestBody::made(pieces, call.begun()).framed(prefix);
            return Ok((body, Some(encoding)));
        }
        let prefix = frame_prefix(batch.encoded_len(), false).ok_or_else(too_large)?;
        let body = RequestBody::of_batch(batch, call.begun()).framed(prefix);
        Ok((body, None))
    }

    async fn request(
        &self,
        batch: Batch,
        call: &Call,
        deadline: Option<Instant>,
    ) -> Result<Request<RequestBody>, Outcome> {
        let (body, encoding) = self.body(batch, call).await?;
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = match &self.uri {
            Some(uri) => uri.clone(),
            None => return Err(Outcome::rejected("the endpoint is no URL")),
        };
        let headers = request.headers_mut();
        call::add_headers(&self.headers, headers)?;
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/grpc"),
        );
        if let Ok(value) = HeaderValue::from_str(&self.settings.shared.user_agent) {
            headers.insert(header::USER_AGENT, value);
        }
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

    fn channel(&self) -> std::sync::MutexGuard<'_, Option<Channel>> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the next export take another channel, unless there is another already.
    fn hang_up(&self, number: usize) {
        self.channel().take_if(|channel| channel.number == number);
    }

    /// The connection that is there, if it was made in this place and is still good.
    fn kept(&self, moves: usize) -> Option<Channel> {
        let channel = self.channel();
        let is_good = |channel: &&Channel| channel.moves == moves && !channel.sender.is_closed();
        channel.as_ref().filter(is_good).cloned()
    }

    async fn connect(&self, moves: usize) -> Result<Channel, Outcome> {
        let _turn = self.dialling.lock().await;
        if let Some(channel) = self.kept(moves) {
            return Ok(channel);
        }
        let settings = &self.settings;
        // What nobody waits for any more is not dialled for ever.
        let limit = settings.shared.timeout.unwrap_or(Duration::from_secs(60));
        let connection = self
            .dialer
            .dial_within(limit)
            .await
            .map_err(|error| Outcome::retry(printable(&error.to_string())))?;
        let exports = u32::try_from(settings.shared.concurrency).unwrap_or(u32::MAX);
        let mut http = http2::Builder::new(self.executor.clone());
        // What a server may send before we have looked at it is held in memory.
        http.initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW.saturating_mul(exports));
        if let Some((time, timeout)) = settings.keepalive {
            http.timer(TokioTimer::new())
                .keep_alive_interval(time)
                .keep_alive_timeout(timeout)
                .keep_alive_while_idle(true);
        }
        let (sender, connection) = http
            .handshake(TokioIo::new(connection))
            .await
            .map_err(|error| Outcome::retry(call::chain(&error)))?;
        self.executor.spawn(Box::pin(async move {
            // Whoever waits for an answer is told of it.
            let _ = connection.await;
        }));
        let channel = Channel {
            sender,
            number: self.channels.fetch_add(1, Ordering::Relaxed) + 1,
            moves,
        };
        *self.channel() = Some(channel.clone());
        Ok(channel)
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
