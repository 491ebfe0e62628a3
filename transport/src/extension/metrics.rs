//! How a program stands, for who scrapes it over HTTP: Prometheus, above all.
//!
//! Serves a text at `/metrics`, as the Collector serves its own metrics on port 8888. It holds [`MOST_CONNECTIONS`] connections at
//! most, for 5 s each and with 8 KiB of a request; when one more comes, the oldest gives way. A text is made when it is asked for, on
//! the thread that runs the endpoint, and charged to no budget.

use core::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

pub use super::responder::MOST_CONNECTIONS;
use super::responder::{Answer, NOT_FOUND, PLAIN, Responder, answer};
use crate::endpoint::InvalidEndpoint;
use crate::receiver::socket;
use crate::runtime::Runtime;
use crate::telemetry::CONTENT_TYPE;

/// The path of the text.
const PATH: &str = "/metrics";

type Write = Arc<dyn Fn() -> String + Send + Sync>;

/// Where the text of a [`MetricsEndpoint`] comes from. A clone is another handle on the same source.
///
/// Nothing comes from it until it is told who writes, and again after [`clear`](Self::clear): who asks then gets 503.
#[derive(Clone, Default)]
pub struct MetricsSource(Arc<Mutex<Option<Write>>>);

impl MetricsSource {
    /// One that nothing comes from yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says who writes the text: called whenever somebody asks for it.
    pub fn write_with(&self, write: impl Fn() -> String + Send + Sync + 'static) {
        self.replace(Some(Arc::new(write)));
    }

    /// Lets go of who writes it.
    pub fn clear(&self) {
        self.replace(None);
    }

    fn replace(&self, write: Option<Write>) {
        let before = core::mem::replace(&mut *self.lock(), write);
        // Whatever it holds is not let go of under the lock.
        drop(before);
    }

    fn text(&self) -> Option<String> {
        let write = self.lock().clone()?;
        Some(write())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Write>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MetricsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsSource").finish_non_exhaustive()
    }
}

/// Serves metrics to who scrapes them. Dropped, it does so no more.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::testing::InMemoryExporter;
/// use spanwire_transport::extension::metrics::MetricsEndpoint;
/// use spanwire_transport::telemetry::Exposition;
///
/// let pipeline = Pipeline::builder().exporter(InMemoryExporter::new).build()?;
/// let endpoint = MetricsEndpoint::builder().endpoint("127.0.0.1:0").start()?;
/// let of = pipeline.clone();
/// endpoint.source().write_with(move || Exposition::new(&of.stats()).to_string());
///
/// let mut scraper = TcpStream::connect(endpoint.local_addr().expect("it is of IP"))?;
/// scraper.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
/// let mut answer = String::new();
/// scraper.read_to_string(&mut answer)?;
/// assert!(answer.starts_with("HTTP/1.1 200 OK"));
/// assert!(answer.contains("\nspanwire_memory_budget_bytes"), "{answer}");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[must_use = "dropped, it serves no more"]
pub struct MetricsEndpoint {
    source: MetricsSource,
    responder: Responder,
}

impl MetricsEndpoint {
    /// Starts to build one.
    pub fn builder() -> MetricsEndpointBuilder {
        MetricsEndpointBuilder {
            endpoint: "127.0.0.1:8888".into(),
            source: MetricsSource::new(),
            runtime: Runtime::own(),
        }
    }

    /// Where the text comes from.
    #[must_use]
    pub fn source(&self) -> &MetricsSource {
        &self.source
    }

    /// Where it listens; `None` on a Unix domain socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.responder.local_addr()
    }
}

impl fmt::Debug for MetricsEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsEndpoint")
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

/// Builds a [`MetricsEndpoint`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct MetricsEndpointBuilder {
    endpoint: String,
    source: MetricsSource,
    runtime: Runtime,
}

impl MetricsEndpointBuilder {
    /// Where to listen: `host:port`, where port 0 stands for any that is free, `unix:/path` or `unix-abstract:name`.
    /// Default: `127.0.0.1:8888`, which nobody reaches from outside.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Where the text comes from. Default: a source of its own, see [`MetricsEndpoint::source`].
    pub fn source(mut self, source: MetricsSource) -> Self {
        self.source = source;
        self
    }

    /// What runs it. Default: [`Runtime::own`].
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// Binds, and begins to serve.
    ///
    /// # Errors
    ///
    /// [`MetricsEndpointError`] names the setting at fault.
    pub fn start(self) -> Result<MetricsEndpoint, MetricsEndpointError> {
        let address = socket::address(&self.endpoint).map_err(MetricsEndpointError::Endpoint)?;
        let source = self.source.clone();
        let respond = move |request: &http::request::Parts| {
            respond(&request.method, request.uri.path(), &source)
        };
        let responder = Responder::start(&address, &self.runtime, respond);
        let responder = responder.map_err(|error| MetricsEndpointError::Bind {
            endpoint: self.endpoint.clone(),
            why: error.to_string(),
        })?;
        Ok(MetricsEndpoint {
            source: self.source,
            responder,
        })
    }
}

fn respond(method: &Method, path: &str, source: &MetricsSource) -> Answer {
    if path != PATH {
        return answer(StatusCode::NOT_FOUND, PLAIN, NOT_FOUND.into());
    }
    if ![Method::GET, Method::HEAD].contains(method) {
        let body = Bytes::from_static(b"405 method not allowed, supported: [GET, HEAD]\n");
        let mut answer = answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, body);
        let allowed = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(ALLOW, allowed);
        return answer;
    }
    match source.text() {
        Some(text) => answer(StatusCode::OK, CONTENT_TYPE, text.into()),
        None => {
            let body = Bytes::from_static(b"503 there is nothing to tell now\n");
            answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, body)
        }
    }
}

/// Why metrics can't be served. Names the setting at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricsEndpointError {
    /// The endpoint is none.
    Endpoint(InvalidEndpoint),
    /// There can be no listening there.
    Bind {
        /// The endpoint.
        endpoint: String,
        /// What the system says.
        why: String,
    },
}

impl fmt::Display for MetricsEndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => error.fmt(f),
            Self::Bind { endpoint, why } => write!(f, "endpoint '{endpoint}': {why}"),
        }
    }
}

impl core::error::Error for MetricsEndpointError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // Its words are ours.
            Self::Endpoint(error) => error.source(),
            Self::Bind { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_has_a_text_as_long_as_somebody_writes_it() {
        let source = MetricsSource::new();
        let status = |method, path| respond(&method, path, &source).status();
        assert_eq!(status(Method::GET, "/metrics"), 503);
        source.write_with(|| "up 1\n".into());
        assert_eq!(status(Method::GET, "/metrics"), 200);
        assert_eq!(status(Method::HEAD, "/metrics"), 200);
        assert_eq!(status(Method::POST, "/metrics"), 405);
        assert_eq!(status(Method::GET, "/"), 404);
        assert_eq!(status(Method::GET, "/metrics/"), 404);
        source.clear();
        assert_eq!(status(Method::GET, "/metrics"), 503);
    }
}
