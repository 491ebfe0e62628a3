//! Where a server is.

use core::fmt;
use core::str::FromStr;
use std::path::{Path, PathBuf};

/// The address of a server, from the text of a setting.
///
/// | text | means |
/// |---|---|
/// | `http://host[:port][/path]` | TCP, in the clear; port 80 unless given |
/// | `https://host[:port][/path]` | TCP under TLS; port 443 unless given |
/// | `host:port`, `dns:host:port`, `dns:///host:port` | TCP; whether under TLS is the exporter's to say |
/// | `unix:/path`, `unix:///path` | a Unix domain socket |
/// | `unix-abstract:name` | one in Linux's abstract namespace |
///
/// A host is a name, an IPv4 address, or an IPv6 address in brackets. Names are looked up anew for each connection.
///
/// ```
/// use spanwire_transport::endpoint::{Endpoint, InvalidEndpoint};
///
/// let endpoint: Endpoint = "https://collector:4317".parse()?;
/// assert_eq!(endpoint.tls(), Some(true));
/// assert_eq!(endpoint.to_string(), "https://collector:4317/");
///
/// let wrong = "collector".parse::<Endpoint>();
/// assert_eq!(wrong, Err(InvalidEndpoint::NoPort { host: "collector".into() }));
/// # Ok::<(), InvalidEndpoint>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    address: Address,
    tls: Option<bool>,
    path: String,
}

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A host and a port.
    Tcp {
        /// A name, or an address of IPv4 or IPv6, without brackets.
        host: String,
        /// From 1 to 65,535.
        port: u16,
    },
    /// The path of a Unix domain socket.
    Unix(PathBuf),
    /// A name in Linux's abstract namespace, without the zero byte before it.
    UnixAbstract(String),
}

impl Endpoint {
    /// A port of this machine, in the clear.
    #[cfg(feature = "runtime")]
    pub(crate) fn local(port: u16) -> Self {
        Self {
            address: Address::Tcp {
                host: "localhost".into(),
                port,
            },
            tls: Some(false),
            path: "/".into(),
        }
    }

    /// What to connect to.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the connection is under TLS; `None` where the text does not say.
    #[must_use]
    pub fn tls(&self) -> Option<bool> {
        self.tls
    }

    /// The path of the URL: `/` at least. Means something to HTTP only.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port, as a request names them; `localhost` for a Unix domain socket.
    #[must_use]
    pub fn authority(&self) -> String {
        match &self.address {
            Address::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(_) | Address::UnixAbstract(_) => "localhost".into(),
        }
    }

    /// The name that the server's certificate has to be for.
    #[must_use]
    pub fn host(&self) -> &str {
        match &self.address {
            Address::Tcp { host, .. } => host,
            Address::Unix(_) | Address::UnixAbstract(_) => "localhost",
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        if text.is_empty() {
            return Err(InvalidEndpoint::Empty);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(InvalidEndpoint::Whitespace);
        }
        if let Some(rest) = strip_scheme(text, "unix:") {
            return unix(rest);
        }
        if let Some(name) = strip_scheme(text, "unix-abstract:") {
            return unix_abstract(name);
        }
        if let Some(rest) = strip_scheme(text, "dns:") {
            let rest = rest.trim_start_matches('/');
            return tcp(rest, None, None);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return tcp(text, None, None);
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" => tcp(rest, Some(false), Some(80)),
            "https" => tcp(rest, Some(true), Some(443)),
            // What stands before an unknown scheme is shown; what follows it may hold a secret.
            _ => Err(InvalidEndpoint::Scheme {
                scheme: scheme.into(),
            }),
        }
    }
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn unix(rest: &str) -> Result<Endpoint, InvalidEndpoint> {
    let path = match rest.strip_prefix("//") {
        // `unix://name/path` would name a host.
        Some(path) if !path.starts_with('/') => "",
        Some(path) => path,
        None => rest,
    };
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(InvalidEndpoint::SocketPath { path: rest.into() });
    }
    only_where_there_are_sockets(Address::Unix(Path::new(path).into()))
}

fn unix_abstract(name: &str) -> Result<Endpoint, InvalidEndpoint> {
    if name.is_empty() {
        return Err(InvalidEndpoint::SocketPath { path: name.into() });
    }
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return Err(InvalidEndpoint::Unsupported {
            what: "unix-abstract",
        });
    }
    only_where_there_are_sockets(Address::UnixAbstract(name.into()))
}

fn only_where_there_are_sockets(address: Address) -> Result<Endpoint, InvalidEndpoint> {
    if !cfg!(unix) {
        return Err(InvalidEndpoint::Unsupported { what: "unix" });
    }
    Ok(Endpoint {
        address,
        tls: Some(false),
        path: "/".into(),
    })
}

fn tcp(rest: &str, tls: Option<bool>, port: Option<u16>) -> Result<Endpoint, InvalidEndpoint> {
    if rest.contains(['?', '#']) {
        return Err(InvalidEndpoint::Query);
    }
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    // Nothing of it is shown: it may be a password.
    if authority.contains('@') {
        return Err(InvalidEndpoint::Credentials);
    }
    if tls.is_none() && path != "/" {
        return Err(InvalidEndpoint::PathWithoutScheme { path: path.into() });
    }
    let (host, given) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let Some((host, after)) = bracketed.split_once(']') else {
                return Err(InvalidEndpoint::Host {
                    host: authority.into(),
                });
            };
            if host.parse::<core::net::Ipv6Addr>().is_err() {
                return Err(InvalidEndpoint::Host { host: host.into() });
            }
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => {
                    return Err(InvalidEndpoint::Host {
                        host: authority.into(),
                    });
                }
            }
        }
        None => {
            let (host, given) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            if given.is_some_and(|port| port.contains(':')) {
                return Err(InvalidEndpoint::BareIpv6 {
                    text: authority.into(),
                });
            }
            (host, given)
        }
    };
    if host.is_empty() {
        return Err(InvalidEndpoint::NoHost);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if !host.chars().all(allowed) {
        return Err(InvalidEndpoint::Host { host: host.into() });
    }
    let port = match given {
        Some(text) => match text.parse() {
            Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => port,
            _ => return Err(InvalidEndpoint::Port { port: text.into() }),
        },
        None => port.ok_or_else(|| InvalidEndpoint::NoPort { host: host.into() })?,
    };
    Ok(Endpoint {
        address: Address::Tcp {
            host: host.into(),
            port,
        },
        tls,
        path: path.into(),
    })
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::UnixAbstract(name) => write!(f, "unix-abstract:{name}"),
            Address::Tcp { .. } => match self.tls {
                Some(true) => write!(f, "https://{}{}", self.authority(), self.path),
                Some(false) => write!(f, "http://{}{}", self.authority(), self.path),
                None => f.write_str(&self.authority()),
            },
        }
    }
}

/// Why a text is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "each field is the part of the text that is at fault"
)]
pub enum InvalidEndpoint {
    /// There is no text.
    Empty,
    /// There is white space, or a control character, in it.
    Whitespace,
    /// The scheme is none that is spoken here.
    Scheme { scheme: String },
    /// Nothing stands before the port, or after the scheme.
    NoHost,
    /// The host is no name and no address.
    Host { host: String },
    /// An IPv6 address needs brackets, or its last group reads as a port.
    BareIpv6 { text: String },
    /// The port is no number from 1 to 65,535.
    Port { port: String },
    /// Without a scheme, there has to be a port.
    NoPort { host: String },
    /// A path has no meaning without `http` or `https`.
    PathWithoutScheme { path: String },
    /// There is a user, or a password, in it. They belong into a header.
    Credentials,
    /// There is a query, or a fragment, in it.
    Query,
    /// The path of a Unix domain socket is not absolute, or names a directory; or the abstract name is empty.
    SocketPath { path: String },
    /// This system has no such sockets.
    Unsupported { what: &'static str },
}

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("endpoint is empty"),
            Self::Whitespace => f.write_str("endpoint has white space in it"),
            Self::Scheme { scheme } => write!(
                f,
                "endpoint scheme '{scheme}' is none of http, https, unix, unix-abstract and dns"
            ),
            Self::NoHost => f.write_str("endpoint has no host"),
            Self::Host { host } => write!(f, "endpoint host '{host}' is no name and no address"),
            Self::BareIpv6 { text } => {
                write!(f, "endpoint '{text}' is an IPv6 address without brackets")
            }
            Self::Port { port } => write!(f, "endpoint port '{port}' is no number from 1 to 65535"),
            Self::NoPort { host } => write!(f, "endpoint host '{host}' has no port after it"),
            Self::PathWithoutScheme { path } => write!(
                f,
                "endpoint path '{path}' means nothing without http:// or https:// before the host"
            ),
            Self::Credentials => {
                f.write_str("endpoint has credentials in it, which belong into a header")
            }
            Self::Query => f.write_str("endpoint has a query or a fragment in it"),
            Self::SocketPath { path } => write!(
                f,
                "endpoint socket '{path}' is neither an absolute path of a file nor a name"
            ),
            Self::Unsupported { what } => {
                write!(f, "endpoint scheme '{what}' does not exist on this system")
            }
        }
    }
}

impl core::error::Error for InvalidEndpoint {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Endpoint, InvalidEndpoint> {
        text.parse()
    }

    #[test]
    fn every_form() {
        for (text, shown, tls, authority, path) in [
            (
                "http://localhost:4317",
                "http://localhost:4317/",
                Some(false),
                "localhost:4317",
                "/",
            ),
            (
                "HTTP://Collector",
                "http://Collector:80/",
                Some(false),
                "Collector:80",
                "/",
            ),
            (
                "https://a.b-c_d.e/v1/traces",
                "https://a.b-c_d.e:443/v1/traces",
                Some(true),
                "a.b-c_d.e:443",
                "/v1/traces",
            ),
            (
                "https://[::1]:1/",
                "https://[::1]:1/",
                Some(true),
                "[::1]:1",
                "/",
            ),
            (
                "http://[fe80::1]",
                "http://[fe80::1]:80/",
                Some(false),
                "[fe80::1]:80",
                "/",
            ),
            (
                "127.0.0.1:65535",
                "127.0.0.1:65535",
                None,
                "127.0.0.1:65535",
                "/",
            ),
            ("[::1]:4317", "[::1]:4317", None, "[::1]:4317", "/"),
            (
                "dns:collector:4317",
                "collector:4317",
                None,
                "collector:4317",
                "/",
            ),
            (
                "dns:///collector:4317",
                "collector:4317",
                None,
                "collector:4317",
                "/",
            ),
            (
                "collector.:4317/",
                "collector.:4317",
                None,
                "collector.:4317",
                "/",
            ),
            (
                "unix:/run/otel.sock",
                "unix:/run/otel.sock",
                Some(false),
                "localhost",
                "/",
            ),
            (
                "unix:///run/otel.sock",
                "unix:/run/otel.sock",
                Some(false),
                "localhost",
                "/",
            ),
        ] {
            let endpoint = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(endpoint.to_string(), shown);
            assert_eq!(endpoint.tls(), tls, "{text}");
            assert_eq!(endpoint.authority(), authority);
            assert_eq!(endpoint.path(), path);
            // What is shown means the same.
            assert_eq!(parse(&endpoint.to_string()), Ok(endpoint), "{text}");
        }
        #[cfg(target_os = "linux")]
        assert_eq!(
            parse("unix-abstract:otel").unwrap().address(),
            &Address::UnixAbstract("otel".into())
        );
    }

    #[test]
    fn every_fault_is_named() {
        use InvalidEndpoint as E;
        for (text, error) in [
            ("", E::Empty),
            (" http://a:1", E::Whitespace),
            ("http://a\n:1", E::Whitespace),
            (
                "ftp://a:1",
                E::Scheme {
                    scheme: "ftp".into(),
                },
            ),
            (
                "grpc://a:1",
                E::Scheme {
                    scheme: "grpc".into(),
                },
            ),
            ("http://", E::NoHost),
            ("http://:80", E::NoHost),
            (":4317", E::NoHost),
            ("dns:", E::NoHost),
            ("http://a,b", E::Host { host: "a,b".into() }),
            (
                "http://[::1",
                E::Host {
                    host: "[::1".into(),
                },
            ),
            (
                "http://[::1]x",
                E::Host {
                    host: "[::1]x".into(),
                },
            ),
            ("http://[a]:1", E::Host { host: "a".into() }),
            (
                "::1:4317",
                E::BareIpv6 {
                    text: "::1:4317".into(),
                },
            ),
            ("http://a:", E::Port { port: "".into() }),
            ("a:0", E::Port { port: "0".into() }),
            ("a:+1", E::Port { port: "+1".into() }),
            (
                "a:65536",
                E::Port {
                    port: "65536".into(),
                },
            ),
            (
                "a:http",
                E::Port {
                    port: "http".into(),
                },
            ),
            (
                "localhost",
                E::NoPort {
                    host: "localhost".into(),
                },
            ),
            (
                "a:1/v1/traces",
                E::PathWithoutScheme {
                    path: "/v1/traces".into(),
                },
            ),
            ("https://user:secret@a", E::Credentials),
            ("http://a?token=secret", E::Query),
            ("http://a/#x", E::Query),
            (
                "unix:relative",
                E::SocketPath {
                    path: "relative".into(),
                },
            ),
            ("unix:", E::SocketPath { path: "".into() }),
            (
                "unix://host/path",
                E::SocketPath {
                    path: "//host/path".into(),
                },
            ),
            (
                "unix:/run/",
                E::SocketPath {
                    path: "/run/".into(),
                },
            ),
            ("unix-abstract:", E::SocketPath { path: "".into() }),
        ] {
            let found = parse(text).expect_err(text);
            assert_eq!(found, error, "{text}");
            let said = found.to_string();
            assert!(said.starts_with("endpoint"), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
