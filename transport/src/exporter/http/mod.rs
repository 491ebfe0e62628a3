//! OTLP over HTTP/1.1.
//!
//! hyper speaks HTTP on a connection that is ours: made when there is something to send, on a thread of our own or on the
//! host's runtime, and kept for the next export. The request body yields the batch's own bytes, which are copied nowhere.
//!
//! Redirects are not followed. A request goes to the endpoint it was given, through the proxy that was named before it:
//! [`HttpExporterBuilder::proxies`].

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Version, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use spanwire_core::batch::Batch;
use spanwire_core::clock::Moment;
use spanwire_core::exporter::{Exporter, Outcome, Provisions, Reply};

use super::body::RequestBody;
use super::call::{self, Call};
use super::live::Live;
use crate::compression::Compression;
use crate::dial::Dialer;
use crate::headers::CurrentHeaders;
use crate::otlp::MAX_RESPONSE;
use crate::otlp::json::Json;
use crate::otlp::printable;
use crate::runtime::Executor;
#[cfg(feature = "tls")]
use crate::tls::CurrentTls;

// What a server says.
mod answer;

// Connections that wait for another request.
mod pool;

// A batch as JSON.
mod text;

// The settings.
mod build;

use build::Settings;
pub use build::{Encoding, HttpExporterBuilder, InvalidHttpExporter};
use pool::{Line, Pool};
use text::Text;

/// Sends batches to an OTLP/HTTP server.
///
/// - An answer is judged by [`otlp::http::verdict`](crate::otlp::http::verdict): exported, in part, again, in smaller pieces,
///   or never.
/// - An export without an answer ends at its timeout, at the pipeline's deadline, or when the pipeline ends, whatever is
///   first; its spans count as possibly duplicated if they are sent again.
/// - Answers are read up to [`MAX_RESPONSE`] bytes, in protobuf or JSON, as their `content-type` says.
///
/// A clone has the same settings and connections of its own, which is what a pipeline's factory of exporters wants.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_transport::exporter::http::{Encoding, HttpExporter};
///
/// let exporter = HttpExporter::builder()
///     .endpoint("http://127.0.0.1:4318")
///     .encoding(Encoding::Json)
///     .timeout(Duration::from_secs(5))
///     .build()?;
/// let pipeline = Pipeline::builder().exporter(move || exporter.clone()).build()?;
/// # drop(pipeline);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct HttpExporter {
    settings: Arc<Settings>,
    provisions: Option<Provisions>,
    /// What is there once something was sent.
    live: Option<Live<Client>>,
}

impl HttpExporter {
    /// Starts to build an exporter.
    pub fn builder() -> HttpExporterBuilder {
        HttpExporterBuilder::new()
    }
}

impl Exporter for HttpExporter {
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
            let attempt = async |call: &Call| client.attempt(batch, call).await;
            let late = |call: &Call| call.again("no answer in time");
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

impl Clone for HttpExporter {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            provisions: None,
            live: None,
        }
    }
}

impl fmt::Debug for HttpExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.settings;
        f.debug_struct("HttpExporter")
            .field("endpoint", &settings.shared.endpoint)
            .field("path", &settings.path)
            .field("proxy", &settings.proxy)
            .field("encoding", &settings.encoding)
            .field("headers", &settings.shared.headers)
            .field("compression", &settings.shared.compression)
            .field("timeout", &settings.shared.timeout)
            .finish_non_exhaustive()
    }
}

/// What the exports of one exporter share.
struct Client {
    settings: Arc<Settings>,
    press: Press,
    headers: CurrentHeaders,
    dialer: Dialer,
    executor: Executor,
    pool: Pool,
}

impl Client {
    fn new(settings: Arc<Settings>, provisions: Option<Provisions>, executor: Executor) -> Self {
        let dialer = Dialer::new(settings.shared.endpoint.clone()).through(settings.proxy.clone());
        #[cfg(feature = "tls")]
        let dialer = match settings.shared.under_tls {
            true => dialer.under(CurrentTls::new(settings.shared.tls.clone(), &[b"http/1.1"])),
            false => dialer,
        };
        Self {
            headers: CurrentHeaders::new(&settings.shared.headers),
            press: Press {
                settings: settings.clone(),
                provisions,
            },
            dialer,
            executor,
            pool: Pool::new(settings.shared.concurrency),
            settings,
        }
    }

    /// Sends a batch, and reads what the server says of it.
    async fn attempt(&self, batch: Batch, call: &Call) -> Outcome {
        let mut request = match self.request(batch, call).await {
            Ok(request) => request,
            Err(outcome) => return outcome,
        };
        loop {
            let moves = self.executor.moves();
            let (mut line, kept) = match self.pool.take(moves) {
                Some(line) => (line, true),
                None => match self.connect(moves).await {
                    Ok(line) => (line, false),
                    Err(outcome) => return outcome,
                },
            };
            match line.sender.try_send_request(request).await {
                Ok(response) => {
                    let (outcome, reusable) = answer::read(response).await;
                    if reusable {
                        self.pool.put(line);
                    }
                    return outcome;
                }
                // A kept connection that the server has closed meanwhile took nothing: another one will.
                Err(mut error) => match error.take_message() {
                    Some(back) if kept => request = back,
                    _ => return call.again(call::chain(error.error())),
                },
            }
        }
    }

    async fn connect(&self, moves: usize) -> Result<Line, Outcome> {
        // What nobody waits for any more is not dialled for ever.
        let limit = self
            .settings
            .shared
            .timeout
            .unwrap_or(Duration::from_secs(60));
        let connection = self
            .dialer
            .dial_within(limit)
            .await
            .map_err(|error| Outcome::retry(printable(&error.to_string())))?;
        let (sender, connection) = http1::Builder::new()
            // What a server may send before we have looked at it is held in memory.
            .max_buf_size(MAX_RESPONSE)
            .handshake(TokioIo::new(connection))
            .await
            .map_err(|error| Outcome::retry(call::chain(&error)))?;
        self.executor.spawn(Box::pin(async move {
            // Whoever waits for an answer is told of it.
            let _ = connection.await;
        }));
        Ok(Line { sender, moves })
    }

    async fn request(&self, batch: Batch, call: &Call) -> Result<Request<RequestBody>, Outcome> {
        let settings = &self.settings;
        let (press, begun) = (self.press.clone(), call.begun());
        let (body, compression) = match press.is_slow() {
            true => {
                let len = batch.encoded_len();
                call::made(len, move || press.body(batch, begun)).await??
            }
            false => press.body(batch, begun)?,
        };
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = settings.path.clone();
        let headers = request.headers_mut();
        call::add_headers(&self.headers, headers)?;
        if let Some(value) = settings.proxy_authorization() {
            headers.insert(header::PROXY_AUTHORIZATION, value.clone());
        }
        headers.insert(header::HOST, settings.host.clone());
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(settings.encoding.content_type()),
        );
        if let Some(compression) = compression {
            headers.insert(
                header::CONTENT_ENCODING,
                HeaderValue::from_static(compression),
            );
        }
        if let Ok(value) = HeaderValue::from_str(&settings.shared.user_agent) {
            headers.insert(header::USER_AGENT, value);
        }
        Ok(request)
    }
}

/// What makes bodies of batches.
#[derive(Clone)]
struct Press {
    settings: Arc<Settings>,
    provisions: Option<Provisions>,
}

impl Press {
    /// Whether it takes long for a batch of many bytes.
    fn is_slow(&self) -> bool {
        self.settings.encoding == Encoding::Json
            || self.settings.shared.compression != Compression::None
    }

    /// The body, and how it is compressed.
    fn body(
        &self,
        batch: Batch,
        begun: Arc<AtomicBool>,
    ) -> Result<(RequestBody, Option<&'static str>), Outcome> {
        let most = self.settings.shared.max_request;
        match self.settings.encoding {
            Encoding::Protobuf => {
                let len = batch.encoded_len();
                if len > most {
                    return Err(Outcome::TooLarge { limit: Some(most) });
                }
                Ok(match self.compress(|| batch.chunks(), len) {
                    Some((pieces, name)) => (RequestBody::made(pieces, begun), Some(name)),
                    None => (RequestBody::of_batch(batch, begun), None),
                })
            }
            Encoding::Json => {
                let text = self.text(&batch)?;
                drop(batch);
                let len = text.iter().map(Bytes::len).sum();
                if len > most {
                    // Of bytes in another encoding than the batch's.
                    return Err(Outcome::TooLarge { limit: None });
                }
                Ok(match self.compress(|| text.iter().cloned(), len) {
                    Some((pieces, name)) => (RequestBody::made(pieces, begun), Some(name)),
                    None => (RequestBody::made(text, begun), None),
                })
            }
        }
    }

    /// A batch as JSON.
    fn text(&self, batch: &Batch) -> Result<Vec<Bytes>, Outcome> {
        let json = Json::batch(batch);
        let Some(provisions) = &self.provisions else {
            return Ok(vec![json.to_string().into()]);
        };
        let mut text = Text::new(provisions.limiter().reserve());
        json.write_to(&mut text)
            .map_err(|error| Outcome::retry(format!("no room for a request as JSON: {error}")))?;
        Ok(text.into_pieces())
    }

    /// The request in fewer bytes. `None` where that is not asked for, or not to be had.
    fn compress<C: Iterator<Item = Bytes>>(
        &self,
        chunks: impl FnOnce() -> C,
        len: usize,
    ) -> Option<(Vec<Bytes>, &'static str)> {
        let compression = self.settings.shared.compression;
        call::compressed(compression, chunks, len, self.provisions.as_ref())
    }
}
