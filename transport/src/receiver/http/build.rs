//! The settings of a receiver of OTLP/HTTP.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use http::uri::PathAndQuery;
use spanwire_core::pipeline::Intake;

use super::cors::Cors;
use super::handler::{Handler, Settings};
use super::{Http, HttpReceiver};
use crate::headers::{CurrentHeaders, Headers};
use crate::otlp::HTTP_PATH;
use crate::receiver::acceptor::Listening;
use crate::receiver::bearer::BearerTokens;
use crate::receiver::connection::{HTTP_CONNECTION_BYTES, Stay};
use crate::receiver::inflate::{Coding, Codings};
use crate::receiver::listener::{ListenError, Listener};
use crate::receiver::request::{Admission, Treatment, some};
use crate::receiver::settings::shared_methods;
use crate::receiver::wait::Wait;
use crate::runtime::Runtime;

/// Builds an [`HttpReceiver`]. The defaults are the Collector's, except where said otherwise.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::testing::InMemoryExporter;
/// use spanwire_transport::receiver::BearerTokens;
/// use spanwire_transport::receiver::http::{Cors, HttpReceiver};
///
/// let exporter = InMemoryExporter::new();
/// let pipeline =
///     Pipeline::builder().neighbours(8 << 20).exporter(move || exporter.clone()).build()?;
/// let builder = HttpReceiver::builder()
///     .endpoint("127.0.0.1:0")
///     .bearer(BearerTokens::new().token("of-the-node")?)
///     .cors(Cors::new().allow_origin("https://shop.example"))
///     .retry_after(Duration::from_secs(5));
/// let wrong = builder.clone().traces_url_path("/v1/traces?").serve(pipeline.intake());
/// assert_eq!(
///     wrong.unwrap_err().to_string(),
///     "traces_url_path '/v1/traces?' has a query, or characters that have to be percent-encoded"
/// );
/// let receiver = builder.serve(pipeline.intake())?;
/// # drop(receiver);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `serve`"]
pub struct HttpReceiverBuilder {
    listening: Listening,
    path: String,
    max_request: usize,
    read_timeout: Option<Duration>,
    head_timeout: Option<Duration>,
    keep_alive: bool,
    treatment: Treatment,
    cors: Option<Cors>,
    response_headers: Headers,
    encodings: Option<Vec<String>>,
}

impl HttpReceiverBuilder {
    pub(super) fn new() -> Self {
        Self {
            listening: Listening {
                endpoint: "127.0.0.1:4318".into(),
                max_connections: 1024,
                connection_bytes: HTTP_CONNECTION_BYTES,
                stay: Stay {
                    handshake: Duration::from_secs(10),
                    opening: 1,
                    max_idle: Some(Duration::from_secs(60)),
                    max_age: None,
                    age_grace: None,
                },
                runtime: Runtime::own(),
                #[cfg(feature = "tls")]
                alpn: &[b"http/1.1"],
                #[cfg(feature = "tls")]
                tls: None,
            },
            path: format!("/{HTTP_PATH}"),
            max_request: 20 << 20,
            read_timeout: None,
            head_timeout: Some(Duration::from_secs(10)),
            keep_alive: true,
            treatment: Treatment::default(),
            cors: None,
            response_headers: Headers::new(),
            encodings: None,
        }
    }

    /// Where to listen: `host:port`, where port 0 stands for any that is free, `unix:/path` or `unix-abstract:name`.
    /// Default: `127.0.0.1:4318`, which nobody reaches from outside.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.listening.endpoint = endpoint.into();
        self
    }

    /// The path that spans are posted to, without a query; the slash before it may be left out. Default: `/v1/traces`.
    pub fn traces_url_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The most bytes of a body, before and after decompression; at least 1. A connection may hold an eighth of the
    /// neighbours' share, which may be less; of JSON, whose protobuf stands beside it for a while, half of that. What is
    /// larger is answered with 413. Default: 20 MiB.
    pub fn max_request_body_size(mut self, bytes: usize) -> Self {
        self.max_request = bytes.max(1);
        self
    }

    /// How long the body of a request may take to come, however fast it is; zero: as long as it comes at
    /// [`SLOWEST_BYTES_PER_SECOND`](crate::receiver::SLOWEST_BYTES_PER_SECOND). Default: zero.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = some(timeout);
        self
    }

    /// How long the head of a request may take from its first byte to its last; zero: until the connection counts as idle.
    /// Default: 10 s, where the Collector has a minute.
    pub fn read_header_timeout(mut self, timeout: Duration) -> Self {
        self.head_timeout = some(timeout);
        self
    }

    shared_methods!();

    /// How long TLS, and after it the first byte, may take; zero: as long as they like. Default: 10 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.listening.stay.handshake = some(timeout).unwrap_or(Duration::MAX);
        self
    }

    /// How long a connection may stay without a request; zero: until another needs its place. Default: 1 minute.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.listening.stay.max_idle = some(timeout);
        self
    }

    /// What clients that are refused for now are told to wait; in `Retry-After`, in whole seconds, a part of one
    /// counted as one; zero: they may come at once. Default: 1 s.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.treatment.retry_after = wait;
        self
    }

    /// Answers a request when every exporter has sent its spans, and not as soon as they are admitted; zero: as soon as they
    /// are. Default: zero.
    ///
    /// A client hears 400, 401, 403, 404 or 429 when a server refused its spans for good and gave the gRPC status that stands for
    /// it, 500 when it gave another or none, and 503 when they were lost on the way, or when neither is
    /// known `within` that time, after which they may still be exported. It waits for as long as a batch waits to be filled,
    /// at least.
    pub fn answer_after_export(mut self, within: Duration) -> Self {
        self.treatment.wait = some(within).map_or(Wait::Admission, Wait::Export);
        self
    }

    /// Whether a connection is kept for the next request. Default: yes.
    pub fn keep_alives(mut self, keep: bool) -> Self {
        self.keep_alive = keep;
        self
    }

    /// Takes spans only from clients that show one of these tokens; others get 401. Default: from everybody who can connect.
    pub fn bearer(mut self, tokens: BearerTokens) -> Self {
        self.treatment.bearer = Some(tokens);
        self
    }

    /// Keeps the values of these headers with the spans of a request, in whatever case they are named, for processors that ask
    /// for them as `metadata.` and a name in small letters: see [`ClientInfo`](spanwire_core::batch::ClientInfo). Default:
    /// none, and nothing else is kept.
    pub fn keep_metadata<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.treatment.kept.keep_headers(names);
        self
    }

    /// Which web pages may send. Default: none.
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = Some(cors);
        self
    }

    /// What is sent along with every answer. One whose file can't be read is left out. Default: nothing.
    pub fn response_headers(mut self, headers: Headers) -> Self {
        self.response_headers = headers;
        self
    }

    /// The values of `Content-Encoding` that are taken, `identity` or an empty one for a body as it is; others are answered
    /// with 400. `deflate` and `zlib` are one. Default: all that are built in.
    pub fn content_encodings<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        self.encodings = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Binds, and begins to take in what is offered to `intake`.
    ///
    /// # Errors
    ///
    /// [`InvalidHttpReceiver`] names the setting at fault.
    pub fn serve(self, intake: Intake) -> Result<HttpReceiver, InvalidHttpReceiver> {
        let path = checked_path(self.path)?;
        let codings = match self.encodings {
            Some(names) => {
                Codings::of(&names).map_err(|name| InvalidHttpReceiver::Encoding { name })?
            }
            None => Codings::default(),
        };
        if let Some(why) = self.cors.as_ref().and_then(Cors::fault) {
            return Err(InvalidHttpReceiver::Cors { why });
        }
        let handler = Handler::new(
            Admission::new(intake.clone(), self.treatment),
            Settings {
                path,
                max_request: self.max_request,
                read_timeout: self.read_timeout,
                cors: self.cors,
                headers: CurrentHeaders::new(&self.response_headers),
                codings,
            },
        );
        let http = Http {
            handler: Arc::new(handler),
            head_timeout: self.head_timeout,
            keep_alive: self.keep_alive,
        };
        let listener = Listener::start(self.listening, intake, Arc::default(), http)
            .map_err(InvalidHttpReceiver::Listen)?;
        Ok(HttpReceiver { listener })
    }
}

/// A path with its slash.
fn checked_path(path: String) -> Result<String, InvalidHttpReceiver> {
    let whole = match path.starts_with('/') {
        true => path,
        false => format!("/{path}"),
    };
    let parsed = PathAndQuery::try_from(whole.as_str());
    match parsed {
        Ok(parsed) if parsed.path() == whole => Ok(whole),
        _ => Err(InvalidHttpReceiver::Path { path: whole }),
    }
}

/// Why a receiver can't start. Names the setting at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHttpReceiver {
    /// The endpoint can't be listened on.
    Listen(ListenError),
    /// The path has a query, or characters that no request may have.
    Path {
        /// The path.
        path: String,
    },
    /// A coding of bodies that is not built in.
    Encoding {
        /// Its name.
        name: String,
    },
    /// A setting of [`Cors`] that no browser would understand.
    Cors {
        /// Which, and why.
        why: String,
    },
}

impl fmt::Display for InvalidHttpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Path { path } => write!(
                f,
                "traces_url_path '{}' has a query, or characters that have to be percent-encoded",
                path.escape_debug()
            ),
            Self::Encoding { name } => write!(
                f,
                "content encoding {name:?} is not supported; supported: {}",
                Coding::NAMES
            ),
            Self::Cors { why } => write!(f, "cors: {why}"),
        }
    }
}

impl core::error::Error for InvalidHttpReceiver {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // Its words are ours.
            Self::Listen(error) => error.source(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gets_its_slash_and_nothing_else() {
        for (path, wanted) in [
            ("/v1/traces", Some("/v1/traces")),
            ("v1/traces", Some("/v1/traces")),
            ("/", Some("/")),
            ("", Some("/")),
            ("/a%20b", Some("/a%20b")),
            ("/a b", None),
            ("/a?b", None),
            ("/a#b", None),
        ] {
            assert_eq!(checked_path(path.into()).ok().as_deref(), wanted, "{path}");
        }
        let error = checked_path("a\nb".into()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "traces_url_path '/a\\nb' has a query, or characters that have to be percent-encoded"
        );
    }
}
