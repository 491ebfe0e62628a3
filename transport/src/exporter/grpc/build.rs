//! Settings of the gRPC exporter, validated.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use http::Uri;

use super::GrpcExporter;
use crate::endpoint::{Endpoint, InvalidEndpoint};
use crate::exporter::settings::{Fault, Shared, shared_methods};
#[cfg(feature = "tls")]
use crate::tls::TlsError;

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
    settings: Settings,
}

/// What an exporter is made of.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) shared: Shared,
    pub(super) keepalive: Option<(Duration, Duration)>,
}

impl GrpcExporterBuilder {
    pub(super) fn new() -> Self {
        Self {
            endpoint: "http://localhost:4317".into(),
            settings: Settings {
                shared: Shared::new(4317),
                keepalive: None,
            },
        }
    }

    /// Where the server is, in any form of [`Endpoint`] without a path. Default: `http://localhost:4317`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    shared_methods!();

    /// Asks the server after every `time` whether it is there, also when nothing is sent, and connects anew when it does not
    /// answer within `timeout`. Default: never, since many servers hang up on clients that ask more often than every five
    /// minutes. Without it, a server that has vanished is noticed by the first export that gets no answer.
    pub fn keepalive(mut self, time: Duration, timeout: Duration) -> Self {
        self.settings.keepalive = Some((time, timeout));
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
        settings.shared.check(endpoint)?;
        Ok(GrpcExporter {
            settings: Arc::new(settings),
            provisions: None,
            live: None,
        })
    }
}

impl From<Fault> for InvalidGrpcExporter {
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
            Self::Tls(_) => f.write_str("tls"),
            Self::UserAgent => f.write_str("user agent has characters that no header may have"),
        }
    }
}

impl core::error::Error for InvalidGrpcExporter {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // Its words are ours.
            Self::Endpoint(error) => error.source(),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}
