//! Settings of the HTTP exporter, validated.

use core::fmt;
use std::sync::Arc;

use http::{HeaderValue, Uri};

use super::HttpExporter;
use crate::endpoint::{Address, Endpoint, InvalidEndpoint};
use crate::exporter::settings::{Fault, Shared, shared_methods};
use crate::otlp::HTTP_PATH;
use crate::proxy::{InvalidProxy, Proxies, Proxy};
#[cfg(feature = "tls")]
use crate::tls::TlsError;

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
    proxies: Proxies,
    settings: Settings,
}

/// What an exporter is made of.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) shared: Shared,
    pub(super) encoding: Encoding,
    /// Where requests go to, and what they call the server.
    pub(super) path: Uri,
    pub(super) host: HeaderValue,
    pub(super) proxy: Option<Proxy>,
}

impl Settings {
    /// What each request tells the proxy that reads it. Through a tunnel, requests are not for the proxy.
    pub(super) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        let proxy = self.proxy.as_ref().filter(|_| !self.shared.under_tls)?;
        proxy.authorization()
    }
}

impl HttpExporterBuilder {
    pub(super) fn new() -> Self {
        Self {
            endpoint: "http://localhost:4318".into(),
            as_is: false,
            proxies: Proxies::none(),
            settings: Settings {
                shared: Shared::new(4318),
                encoding: Encoding::Protobuf,
                path: Uri::from_static("/v1/traces"),
                host: HeaderValue::from_static("localhost:4318"),
                proxy: None,
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

    shared_methods!();

    /// Goes through the proxy that stands before the endpoint, if one does. Default: [`Proxies::none`].
    ///
    /// [`Setup`](crate::setup::Setup) follows the variables of the environment, as the exporters of OpenTelemetry in Go,
    /// Python and Rust do; here it takes [`Proxies::of_process`].
    pub fn proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
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
        settings.shared.check(endpoint)?;
        let (endpoint, under_tls) = (&settings.shared.endpoint, settings.shared.under_tls);
        settings.proxy = self
            .proxies
            .before(endpoint, under_tls)
            .map_err(InvalidHttpExporter::Proxy)?;
        if settings.proxy.is_some() && !under_tls {
            settings.path = absolute(endpoint, &settings.path)?;
        }
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

impl From<Fault> for InvalidHttpExporter {
    fn from(fault: Fault) -> Self {
        match fault {
            #[cfg(not(feature = "tls"))]
            Fault::NoTls => Self::NoTls,
            #[cfg(feature = "tls")]
            Fault::Tls(error) => Self::Tls(error),
            Fault::UserAgent => Self::UserAgent,
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
            Self::Tls(_) => f.write_str("tls"),
            Self::UserAgent => f.write_str("user agent has characters that no header may have"),
            Self::Proxy(error) => f.write_str(error.variable()),
        }
    }
}

impl core::error::Error for InvalidHttpExporter {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // Its words are ours.
            Self::Endpoint(error) => error.source(),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            Self::Proxy(error) => Some(error),
            _ => None,
        }
    }
}

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
