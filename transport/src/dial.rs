//! The way to a server: a socket, and TLS around it.

use core::fmt;
use core::time::Duration;
use std::io;

#[cfg(feature = "tls")]
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::endpoint::{Address, Endpoint};
#[cfg(feature = "tls")]
use crate::tls::CurrentTls;

/// A connection to a server.
pub(crate) type Connection = Box<dyn Stream>;

/// What a connection can do.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Makes connections to one endpoint. Clones share the settings.
#[derive(Clone)]
pub(crate) struct Dialer {
    endpoint: Endpoint,
    #[cfg(feature = "tls")]
    tls: Option<Arc<CurrentTls>>,
}

impl Dialer {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The same, under TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn under(self, tls: CurrentTls) -> Self {
        Self {
            tls: Some(Arc::new(tls)),
            ..self
        }
    }

    /// Connects, and gives up after `limit`.
    pub(crate) async fn dial_within(&self, limit: Duration) -> Result<Connection, Unreachable> {
        match tokio::time::timeout(limit, self.dial()).await {
            Ok(dialled) => dialled,
            Err(_) => Err(Unreachable {
                endpoint: self.endpoint.to_string(),
                why: format!("not within {limit:?}"),
            }),
        }
    }

    async fn dial(&self) -> Result<Connection, Unreachable> {
        let unreachable = |error: io::Error| Unreachable {
            endpoint: self.endpoint.to_string(),
            why: error.to_string(),
        };
        let plain: Connection = match self.endpoint.address() {
            Address::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port))
                    .await
                    .map_err(unreachable)?;
                // A request is written whole; waiting for more to send would only delay it.
                stream.set_nodelay(true).map_err(unreachable)?;
                Box::new(stream)
            }
            #[cfg(unix)]
            Address::Unix(path) => Box::new(
                tokio::net::UnixStream::connect(path)
                    .await
                    .map_err(unreachable)?,
            ),
            #[cfg(unix)]
            Address::UnixAbstract(name) => Box::new(
                tokio::net::UnixStream::connect(format!("\0{name}"))
                    .await
                    .map_err(unreachable)?,
            ),
            #[cfg(not(unix))]
            Address::Unix(_) | Address::UnixAbstract(_) => {
                return Err(unreachable(io::ErrorKind::Unsupported.into()));
            }
        };
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let no_tls = |error: &dyn fmt::Display| Unreachable {
                endpoint: self.endpoint.to_string(),
                why: format!("tls: {error}"),
            };
            let tls = tls.clone();
            let host = self.endpoint.host().to_owned();
            // Files are read, and roots parsed, where that holds up nobody's connections.
            let (config, name) = tokio::task::spawn_blocking(move || {
                Ok::<_, crate::tls::TlsError>((tls.config()?, tls.server_name(&host)?))
            })
            .await
            .map_err(|error| no_tls(&error))?
            .map_err(|error| no_tls(&error))?;
            let stream = tokio_rustls::TlsConnector::from(config)
                .connect(name, plain)
                .await
                .map_err(|error| no_tls(&error))?;
            return Ok(Box::new(stream));
        }
        Ok(plain)
    }
}

/// There is no connection, so nothing was sent.
#[derive(Clone, Debug)]
pub(crate) struct Unreachable {
    endpoint: String,
    why: String,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't connect to {}: {}", self.endpoint, self.why)
    }
}

impl core::error::Error for Unreachable {}
