//! Settings of the gRPC exporter, validated.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use http::{HeaderValue, Uri};

use super::GrpcExporter;
use crate::compression::Compression;
use crate::endpoint::{Endpoint, InvalidEndpoint};
use crate::headers::Headers;
use crate::otlp::{MAX_REQUEST, USER_AGENT};
use crate::runtime::Runtime;
#[cfg(feature = "tls")]
use crate::tls::{ClientTls, TlsError};

/// Builds a [`GrpcExporter`]. Names and defaults are those of the OTLP exporter specification where it has them.
///
/// ```
/// use spanwire_transport::exporter::grpc::GrpcExporter;
///
/// let built = GrpcExporter::builder().endpoint("localhost").build();
/// assert_eq!(built.unwrap_err().to_string(), "endpoint host 'localhost' has no port after it");
/// assert!(GrpcExporter::builder().endpoint("localhost:4317").insecure(true).build().is_ok());
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct GrpcExporterBuilder {
    endpoint: String,
    insecure: bool,
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
    pub(super) keep_alive: Option<(Duration, Duration)>,
    pub(super) user_agent: String,
    pub(super) runtime: Runtime,
    pub(super) under_tls: bool,
    #[cfg(feature = "tls")]
    pub(super) tls: ClientTls,
}

impl GrpcExporterBuilder {
    pub(super) fn new() -> Self {
        Self {
            endpoint: "http://localhost:4317".into(),
            insecure: false,
            settings: Settings {
                endpoint: Endpoint::local(4317),
                headers: Headers::new(),
                compression: Compression::None,
                timeout: Some(Duration::from_secs(10)),
                max_request: MAX_REQUEST,
                concurrency: 4,
                keep_alive: None,
                user_agent: USER_AGENT.into(),
                runtime: Runtime::own(),
                under_tls: false,
                #[cfg(feature = "tls")]
                tls: ClientTls::new(),
            },
        }
    }

    /// Where the server is, in any form of [`Endpoint`] without a path. Default: `http://localhost:4317`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Whether an endpoint that does not say so itself, such as `collector:4317`, is spoken to in the clear. Default: no,
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

    /// Asks the server whether it is there this often, also when nothing is sent, and connects anew when it does not
    /// answer within `timeout`. Default: never, since many servers hang up on clients that ask more often than every five
    /// minutes. Without it, a server that has vanished is noticed by the first export that gets no answer.
    pub fn keep_alive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.settings.keep_alive = Some((interval, timeout));
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
    /// [`InvalidGrpcExporter`] names the setting at fault.
    pub fn build(self) -> Result<GrpcExporter, InvalidGrpcExporter> {
        let mut settings = self.settings;
        let endpoint: Endpoint = self
            .endpoint
            .parse()
            .map_err(InvalidGrpcExporter::Endpoint)?;
        if endpoint.path() != "/" {
            return Err(InvalidGrpcExporter::Path {
                path: endpoint.path().into(),
            });
        }
        // What follows parses both again, and has no error of its own to give.
        if endpoint.authority().parse::<Uri>().is_err() {
            return Err(InvalidGrpcExporter::Endpoint(InvalidEndpoint::Host {
                host: endpoint.host().into(),
            }));
        }
        if HeaderValue::from_str(&settings.user_agent).is_err() {
            return Err(InvalidGrpcExporter::UserAgent);
        }
        settings.under_tls = endpoint.tls().unwrap_or(!self.insecure);
        #[cfg(not(feature = "tls"))]
        if settings.under_tls {
            return Err(InvalidGrpcExporter::NoTls);
        }
        #[cfg(feature = "tls")]
        if settings.under_tls {
            settings
                .tls
                .check(endpoint.host())
                .map_err(InvalidGrpcExporter::Tls)?;
        }
        settings.endpoint = endpoint;
        Ok(GrpcExporter {
            settings: Arc::new(settings),
            provisions: None,
            live: None,
        })
    }
}

/// Why a gRPC exporter can't be built. Names the setting at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidGrpcExporter {
    /// The endpoint is none.
    Endpoint(InvalidEndpoint),
    /// The endpoint has a path, as endpoints of OTLP/HTTP do.
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
}

impl fmt::Display for InvalidGrpcExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => error.fmt(f),
            Self::Path { path } => write!(
                f,
                "endpoint path '{}' means nothing to gRPC, which has one of its own",
                path.escape_debug()
            ),
            Self::NoTls => f.write_str(
                "endpoint is to be spoken to under TLS, which is not built in: begin it with http://, or set insecure",
            ),
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "tls: {error}"),
            Self::UserAgent => f.write_str("user agent has characters that no header may have"),
        }
    }
}

impl core::error::Error for InvalidGrpcExporter {}
