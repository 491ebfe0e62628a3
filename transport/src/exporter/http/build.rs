//! Settings of the HTTP exporter, validated.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use http::{HeaderValue, Uri};

use super::HttpExporter;
use crate::compression::Compression;
use crate::endpoint::{Address, Endpoint, InvalidEndpoint};
use crate::headers::Headers;
use crate::otlp::{HTTP_PATH, MAX_REQUEST, USER_AGENT};
use crate::proxy::{InvalidProxy, Proxies, Proxy};
use crate::runtime::Runtime;
#[cfg(feature = "tls")]
use crate::tls::{ClientTls, TlsError};

/// Builds a [`HttpExporter`]. Names and defaults are those of the OTLP exporter specification where it has them.
///
/// ```
/// use spanwire_transport::exporter::http::HttpExporter;
///
/// let built = HttpExporter::builder().endpoint("localhost").build();
/// assert_eq!(built.unwrap_err().to_string(), "endpoint host 'localhost' has no port after it");
/// assert!(HttpExporter::builder().endpoint("localhost:4318").insecure(true).build().is_ok());
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct HttpExporterBuilder {
    endpoint: String,
    /// Whether the endpoint is the URL of traces, rather than one that the path of traces is put after.
    as_is: bool,
    insecure: bool,
    proxies: Proxies,
    settings: Settings,
}

/// What an exporter is made of.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) endpoint: Endpoint,
    pub(super) headers: Headers,
    pub(super) compression: Compression,
    /// `None`: no limit but the reply's.
    pub(super) timeout: Option<Duration>,
    pub(super) max_request: usize,
    pub(super) concurrency: usize,
    pub(super) encoding: Encoding,
    /// Where requests go to, and what they call the server.
    pub(super) path: Uri,
    pub(super) host: HeaderValue,
    pub(super) proxy: Option<Proxy>,
    pub(super) user_agent: String,
    pub(super) runtime: Runtime,
    pub(super) under_tls: bool,
    #[cfg(feature = "tls")]
    pub(super) tls: ClientTls,
}

impl Settings {
    /// What each request tells the proxy that reads it. Through a tunnel, requests are not for the proxy.
    pub(super) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        let proxy = self.proxy.as_ref().filter(|_| !self.under_tls)?;
        proxy.authorization()
    }
}

impl HttpExporterBuilder {
    pub(super) fn new() -> Self {
        Self {
            endpoint: "http://localhost:4318".into(),
            as_is: false,
            insecure: false,
            proxies: Proxies::none(),
            settings: Settings {
                endpoint: Endpoint::local(4318),
                headers: Headers::new(),
                compression: Compression::None,
                timeout: Some(Duration::from_secs(10)),
                max_request: MAX_REQUEST,
                concurrency: 4,
                encoding: Encoding::Protobuf,
                path: Uri::from_static("/v1/traces"),
                host: HeaderValue::from_static("localhost:4318"),
                proxy: None,
                user_agent: USER_AGENT.into(),
                runtime: Runtime::own(),
                under_tls: false,
                #[cfg(feature = "tls")]
                tls: ClientTls::new(),
            },
        }
    }

    /// Where the server is, in any form of [`Endpoint`]: requests go to `v1/traces` below its path, and on a Unix domain
    /// socket to `/v1/traces`. OTLP exporter specification, `OTEL_EXPORTER_OTLP_ENDPOINT`. Default:
    /// `http://localhost:4318`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self.as_is = false;
        self
    }

    /// The URL that requests go to, as it is; without a path, to `/`. Takes the place of [`endpoint`](Self::endpoint). OTLP
    /// exporter specification, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`.
    pub fn traces_endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = url.into();
        self.as_is = true;
        self
    }

    /// How requests are encoded. Default: protobuf.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.settings.encoding = encoding;
        self
    }

    /// Whether an endpoint that does not say so itself, such as `collector:4318`, is spoken to in the clear. Default: no,
    /// under TLS.
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// What is sent along with every request. Default: nothing.
    pub fn headers(mut self, headers: Headers) -> Self {
        self.settings.headers = headers;
        self
    }

    /// How requests are compressed. Default: not at all.
    ///
    /// The memory for it is taken from the pipeline's working reserve; where that has no room, a request is sent as it
    /// is.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.settings.compression = compression;
        self
    }

    /// How long one export may take, connecting included; zero: as long as the pipeline waits. Default: 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        self
    }

    /// The most bytes of a request before compression; a batch that is larger is split. At least 1. Default: 64 MiB.
    pub fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_request = bytes.max(1);
        self
    }

    /// How many exports may be under way at once; at least 1. Default: 4.
    pub fn concurrency(mut self, exports: usize) -> Self {
        self.settings.concurrency = exports.max(1);
        self
    }

    /// A product to put before this exporter's own in the header `user-agent`: `"node-agent/1.2"`.
    pub fn user_agent(mut self, product: &str) -> Self {
        self.settings.user_agent = format!("{} {USER_AGENT}", product.trim());
        self
    }

    /// What runs the network. Default: [`Runtime::own`].
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.settings.runtime = runtime;
        self
    }

    /// Goes through the proxy that stands before the endpoint, if one does. Default: [`Proxies::none`].
    ///
    /// [`Setup`](crate::setup::Setup) follows the variables of the environment, as the exporters of OpenTelemetry in Go,
    /// Python and Rust do; here it takes [`Proxies::of_process`].
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Who is trusted, and what is shown, where the endpoint is spoken to under TLS. Default: the roots of the system, and
    /// nothing.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.settings.tls = tls;
        self
    }

    /// Validates the settings. Connects to nobody.
    ///
    /// # Errors
    ///
    /// [`InvalidHttpExporter`] names the setting at fault.
    pub fn build(self) -> Result<HttpExporter, InvalidHttpExporter> {
        let mut settings = self.settings;
        let endpoint: Endpoint = self
            .endpoint
            .parse()
            .map_err(InvalidHttpExporter::Endpoint)?;
        settings.path = path_of(&endpoint, self.as_is)?;
        settings.host = HeaderValue::from_str(&endpoint.authority()).map_err(|_| {
            InvalidHttpExporter::Endpoint(InvalidEndpoint::Host {
                host: endpoint.host().into(),
            })
        })?;
        if HeaderValue::from_str(&settings.user_agent).is_err() {
            return Err(InvalidHttpExporter::UserAgent);
        }
        settings.under_tls = endpoint.tls().unwrap_or(!self.insecure);
        settings.proxy = self
            .proxies
            .before(&endpoint, settings.under_tls)
            .map_err(InvalidHttpExporter::Proxy)?;
        if settings.proxy.is_some() && !settings.under_tls {
            settings.path = absolute(&endpoint, &settings.path)?;
        }
        #[cfg(not(feature = "tls"))]
        if settings.under_tls {
            return Err(InvalidHttpExporter::NoTls);
        }
        #[cfg(feature = "tls")]
        if settings.under_tls {
            settings
                .tls
                .check(endpoint.host())
                .map_err(InvalidHttpExporter::Tls)?;
        }
        settings.endpoint = endpoint;
        Ok(HttpExporter {
            settings: Arc::new(settings),
            provisions: None,
            live: None,
        })
    }
}

/// Where requests go to on their server.
fn path_of(endpoint: &Endpoint, as_is: bool) -> Result<Uri, InvalidHttpExporter> {
    let is_tcp = matches!(endpoint.address(), Address::Tcp { .. });
    let path = match endpoint.path() {
        path if as_is && is_tcp => path.to_string(),
        base => format!("{}/{HTTP_PATH}", base.trim_end_matches('/')),
    };
    path.parse().map_err(|_| InvalidHttpExporter::Path { path })
}

/// The same path in the form that a proxy reads. RFC 9112, section 3.2.2.
fn absolute(endpoint: &Endpoint, path: &Uri) -> Result<Uri, InvalidHttpExporter> {
    let url = format!("http://{}{path}", endpoint.authority());
    url.parse()
        .map_err(|_| InvalidHttpExporter::Path { path: url })
}

/// How requests are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// `application/x-protobuf`: the bytes of the batch as they are. The default.
    #[default]
    Protobuf,
    /// `application/json`: text that is made for each attempt, in memory of the pipeline's working reserve. Where that
    /// has no room, the export is tried again later.
    Json,
}

impl Encoding {
    /// The media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// Why an HTTP exporter can't be built. Names the setting at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHttpExporter {
    /// The endpoint is none.
    Endpoint(InvalidEndpoint),
    /// The path of the endpoint has characters that no request may have.
    Path {
        /// The path.
        path: String,
    },
    /// The endpoint is to be spoken to under TLS, and the feature `tls` is off.
    NoTls,
    /// There can be no TLS as it is set.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// The user agent can't stand in a header.
    UserAgent,
    /// The proxy before the endpoint can't be used.
    Proxy(InvalidProxy),
}

impl fmt::Display for InvalidHttpExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => error.fmt(f),
            Self::Path { path } => write!(
                f,
                "endpoint path '{}' has characters that have to be percent-encoded",
                path.escape_debug()
            ),
            Self::NoTls => f.write_str(
                "endpoint is to be spoken to under TLS, which is not built in: begin it with http://, or set insecure",
            ),
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "tls: {error}"),
            Self::UserAgent => f.write_str("user agent has characters that no header may have"),
            Self::Proxy(error) => write!(f, "{}: {error}", error.variable()),
        }
    }
}

impl core::error::Error for InvalidHttpExporter {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_put_before_the_path_and_a_url_is_used_as_it_is() {
        for (endpoint, below, as_is) in [
            ("http://h", "/v1/traces", "/"),
            ("http://h:4318/", "/v1/traces", "/"),
            ("http://h/otlp", "/otlp/v1/traces", "/otlp"),
            ("http://h/otlp/", "/otlp/v1/traces", "/otlp/"),
            ("http://h/v1/traces", "/v1/traces/v1/traces", "/v1/traces"),
            ("h:4318", "/v1/traces", "/"),
            ("unix:/run/otel.sock", "/v1/traces", "/v1/traces"),
        ] {
            let builder = HttpExporterBuilder::new().insecure(true);
            let built = builder.clone().endpoint(endpoint).build().unwrap();
            assert_eq!(built.settings.path.path(), below, "{endpoint}");
            let built = builder.traces_endpoint(endpoint).build().unwrap();
            assert_eq!(built.settings.path.path(), as_is, "{endpoint}");
        }
    }

    #[test]
    fn faults_are_named() {
        let fault = |endpoint: &str| {
            let built = HttpExporterBuilder::new().endpoint(endpoint).build();
            built.unwrap_err().to_string()
        };
        assert_eq!(
            fault("ftp://h"),
            "endpoint scheme 'ftp' is none of http, https, unix, unix-abstract and dns"
        );
        assert!(fault("http://h/a\u{7f}b").starts_with("endpoint has white space"));
        let odd = HttpExporterBuilder::new().user_agent("a\nb").build();
        assert_eq!(odd.unwrap_err(), InvalidHttpExporter::UserAgent);
    }
}
