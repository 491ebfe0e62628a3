//! The way to a server: a socket, and TLS around it.

use core::fmt;
use core::time::Duration;
use std::io;

#[cfg(feature = "tls")]
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::endpoint::{Address, Endpoint};
#[cfg(feature = "http")]
use crate::proxy::Proxy;
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
    #[cfg(feature = "http")]
    proxy: Option<Proxy>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<CurrentTls>>,
}

impl Dialer {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            #[cfg(feature = "http")]
            proxy: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The same, through a proxy. Under TLS through a tunnel; in the clear the proxy reads each request.
    #[cfg(feature = "http")]
    pub(crate) fn through(self, proxy: Option<Proxy>) -> Self {
        Self { proxy, ..self }
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

    /// What the socket leads to: the server, or the proxy before it.
    fn next_hop(&self) -> &Address {
        #[cfg(feature = "http")]
        if let Some(proxy) = &self.proxy {
            return proxy.address();
        }
        self.endpoint.address()
    }

    fn unreachable(&self, error: io::Error) -> Unreachable {
        #[cfg(feature = "http")]
        if let Some(proxy) = &self.proxy {
            return Unreachable {
                endpoint: self.endpoint.to_string(),
                why: format!("through the proxy {proxy}: {error}"),
            };
        }
        Unreachable {
            endpoint: self.endpoint.to_string(),
            why: error.to_string(),
        }
    }

    async fn dial(&self) -> Result<Connection, Unreachable> {
        let unreachable = |error: io::Error| self.unreachable(error);
        let plain: Connection = match self.next_hop() {
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
            #[cfg(feature = "http")]
            let plain = match &self.proxy {
                Some(proxy) => tunnel(plain, &self.endpoint, proxy)
                    .await
                    .map_err(unreachable)?,
                None => plain,
            };
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

/// Has a proxy lead a connection on to a server. RFC 9110, section 9.3.6.
#[cfg(all(feature = "http", feature = "tls"))]
async fn tunnel(mut to: Connection, server: &Endpoint, proxy: &Proxy) -> io::Result<Connection> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let authority = server.authority();
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
    if let Some(value) = proxy.authorization() {
        request.extend_from_slice(b"proxy-authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    to.write_all(&request).await?;
    // The server says nothing before it is spoken to, so what comes is the proxy's, to the empty line.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= MAX_TUNNEL_ANSWER {
            return Err(io::Error::other("its answer is too long"));
        }
        if to.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = answer
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|digits| core::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(to),
        Some(status) => Err(io::Error::other(format!("HTTP status {status}"))),
        None => Err(io::Error::other("its answer is not HTTP")),
    }
}

/// The most bytes that a proxy may say before it leads on.
#[cfg(all(feature = "http", feature = "tls"))]
const MAX_TUNNEL_ANSWER: usize = 16 << 10;

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
