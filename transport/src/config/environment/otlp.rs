//! Where OTLP goes, and how.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

use super::value::Fault;

/// `OTEL_EXPORTER_OTLP_*`: each from its `TRACES` variant, or else from the general one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Otlp {
    /// Where to; `None`: not set, and a server of this machine is meant, at port 4317 for gRPC and 4318 for HTTP.
    pub endpoint: Option<Endpoint>,
    /// How; `None`: not set, and [`Setup`](crate::setup::Setup) speaks gRPC. The specification's default is `http/protobuf`
    /// where nothing speaks for another.
    pub protocol: Option<Protocol>,
    /// Headers of every request, in the order given. Default: none.
    pub headers: Vec<Header>,
    /// How long an export may take, its retries included; `None`: no limit, which 0 asks for. Default: 10 s.
    pub timeout: Option<Duration>,
    /// How requests are compressed; `None`: not set.
    pub compression: Option<Compression>,
    /// PEM file of the authorities that servers are trusted by; `None`: those of the system.
    pub certificate: Option<PathBuf>,
    /// PEM file of the client's key.
    pub client_key: Option<PathBuf>,
    /// PEM file of the client's certificates.
    pub client_certificate: Option<PathBuf>,
    /// Whether gRPC goes without TLS to an endpoint whose scheme does not say. Default: `false`.
    pub insecure: bool,
    /// Where the others come from.
    pub(crate) sources: Sources,
}

/// The names of the variables that settings come from: to name the one at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sources {
    pub(crate) protocol: &'static str,
    pub(crate) headers: &'static str,
    pub(crate) compression: &'static str,
    pub(crate) certificate: &'static str,
    pub(crate) client_key: &'static str,
    pub(crate) client_certificate: &'static str,
    pub(crate) insecure: &'static str,
}

impl Default for Sources {
    /// The general ones.
    fn default() -> Self {
        Self {
            protocol: "OTEL_EXPORTER_OTLP_PROTOCOL",
            headers: "OTEL_EXPORTER_OTLP_HEADERS",
            compression: "OTEL_EXPORTER_OTLP_COMPRESSION",
            certificate: "OTEL_EXPORTER_OTLP_CERTIFICATE",
            client_key: "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            client_certificate: "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            insecure: "OTEL_EXPORTER_OTLP_INSECURE",
        }
    }
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: None,
            headers: Vec::new(),
            timeout: Some(Duration::from_secs(10)),
            compression: None,
            certificate: None,
            client_key: None,
            client_certificate: None,
            insecure: false,
            sources: Sources::default(),
        }
    }
}

/// `OTEL_EXPORTER_OTLP_PROTOCOL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// `grpc`.
    Grpc,
    /// `http/protobuf`.
    HttpProtobuf,
    /// `http/json`.
    HttpJson,
}

impl Protocol {
    /// The name as it stands in the variable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
            Self::HttpJson => "http/json",
        }
    }
}

/// `OTEL_EXPORTER_OTLP_COMPRESSION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// `none`.
    None,
    /// `gzip`.
    Gzip,
    /// `zstd`, which Collectors know as well.
    Zstd,
}

/// `OTEL_EXPORTER_OTLP_ENDPOINT` or its `TRACES` variant.
///
/// [`Debug`](fmt::Debug) leaves out a user, a query and a fragment: they may be secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    /// The variable is the one for traces.
    for_traces: bool,
}

impl Endpoint {
    /// Takes a URL with a host (`http`, `https`), a path of a socket (`unix`, `unix-abstract`), a name for gRPC's
    /// resolver (`dns`, `passthrough`), or `host` and `host:port`.
    pub(super) fn new(text: &str, for_traces: bool) -> Result<Self, Fault> {
        check(text).map_err(|why| Fault::Endpoint { why })?;
        Ok(Self {
            text: text.into(),
            for_traces,
        })
    }

    /// The name of the variable.
    #[must_use]
    pub const fn variable(&self) -> &'static str {
        if self.for_traces {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
        } else {
            "OTEL_EXPORTER_OTLP_ENDPOINT"
        }
    }

    /// Whether it is the endpoint of traces alone, which OTLP/HTTP uses as it is.
    #[must_use]
    pub const fn is_for_traces(&self) -> bool {
        self.for_traces
    }

    /// The value of the variable: what gRPC is given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where OTLP/HTTP posts traces: the general endpoint is a base that `v1/traces` is added to; the one for traces is
    /// used as it is, with `/` for a path that is missing.
    ///
    /// OTLP exporter configuration, "Endpoint URLs for OTLP/HTTP".
    ///
    /// ```
    /// use spanwire_transport::config::environment::Environment;
    ///
    /// let url = |name, value| {
    ///     let endpoint = Environment::from_pairs([(name, value)]).otlp.endpoint;
    ///     endpoint.map(|endpoint| endpoint.http_url())
    /// };
    /// let general = url("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/otlp");
    /// assert_eq!(general.as_deref(), Some("http://collector:4318/otlp/v1/traces"));
    /// let traces = url("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318");
    /// assert_eq!(traces.as_deref(), Some("http://collector:4318/"));
    /// ```
    #[must_use]
    pub fn http_url(&self) -> String {
        // Behind the authority comes a path; a query and a fragment stay where they are.
        let authority = self.text.find("://").map_or(0, |at| at + 3);
        let behind = |text: &str, from: usize, stops: &[char]| {
            text.get(from..)
                .and_then(|rest| rest.find(stops))
                .map_or(text.len(), |at| from + at)
        };
        let path = behind(&self.text, authority, &['/', '?', '#']);
        let rest = behind(&self.text, path, &['?', '#']);
        let (before, rest) = self.text.split_at(rest);
        match (self.for_traces, before.get(path..).unwrap_or_default()) {
            (true, "") => format!("{before}/{rest}"),
            (true, _) => self.text.clone(),
            (false, path) if path.ends_with('/') => format!("{before}v1/traces{rest}"),
            (false, _) => format!("{before}/v1/traces{rest}"),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.text.find(['?', '#']).unwrap_or(self.text.len());
        let (shown, hidden) = self.text.split_at(end);
        let start = shown.find("://").map_or(0, |at| at + 3);
        let (scheme, rest) = shown.split_at(start);
        let host = rest.split_once('@').map_or(rest, |(_, host)| host);
        let mark = if hidden.is_empty() { "" } else { ".." };
        write!(f, "{:?}", format_args!("{scheme}{host}{mark}"))
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("the endpoint contains white space or a control character");
    }
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        // The forms of gRPC without slashes.
        None => match text.split_once(':') {
            Some((scheme @ ("unix" | "unix-abstract" | "dns" | "passthrough"), rest)) => {
                (Some(scheme), rest)
            }
            _ => (None, text),
        },
    };
    match scheme.map(str::to_ascii_lowercase).as_deref() {
        Some("unix" | "unix-abstract") if rest.is_empty() => Err("the endpoint has no path"),
        Some("unix" | "unix-abstract") => Ok(()),
        // The host follows an authority that may be empty.
        Some("dns" | "passthrough") if rest.trim_start_matches('/').is_empty() => {
            Err("the endpoint has no host")
        }
        Some("dns" | "passthrough") => Ok(()),
        Some("http" | "https") | None => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            host_and_port(rest.get(..end).unwrap_or_default())
        }
        Some(_) => {
            Err("the scheme of the endpoint is none of http, https, unix, unix-abstract, dns")
        }
    }
}

fn host_and_port(authority: &str) -> Result<(), &'static str> {
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (host, port) = match host.strip_prefix('[').map(|inner| inner.split_once(']')) {
        Some(Some((address, rest))) => match rest.strip_prefix(':') {
            Some(port) => (address, Some(port)),
            None if rest.is_empty() => (address, None),
            None => return Err("the endpoint has something behind its address"),
        },
        Some(None) => return Err("the address of the endpoint has no end"),
        None => match host.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, None),
        },
    };
    if host.is_empty() {
        return Err("the endpoint has no host");
    }
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if port.is_some_and(|port| !is_port(port)) {
        return Err("the port of the endpoint is not a number up to 65535");
    }
    Ok(())
}

/// One header of `OTEL_EXPORTER_OTLP_HEADERS`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The name, in lower case.
    pub name: String,
    /// The value.
    pub value: Secret,
}

/// Text that [`Debug`](fmt::Debug) does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text. It belongs on the wire and nowhere else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Reads `name=value,name=value`, the values percent-encoded. What can't be a header is left out and told by its
/// place; of a name that occurs twice, all are kept. `None`: there is none.
///
/// OTLP exporter configuration, "Specifying headers via environment variables"; W3C baggage; RFC 9110, 5.
pub(super) fn headers(text: &str, faults: &mut Vec<Fault>) -> Option<Vec<Header>> {
    let mut headers = Vec::new();
    for (member, text) in (1..).zip(text.split(',')) {
        match header(text.trim_matches([' ', '\t'])) {
            Ok(Some(header)) => headers.push(header),
            Ok(None) => {}
            Err(why) => faults.push(Fault::Header { member, why }),
        }
    }
    Some(headers).filter(|headers| !headers.is_empty())
}

fn header(text: &str) -> Result<Option<Header>, &'static str> {
    if text.is_empty() {
        return Ok(None);
    }
    let (name, value) = text.split_once('=').ok_or("is not name=value")?;
    let name = name.trim_matches([' ', '\t']);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() {
        return Err("has no name");
    }
    if !name.bytes().all(is_token) {
        return Err("has a name that is not a header's");
    }
    let value = percent_decoded(value.trim_matches([' ', '\t']))?;
    if value
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        return Err("has a control character in its value");
    }
    Ok(Some(Header {
        name: name.to_ascii_lowercase(),
        value: Secret(value),
    }))
}

fn percent_decoded(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| (digit as char).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high << 4 | low) as u8,
                    _ => return Err("has a percent sign without two hexadecimal digits"),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 once decoded")
}
