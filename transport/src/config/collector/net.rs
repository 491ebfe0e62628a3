//! Sections that servers and clients share: TLS, gRPC, HTTP, headers.

use core::time::Duration;

use super::super::keys::{Keys, Section, Walk};
use super::secret::{Headers, Secret};

/// TLS of a client. Without any key: TLS with the system's roots.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClientTls {
    /// In the clear, unless roots are given. Default: no.
    pub insecure: bool,
    /// Doesn't check who the server is: refused. Default: no.
    pub insecure_skip_verify: bool,
    /// The name that the server's certificate has to be for; empty, which is the default: the host of the endpoint.
    pub server_name_override: String,
    /// Trusts the system's roots beside those given: refused where any are. Default: no.
    pub include_system_ca_certs_pool: bool,
    /// File of the roots that are trusted; empty, which is the default: the system's.
    pub ca_file: String,
    /// The same as PEM text. Default: empty.
    pub ca_pem: Secret,
    /// File of the own certificate; empty, which is the default: none.
    pub cert_file: String,
    /// The same as PEM text. Default: empty.
    pub cert_pem: Secret,
    /// File of its private key. Default: empty.
    pub key_file: String,
    /// The same as PEM text. Default: empty.
    pub key_pem: Secret,
    /// Lowest version: 1.2, which is the default; no other is supported.
    pub min_version: String,
    /// Highest version; empty, which is the default, and 1.3: any.
    pub max_version: String,
    /// Without effect: files are read again when they change. Default: 0.
    pub reload_interval: Duration,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self {
            insecure: false,
            insecure_skip_verify: false,
            server_name_override: String::new(),
            include_system_ca_certs_pool: false,
            ca_file: String::new(),
            ca_pem: Secret::default(),
            cert_file: String::new(),
            cert_pem: Secret::default(),
            key_file: String::new(),
            key_pem: Secret::default(),
            min_version: String::new(),
            max_version: String::new(),
            reload_interval: Duration::ZERO,
        }
    }
}

impl Section for ClientTls {
    const LATER: &'static [&'static str] = &[
        "cipher_suites",
        "curve_preferences",
        "include_insecure_cipher_suites",
        "tpm",
    ];

    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("insecure", &mut self.insecure);
        keys.key("insecure_skip_verify", &mut self.insecure_skip_verify);
        keys.key("server_name_override", &mut self.server_name_override);
        keys.key(
            "include_system_ca_certs_pool",
            &mut self.include_system_ca_certs_pool,
        );
        keys.key("ca_file", &mut self.ca_file);
        keys.key("ca_pem", &mut self.ca_pem);
        keys.key("cert_file", &mut self.cert_file);
        keys.key("cert_pem", &mut self.cert_pem);
        keys.key("key_file", &mut self.key_file);
        keys.key("key_pem", &mut self.key_pem);
        keys.key("min_version", &mut self.min_version);
        keys.key("max_version", &mut self.max_version);
        keys.key("reload_interval", &mut self.reload_interval);
    }

    fn check(&self, walk: &mut Walk) {
        check_tls(
            walk,
            [
                (&self.ca_file, &self.ca_pem),
                (&self.cert_file, &self.cert_pem),
                (&self.key_file, &self.key_pem),
            ],
            &self.min_version,
            &self.max_version,
        );
        if self.insecure_skip_verify {
            walk.within("insecure_skip_verify", |walk| {
                walk.fault("is not supported: who the server is, is always checked")
            });
        }
    }
}

/// TLS of a server.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServerTls {
    /// Without effect on a server, where `client_ca_file` says whose clients are let in. Default: empty.
    pub ca_file: String,
    /// The same as PEM text. Default: empty.
    pub ca_pem: Secret,
    /// File of the own certificate; a server needs it, or its text. Default: empty.
    pub cert_file: String,
    /// The same as PEM text. Default: empty.
    pub cert_pem: Secret,
    /// File of its private key; a server needs it, or its text. Default: empty.
    pub key_file: String,
    /// The same as PEM text. Default: empty.
    pub key_pem: Secret,
    /// Lowest version: 1.2, which is the default, or 1.3.
    pub min_version: String,
    /// Highest version; empty, which is the default, and 1.3: any. No other is supported.
    pub max_version: String,
    /// Without effect: files are read again when they change. Default: 0.
    pub reload_interval: Duration,
    /// File of the roots of client certificates, which are then required; empty, which is the default: they are not.
    pub client_ca_file: String,
    /// Reads that file again when it changes, as is done anyway. Default: no.
    pub client_ca_file_reload: bool,
}

impl Default for ServerTls {
    fn default() -> Self {
        Self {
            ca_file: String::new(),
            ca_pem: Secret::default(),
            cert_file: String::new(),
            cert_pem: Secret::default(),
            key_file: String::new(),
            key_pem: Secret::default(),
            min_version: String::new(),
            max_version: String::new(),
            reload_interval: Duration::ZERO,
            client_ca_file: String::new(),
            client_ca_file_reload: false,
        }
    }
}

impl Section for ServerTls {
    const LATER: &'static [&'static str] = &[
        "cipher_suites",
        "curve_preferences",
        "include_insecure_cipher_suites",
        "include_system_ca_certs_pool",
        "tpm",
    ];

    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("ca_file", &mut self.ca_file);
        keys.key("ca_pem", &mut self.ca_pem);
        keys.key("cert_file", &mut self.cert_file);
        keys.key("cert_pem", &mut self.cert_pem);
        keys.key("key_file", &mut self.key_file);
        keys.key("key_pem", &mut self.key_pem);
        keys.key("min_version", &mut self.min_version);
        keys.key("max_version", &mut self.max_version);
        keys.key("reload_interval", &mut self.reload_interval);
        keys.key("client_ca_file", &mut self.client_ca_file);
        keys.key("client_ca_file_reload", &mut self.client_ca_file_reload);
    }

    fn check(&self, walk: &mut Walk) {
        check_tls(
            walk,
            [
                (&self.ca_file, &self.ca_pem),
                (&self.cert_file, &self.cert_pem),
                (&self.key_file, &self.key_pem),
            ],
            &self.min_version,
            &self.max_version,
        );
        if self.cert_file.is_empty() && self.cert_pem.is_empty() {
            walk.fault("a server needs both certificate and key");
        }
    }
}

/// Who checks requests, or signs them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct Authenticator {
    /// Id of the extension that does it. Default: empty.
    pub authenticator: String,
}

impl Section for Authenticator {
    const LATER: &'static [&'static str] = &["request_params"];

    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("authenticator", &mut self.authenticator);
    }
}

/// Pings of an HTTP/2 client.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClientKeepalive {
    /// After how long without traffic. Default: 10 s.
    pub time: Duration,
    /// How long an answer may take. Default: 10 s.
    pub timeout: Duration,
    /// Also without requests under way. Default: no.
    pub permit_without_stream: bool,
}

impl Default for ClientKeepalive {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            permit_without_stream: false,
        }
    }
}

impl Section for ClientKeepalive {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("time", &mut self.time);
        keys.key("timeout", &mut self.timeout);
        keys.key("permit_without_stream", &mut self.permit_without_stream);
    }
}

/// Pings and ages of the connections of a server. Default of each: 0, which stands for what gRPC has.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServerParameters {
    /// How long one may be idle; 0: for ever.
    pub max_connection_idle: Duration,
    /// How long one may live; 0: for ever.
    pub max_connection_age: Duration,
    /// How long requests may then take; 0: as long as they like.
    pub max_connection_age_grace: Duration,
    /// After how long without traffic it is pinged; 0: 2 h.
    pub time: Duration,
    /// How long the answer may take; 0: 20 s.
    pub timeout: Duration,
}

impl Default for ServerParameters {
    fn default() -> Self {
        Self {
            max_connection_idle: Duration::ZERO,
            max_connection_age: Duration::ZERO,
            max_connection_age_grace: Duration::ZERO,
            time: Duration::ZERO,
            timeout: Duration::ZERO,
        }
    }
}

impl Section for ServerParameters {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("max_connection_idle", &mut self.max_connection_idle);
        keys.key("max_connection_age", &mut self.max_connection_age);
        keys.key(
            "max_connection_age_grace",
            &mut self.max_connection_age_grace,
        );
        keys.key("time", &mut self.time);
        keys.key("timeout", &mut self.timeout);
    }
}

/// How often clients may ping. Without effect: one that pings too often is not told to go.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EnforcementPolicy {
    /// Least time between pings. Default: 0.
    pub min_time: Duration,
    /// Also without requests under way. Default: no.
    pub permit_without_stream: bool,
}

impl Default for EnforcementPolicy {
    fn default() -> Self {
        Self {
            min_time: Duration::ZERO,
            permit_without_stream: false,
        }
    }
}

impl Section for EnforcementPolicy {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("min_time", &mut self.min_time);
        keys.key("permit_without_stream", &mut self.permit_without_stream);
    }
}

/// Keepalive of a gRPC server.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct ServerKeepalive {
    /// What the server does. Default: what gRPC has.
    pub server_parameters: Option<ServerParameters>,
    /// What clients may do. Default: as often as they like.
    pub enforcement_policy: Option<EnforcementPolicy>,
}

impl Section for ServerKeepalive {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("server_parameters", &mut self.server_parameters);
        keys.key("enforcement_policy", &mut self.enforcement_policy);
    }
}

/// A gRPC server.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GrpcServer {
    /// Where it listens: `host:port`, or the path of a socket. Default: `localhost:4317`.
    pub endpoint: String,
    /// `tcp`, which is the default, `tcp4`, `tcp6` or `unix`.
    pub transport: String,
    /// TLS; default: none.
    pub tls: Option<ServerTls>,
    /// Largest message, in MiB; 0, which is the default: 4.
    pub max_recv_msg_size_mib: i64,
    /// Requests at a time on a connection; 0, which is the default: 100.
    pub max_concurrent_streams: u32,
    /// Without effect: buffers are sized by the memory there is. Default: 524288.
    pub read_buffer_size: i64,
    /// Without effect, as the other. Default: 0.
    pub write_buffer_size: i64,
    /// Keepalive. Default: what gRPC has.
    pub keepalive: Option<ServerKeepalive>,
    /// Who checks requests: refused. Default: nobody.
    pub auth: Option<Authenticator>,
    /// Keeps for processors the metadata of requests that they ask for with `from_context`, and no other. Default: no.
    pub include_metadata: bool,
}

impl Default for GrpcServer {
    fn default() -> Self {
        Self {
            endpoint: "localhost:4317".into(),
            transport: "tcp".into(),
            tls: None,
            max_recv_msg_size_mib: 0,
            max_concurrent_streams: 0,
            read_buffer_size: 524_288,
            write_buffer_size: 0,
            keepalive: None,
            auth: None,
            include_metadata: false,
        }
    }
}

impl Section for GrpcServer {
    const LATER: &'static [&'static str] = &["dialer", "middlewares"];

    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("endpoint", &mut self.endpoint);
        keys.key("transport", &mut self.transport);
        keys.key("tls", &mut self.tls);
        keys.key("max_recv_msg_size_mib", &mut self.max_recv_msg_size_mib);
        keys.key("max_concurrent_streams", &mut self.max_concurrent_streams);
        keys.key("read_buffer_size", &mut self.read_buffer_size);
        keys.key("write_buffer_size", &mut self.write_buffer_size);
        keys.key("keepalive", &mut self.keepalive);
        keys.key("auth", &mut self.auth);
        keys.key("include_metadata", &mut self.include_metadata);
    }

    fn check(&self, walk: &mut Walk) {
        check_endpoint(walk, &self.endpoint, &self.transport);
        if self.max_recv_msg_size_mib < 0 || self.max_recv_msg_size_mib > 2047 {
            walk.fault("invalid max_recv_msg_size_mib value, must be between 1 and 2047");
        }
        if self.read_buffer_size < 0 {
            walk.fault("invalid read_buffer_size value");
        }
        if self.write_buffer_size < 0 {
            walk.fault("invalid write_buffer_size value");
        }
    }
}

/// Which web pages may send.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct Cors {
    /// Their origins; `*` stands for any part. Default: none.
    pub allowed_origins: Vec<String>,
    /// Headers they may set, beside those that every page may. Default: none.
    pub allowed_headers: Vec<String>,
    /// Headers they may read, beside those that every page may. Default: none.
    pub exposed_headers: Vec<String>,
    /// Seconds for which a browser may keep the answer; 0, which is the default: as long as it likes, which is 5 s.
    pub max_age: i64,
}

impl Section for Cors {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("allowed_origins", &mut self.allowed_origins);
        keys.key("allowed_headers", &mut self.allowed_headers);
        keys.key("exposed_headers", &mut self.exposed_headers);
        keys.key("max_age", &mut self.max_age);
    }
}

/// An HTTP server.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HttpServer {
    /// Where it listens: `host:port`, or the path of a socket. Default: `localhost:4318`.
    pub endpoint: String,
    /// `tcp`, which is the default, `tcp4`, `tcp6` or `unix`.
    pub transport: String,
    /// TLS; default: none.
    pub tls: Option<ServerTls>,
    /// Who checks requests: refused. Default: nobody.
    pub auth: Option<Authenticator>,
    /// Requests from web pages; default: none.
    pub cors: Option<Cors>,
    /// Bytes of a body, before and after decompression. Default: 20 MiB.
    pub max_request_body_size: u64,
    /// Keeps for processors the headers of requests that they ask for with `from_context`, and no other. Default: no.
    pub include_metadata: bool,
    /// Encodings of bodies that are taken, empty for none; those that are not built in are refused. Default: those of the
    /// Collector, which stands for all that are built in.
    pub compression_algorithms: Vec<String>,
    /// Headers of every response. Default: none.
    pub response_headers: Headers,
    /// For reading the body of a request; 0, which is the default: as long as it comes at 64 KiB a second.
    pub read_timeout: Duration,
    /// For reading its headers; 0, which is the default: 10 s, where the Collector has a minute.
    pub read_header_timeout: Duration,
    /// Without effect: answers are small. Default: 0.
    pub write_timeout: Duration,
    /// Between requests; 0, which is the default: a minute.
    pub idle_timeout: Duration,
    /// Several requests on one connection. Default: yes.
    pub keep_alives_enabled: bool,
    /// Path of traces; the slash before it may be left out. Default: `/v1/traces`.
    pub traces_url_path: String,
    /// Path of metrics, which are not taken. Default: `/v1/metrics`.
    pub metrics_url_path: String,
    /// Path of logs, which are not taken. Default: `/v1/logs`.
    pub logs_url_path: String,
}

impl Default for HttpServer {
    fn default() -> Self {
        Self {
            endpoint: "localhost:4318".into(),
            transport: "tcp".into(),
            tls: None,
            auth: None,
            cors: None,
            max_request_body_size: 20 << 20,
            include_metadata: false,
            compression_algorithms: [
                "",
                "gzip",
                "zstd",
                "zlib",
                "snappy",
                "deflate",
                "lz4",
                "x-snappy-framed",
            ]
            .map(Into::into)
            .into(),
            response_headers: Headers::default(),
            read_timeout: Duration::ZERO,
            read_header_timeout: Duration::ZERO,
            write_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            keep_alives_enabled: true,
            traces_url_path: "/v1/traces".into(),
            metrics_url_path: "/v1/metrics".into(),
            logs_url_path: "/v1/logs".into(),
        }
    }
}

impl Section for HttpServer {
    const LATER: &'static [&'static str] = &["middlewares"];

    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("endpoint", &mut self.endpoint);
        keys.key("transport", &mut self.transport);
        keys.key("tls", &mut self.tls);
        keys.key("auth", &mut self.auth);
        keys.key("cors", &mut self.cors);
        keys.key("max_request_body_size", &mut self.max_request_body_size);
        keys.key("include_metadata", &mut self.include_metadata);
        keys.key("compression_algorithms", &mut self.compression_algorithms);
        keys.key("response_headers", &mut self.response_headers);
        keys.key("read_timeout", &mut self.read_timeout);
        keys.key("read_header_timeout", &mut self.read_header_timeout);
        keys.key("write_timeout", &mut self.write_timeout);
        keys.key("idle_timeout", &mut self.idle_timeout);
        keys.key("keep_alives_enabled", &mut self.keep_alives_enabled);
        keys.key("traces_url_path", &mut self.traces_url_path);
        keys.key("metrics_url_path", &mut self.metrics_url_path);
        keys.key("logs_url_path", &mut self.logs_url_path);
    }

    fn check(&self, walk: &mut Walk) {
        check_endpoint(walk, &self.endpoint, &self.transport);
        for (key, path) in [
            ("traces_url_path", &self.traces_url_path),
            ("metrics_url_path", &self.metrics_url_path),
            ("logs_url_path", &self.logs_url_path),
        ] {
            walk.within(key, |walk| check_url_path(walk, path));
        }
    }
}

/// What Go reads as a path, and no query behind it.
fn check_url_path(walk: &mut Walk, path: &str) {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(1..3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let mut escapes = path.match_indices('%');
    let before_slash = path.split('/').next().unwrap_or_default();
    let is_wrong = before_slash.contains(':')
        || path.contains(|c: char| c.is_ascii_control())
        || !escapes.all(|(at, _)| path.get(at..).is_some_and(is_escape));
    if is_wrong {
        walk.fault(format!("invalid HTTP URL path set for signal: {path:?}"));
    } else if path.contains([' ', '?', '#', '<', '>', '`']) {
        walk.fault(format!(
            "has a query, or characters that have to be percent-encoded: {path:?}"
        ));
    }
}

fn check_tls(walk: &mut Walk, pairs: [(&str, &Secret); 3], min: &str, max: &str) {
    for ((file, pem), name) in pairs.iter().zip(["ca", "cert", "key"]) {
        if !file.is_empty() && !pem.is_empty() {
            walk.fault(format!(
                "provide either {name}_file or {name}_pem, not both"
            ));
        }
    }
    let [_, cert, key] = pairs.map(|(file, pem)| !file.is_empty() || !pem.is_empty());
    if cert != key {
        walk.fault("must include both certificate and key");
    }
    for version in [min, max] {
        if !["", "1.0", "1.1", "1.2", "1.3"].contains(&version) {
            walk.fault(format!("unsupported TLS version: {version:?}"));
        } else if ["1.0", "1.1"].contains(&version) {
            walk.fault(format!(
                "TLS version {version:?} is not supported: 1.2 and 1.3 are"
            ));
        }
    }
    if !max.is_empty() && min > max {
        walk.fault("min_version cannot be greater than max_version");
    }
}

pub(super) fn check_endpoint(walk: &mut Walk, endpoint: &str, transport: &str) {
    match transport {
        "unix" if endpoint.is_empty() => walk.fault("unix socket path cannot be empty"),
        "unix" => {}
        "tcp" | "tcp4" | "tcp6" => check_port(walk, endpoint),
        other => walk.within("transport", |walk| {
            walk.fault(format!(
                "transport {other:?} is not supported; accepted: tcp, tcp4, tcp6, unix"
            ));
        }),
    }
}

pub(super) fn check_port(walk: &mut Walk, endpoint: &str) {
    walk.within("endpoint", |walk| match endpoint.rsplit_once(':') {
        None => walk.fault(format!("address {endpoint}: missing port in address")),
        Some((_, port)) if port.parse::<u16>().is_err() => {
            walk.fault(format!("invalid port {port:?}"));
        }
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => {
            walk.fault(format!("address {endpoint}: too many colons in address"));
        }
        Some(_) => {}
    });
}
