//! Proxies that stand before a server, as the environment names them.
//!
//! The variables are those of curl, read by the rules of Go's `net/http`, which the Collector and Kubernetes' components
//! follow: requests to this machine itself never go through a proxy. Only proxies that are spoken to by plain HTTP are
//! known: requests under TLS go through a tunnel made by `CONNECT` (RFC 9110, section 9.3.6), others in absolute form
//! (RFC 9112, section 3.2.2).

use core::fmt;
use core::net::IpAddr;
use std::ffi::OsString;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::endpoint::{Address, Endpoint, InvalidEndpoint};

/// Which requests go through which proxy.
///
/// | variable | says |
/// |---|---|
/// | `HTTP_PROXY` | the proxy for `http` endpoints; not read in a CGI program, where a client could set it |
/// | `HTTPS_PROXY` | the one for `https` endpoints |
/// | `ALL_PROXY` | the one where neither of those is set |
/// | `NO_PROXY` | names, addresses and networks, separated by commas, that are reached without one |
///
/// Each has a lower-case form, which is read where the upper-case one is unset or empty. A proxy is
/// `[http://][user:password@]host[:port]`; its port is 80 unless given. In `NO_PROXY`, `example.com` stands for itself and
/// everything below it, `.example.com` for what is below alone, `10.0.0.0/8` for a network, and `*` for everything; all
/// but the last two may end with a port.
///
/// ```
/// use spanwire_transport::proxy::Proxies;
///
/// let proxies = Proxies::from_pairs([
///     ("HTTPS_PROXY", "http://agent:s3cret@proxy:3128"),
///     ("NO_PROXY", "cluster.local"),
/// ]);
/// let collector = "https://collector.example:4318".parse()?;
/// let proxy = proxies.before(&collector, true)?;
/// assert_eq!(proxy.ok_or("none")?.to_string(), "proxy:3128");
/// assert!(proxies.before(&"https://otel.cluster.local".parse()?, true)?.is_none());
/// assert!(!format!("{proxies:?}").contains("s3cret"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Named>,
    https: Option<Named>,
    exempt: Vec<Exempt>,
}

/// What one variable says.
#[derive(Clone, Debug)]
struct Named {
    variable: &'static str,
    proxy: Result<Proxy, Why>,
}

/// A proxy. Its credentials are shown to nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    endpoint: Endpoint,
    authorization: Option<HeaderValue>,
}

/// What is reached without a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exempt {
    All,
    Network(IpAddr, u8),
    Name {
        name: String,
        /// What is below the name alone.
        below: bool,
        port: Option<u16>,
    },
}

impl Proxies {
    /// The variables that are read.
    pub const VARIABLES: &[&str] = &[
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ];

    /// No proxy for anything.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// What the variables of this process say now.
    #[must_use]
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var_os(name))
    }

    /// What these variables say; of a name that occurs twice, the first.
    #[must_use]
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs: Vec<_> = pairs.into_iter().collect();
        Self::read(|name| {
            let found = pairs.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.into())
        })
    }

    /// What the variables of this source say. It is asked for [`VARIABLES`](Self::VARIABLES), and for `REQUEST_METHOD`,
    /// by which a CGI program knows itself.
    #[must_use]
    pub fn read(mut source: impl FnMut(&str) -> Option<OsString>) -> Self {
        let is_cgi = source("REQUEST_METHOD").is_some();
        let mut first = |names: &[&'static str]| {
            names.iter().find_map(|&name| {
                let value = source(name)?;
                (!value.is_empty()).then(|| (name, value.into_string()))
            })
        };
        let mut named = |names: &[&'static str]| {
            first(names).map(|(variable, text)| Named {
                variable,
                proxy: text.map_err(|_| Why::Utf8).and_then(|text| proxy(&text)),
            })
        };
        let http = named(if is_cgi {
            &["http_proxy"]
        } else {
            &["HTTP_PROXY", "http_proxy"]
        });
        let https = named(&["HTTPS_PROXY", "https_proxy"]);
        let all = named(&["ALL_PROXY", "all_proxy"]);
        // What is not UTF-8 is no name of a host.
        let no = first(&["NO_PROXY", "no_proxy"]).and_then(|(_, text)| text.ok());
        let members = no.as_deref().unwrap_or_default().split(',');
        Self {
            http: http.or_else(|| all.clone()),
            https: https.or(all),
            exempt: members.filter_map(exempt).collect(),
        }
    }

    /// The proxy that stands before this server, if any.
    ///
    /// # Errors
    ///
    /// [`InvalidProxy`] where one does that can't be used. Going past it may not be allowed, so nothing stands in for it.
    pub fn before(
        &self,
        server: &Endpoint,
        under_tls: bool,
    ) -> Result<Option<Proxy>, InvalidProxy> {
        let Address::Tcp { host, port } = server.address() else {
            return Ok(None);
        };
        let named = if under_tls { &self.https } else { &self.http };
        let Some(named) = named else {
            return Ok(None);
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if is_this_machine(&host) || self.exempt.iter().any(|one| one.covers(&host, *port)) {
            return Ok(None);
        }
        let invalid = |why| InvalidProxy {
            variable: named.variable,
            why,
        };
        named.proxy.clone().map(Some).map_err(invalid)
    }
}

impl Proxy {
    pub(crate) fn address(&self) -> &Address {
        self.endpoint.address()
    }

    /// The value of `proxy-authorization`.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

/// The host and the port.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint.authority())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

fn proxy(text: &str) -> Result<Proxy, Why> {
    let (scheme, rest) = text
        .trim()
        .split_once("://")
        .unwrap_or(("http", text.trim()));
    if !scheme.eq_ignore_ascii_case("http") {
        // A password may stand in what is no scheme.
        let known = ["https", "socks4", "socks4a", "socks5", "socks5h"];
        let scheme = known
            .into_iter()
            .find(|known| scheme.eq_ignore_ascii_case(known));
        return Err(Why::Scheme(scheme.unwrap_or("")));
    }
    // A password may have an `@` in it, a host never.
    let (credentials, place) = match rest.rsplit_once('@') {
        Some((credentials, place)) => (Some(credentials), place),
        None => (None, rest),
    };
    let endpoint = format!("http://{place}").parse().map_err(Why::Place)?;
    let authorization = credentials.map(|credentials| {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let mut plain = decoded(user);
        plain.push(b':');
        plain.extend(decoded(password));
        let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(plain)))
            .map_err(|_| Why::Credentials)?;
        value.set_sensitive(true);
        Ok(value)
    });
    Ok(Proxy {
        endpoint,
        authorization: authorization.transpose()?,
    })
}

/// Undoes percent-encoding, RFC 3986, section 2.1. What only looks like it stays.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().iter();
    let mut out = Vec::with_capacity(text.len());
    while let Some(&byte) = bytes.next() {
        let escaped = bytes.as_slice().get(..2).filter(|_| byte == b'%');
        let value = escaped
            .and_then(|digits| core::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if value.is_some() {
            bytes.nth(1);
        }
        out.push(value.unwrap_or(byte));
    }
    out
}

fn exempt(member: &str) -> Option<Exempt> {
    let member = member.trim().to_ascii_lowercase();
    if member == "*" {
        return Some(Exempt::All);
    }
    if let Some((address, bits)) = member.split_once('/') {
        let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
        let most = if address.is_ipv4() { 32 } else { 128 };
        return (bits <= most).then_some(Exempt::Network(address, bits));
    }
    let is_bare_ipv6 = member.parse::<core::net::Ipv6Addr>().is_ok();
    let (name, port) = match member.rsplit_once(':').filter(|_| !is_bare_ipv6) {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port.parse().ok()?)),
        _ => (member.as_str(), None),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.strip_prefix('*').unwrap_or(name);
    let (name, below) = match name.strip_prefix('.') {
        Some(name) => (name, true),
        None => (name, false),
    };
    (!name.is_empty()).then(|| Exempt::Name {
        name: name.into(),
        below,
        port,
    })
}

impl Exempt {
    fn covers(&self, host: &str, at: u16) -> bool {
        match self {
            Self::All => true,
            Self::Network(network, bits) => match (network, host.parse()) {
                (IpAddr::V4(network), Ok(IpAddr::V4(host))) => {
                    let other = 32 - u32::from(*bits);
                    let difference = network.to_bits() ^ host.to_bits();
                    difference.checked_shr(other).unwrap_or(0) == 0
                }
                (IpAddr::V6(network), Ok(IpAddr::V6(host))) => {
                    let other = 128 - u32::from(*bits);
                    let difference = network.to_bits() ^ host.to_bits();
                    difference.checked_shr(other).unwrap_or(0) == 0
                }
                _ => false,
            },
            Self::Name { name, below, port } => {
                let is_below = || {
                    let front = host.strip_suffix(name.as_str());
                    front.is_some_and(|front| front.ends_with('.'))
                };
                port.is_none_or(|port| port == at) && ((!below && host == name) || is_below())
            }
        }
    }
}

/// What is wrong with a proxy. Nothing of the text is shown but what can be no password.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    Utf8,
    Scheme(&'static str),
    Place(InvalidEndpoint),
    Credentials,
}

/// A proxy that can't be used, by the name of its variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidProxy {
    variable: &'static str,
    why: Why,
}

impl InvalidProxy {
    /// The name of the variable.
    #[must_use]
    pub const fn variable(&self) -> &'static str {
        self.variable
    }
}

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Utf8 => f.write_str("proxy is not UTF-8"),
            Why::Scheme("") => f.write_str("proxy scheme is not http"),
            Why::Scheme(scheme) => write!(f, "proxy scheme '{scheme}' is not http"),
            // Its text may hold a part of a password.
            Why::Place(InvalidEndpoint::NoHost) => f.write_str("proxy has no host"),
            Why::Place(InvalidEndpoint::Port { .. }) => {
                f.write_str("proxy port is no number from 1 to 65535")
            }
            Why::Place(_) => f.write_str("proxy is no URL of a host"),
            Why::Credentials => f.write_str("proxy credentials can't stand in a header"),
        }
    }
}

impl core::error::Error for InvalidProxy {}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(pairs: &[(&str, &str)], server: &str) -> Result<Option<String>, String> {
        let server: Endpoint = server.parse().unwrap();
        let proxies = Proxies::from_pairs(pairs.iter().copied());
        let found = proxies.before(&server, server.tls().unwrap_or(true));
        found
            .map(|proxy| proxy.map(|proxy| proxy.to_string()))
            .map_err(|error| format!("{}: {error}", error.variable()))
    }

    #[test]
    fn each_scheme_has_its_variable_in_two_forms() {
        let server = ["http://far.example", "https://far.example", "far.example:9"];
        for (pairs, through) in [
            (&[][..], [None; 3]),
            (&[("HTTP_PROXY", "p")], [Some("p:80"), None, None]),
            (&[("http_proxy", "p")], [Some("p:80"), None, None]),
            (&[("HTTPS_PROXY", "p:1")], [None, Some("p:1"), Some("p:1")]),
            (&[("https_proxy", "p:1")], [None, Some("p:1"), Some("p:1")]),
            (&[("ALL_PROXY", "http://a:1/")], [Some("a:1"); 3]),
            (&[("all_proxy", "HTTP://a:1")], [Some("a:1"); 3]),
            (
                &[("ALL_PROXY", "a:1"), ("HTTP_PROXY", "h:1")],
                [Some("h:1"), Some("a:1"), Some("a:1")],
            ),
            (
                &[("HTTP_PROXY", "upper:1"), ("http_proxy", "lower:1")],
                [Some("upper:1"), None, None],
            ),
            (
                &[("HTTP_PROXY", ""), ("http_proxy", "lower:1")],
                [Some("lower:1"), None, None],
            ),
            (
                &[("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "evil:1")],
                [None; 3],
            ),
            (
                &[("HTTP_PROXY", "[::1]:3128")],
                [Some("[::1]:3128"), None, None],
            ),
        ] {
            let found = server.map(|server| before(pairs, server).unwrap());
            assert_eq!(
                found,
                through.map(|text| text.map(str::to_owned)),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn this_machine_and_sockets_are_never_behind_a_proxy() {
        let pairs = [("ALL_PROXY", "p:1")];
        for server in [
            "http://localhost:4318",
            "http://LOCALHOST.:4318",
            "http://127.0.0.1",
            "http://127.8.8.8",
            "http://[::1]:4318",
            "unix:/run/otel.sock",
        ] {
            assert_eq!(before(&pairs, server), Ok(None), "{server}");
        }
    }

    #[test]
    fn exemptions_are_names_addresses_and_networks() {
        for (no, inside, outside) in [
            ("*", &["a", "10.0.0.1", "[fd00::1]"][..], &[][..]),
            (
                "far.example",
                &["far.example", "a.far.example", "FAR.example."],
                &["afar.example", "example"],
            ),
            (
                ".far.example",
                &["a.far.example"],
                &["far.example", "afar.example"],
            ),
            ("*.far.example", &["a.far.example"], &["far.example"]),
            ("a, b ,,c", &["a", "b", "c"], &["d", "ab"]),
            (
                "10.0.0.0/8",
                &["10.255.0.1"],
                &["11.0.0.1", "10.example", "[fd00::1]"],
            ),
            ("0.0.0.0/0", &["10.255.0.1"], &["a"]),
            ("10.1.2.3/32", &["10.1.2.3"], &["10.1.2.2"]),
            (
                "fd00::/64",
                &["[fd00::1]"],
                &["[fd00:0:0:1::1]", "10.0.0.1"],
            ),
            ("10.1.2.3", &["10.1.2.3"], &["10.1.2.4"]),
            ("fd00::1", &["[fd00::1]"], &["[fd00::2]"]),
            ("[fd00::1]:80", &["[fd00::1]"], &["[fd00::1]:81"]),
            ("a:80,b:81", &["a", "x.a", "b:81"], &["a:81", "b"]),
            ("10.0.0.0/33,10.0.0.0/x,a:x", &[], &["10.0.0.1", "a"]),
        ] {
            let pairs = [("HTTP_PROXY", "p"), ("no_proxy", no)];
            for (servers, through) in [(inside, None), (outside, Some("p:80".to_owned()))] {
                for server in servers {
                    let found = before(&pairs, &format!("http://{server}"));
                    assert_eq!(found, Ok(through.clone()), "{no}: {server}");
                }
            }
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_named_and_not_shown() {
        for (text, why) in [
            ("socks5://u:hunter2@p", "proxy scheme 'socks5' is not http"),
            ("https://p", "proxy scheme 'https' is not http"),
            ("u:hunter2://p", "proxy scheme is not http"),
            ("http://u:hunter2@", "proxy has no host"),
            (
                "http://p:hunter2",
                "proxy port is no number from 1 to 65535",
            ),
            ("http://p hunter2", "proxy is no URL of a host"),
        ] {
            let pairs = [("https_proxy", text)];
            let error = before(&pairs, "https://far.example").unwrap_err();
            assert_eq!(error, format!("https_proxy: {why}"));
            let shown = format!("{:?}", Proxies::from_pairs(pairs));
            assert!(!shown.contains("hunter2@"), "{shown}");
            // It stands before nothing else.
            assert_eq!(before(&pairs, "http://far.example"), Ok(None));
        }
    }

    #[test]
    fn credentials_are_decoded_and_hidden() {
        for (text, plain) in [
            ("u:p@h", "u:p"),
            ("u@h", "u:"),
            ("http://us%40er:p%3a%zz%@h", "us@er:p:%zz%"),
            ("u:p@ss@h", "u:p@ss"),
        ] {
            let proxies = Proxies::from_pairs([("HTTP_PROXY", text)]);
            let proxy = proxies.before(&"http://far".parse().unwrap(), false);
            let proxy = proxy.unwrap().unwrap();
            let value = proxy.authorization().unwrap();
            assert!(value.is_sensitive());
            let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
            assert_eq!(STANDARD.decode(encoded).unwrap(), plain.as_bytes());
            let shown = format!("{proxies:?} {proxy:?} {proxy}");
            assert!(!shown.contains(encoded) && !shown.contains("p@"), "{shown}");
        }
    }
}
