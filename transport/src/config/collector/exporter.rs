//! Exporters, and what stands before them.

use core::time::Duration;

use super::super::keys::{Keys, Section, Walk};
use super::net::{Authenticator, ClientKeepalive, ClientTls, check_port};
use super::secret::{Headers, Secret};

/// `retry_on_failure`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Retry {
    /// Whether what failed is sent again.
    pub enabled: bool,
    /// The first delay.
    pub initial_interval: Duration,
    /// The longest delay.
    pub max_interval: Duration,
    /// For how long; 0: for ever.
    pub max_elapsed_time: Duration,
    /// How delays grow.
    pub multiplier: f64,
    /// By which share delays vary: 0 to 1.
    pub randomization_factor: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            enabled: true,
            initial_interval: Duration::from_secs(5),
            max_interval: Duration::from_secs(30),
            max_elapsed_time: Duration::from_secs(300),
            multiplier: 1.5,
            randomization_factor: 0.5,
        }
    }
}

impl Section for Retry {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("enabled", &mut self.enabled);
        keys.key("initial_interval", &mut self.initial_interval);
        keys.key("max_interval", &mut self.max_interval);
        keys.key("max_elapsed_time", &mut self.max_elapsed_time);
        keys.key("multiplier", &mut self.multiplier);
        keys.key("randomization_factor", &mut self.randomization_factor);
    }

    fn check(&self, walk: &mut Walk) {
        if !self.enabled {
            return;
        }
        if !(0.0..=1.0).contains(&self.randomization_factor) {
            walk.fault("'randomization_factor' must be within [0, 1]");
        }
        if self.multiplier.is_nan() || self.multiplier < 0.0 {
            walk.fault("'multiplier' must be non-negative");
        }
        if !self.max_elapsed_time.is_zero() {
            for (name, interval) in [
                ("initial_interval", self.initial_interval),
                ("max_interval", self.max_interval),
            ] {
                if self.max_elapsed_time < interval {
                    walk.fault(format!("'max_elapsed_time' must not be less than '{name}'"));
                }
            }
        }
    }
}

/// `sending_queue`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SendingQueue {
    /// Requests in flight.
    pub num_consumers: i64,
    /// Its capacity in the unit of `sizer`.
    pub queue_size: i64,
    /// `requests`, `items` (spans) or `bytes`.
    pub sizer: String,
    /// Answers after export.
    pub wait_for_result: bool,
    /// Waits when full.
    pub block_on_overflow: bool,
}

impl Default for SendingQueue {
    fn default() -> Self {
        Self {
            num_consumers: 10,
            queue_size: 1000,
            sizer: "requests".into(),
            wait_for_result: false,
            block_on_overflow: false,
        }
    }
}

impl Section for SendingQueue {
    const LATER: &'static [&'static str] = &["batch", "storage"];

    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("num_consumers", &mut self.num_consumers);
        keys.key("queue_size", &mut self.queue_size);
        keys.key("sizer", &mut self.sizer);
        keys.key("wait_for_result", &mut self.wait_for_result);
        keys.key("block_on_overflow", &mut self.block_on_overflow);
    }

    fn check(&self, walk: &mut Walk) {
        if self.num_consumers <= 0 {
            walk.fault("`num_consumers` must be positive");
        }
        if self.queue_size <= 0 {
            walk.fault("`queue_size` must be positive");
        }
        if !["requests", "items", "bytes"].contains(&self.sizer.as_str()) {
            walk.within("sizer", |walk| {
                walk.fault("accepted: requests, items, bytes")
            });
        }
    }
}

/// The `otlp_grpc` exporter, also known as `otlp`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OtlpGrpcExporter {
    /// Required: `host:port`, `http://`, `https://`, `dns:` or `unix:`.
    pub endpoint: String,
    /// Of one attempt; 0: none.
    pub timeout: Duration,
    /// Pings.
    pub keepalive: Option<ClientKeepalive>,
    /// Bytes; 0: the client's default.
    pub read_buffer_size: u64,
    /// Bytes.
    pub write_buffer_size: u64,
    /// Waits for a connection.
    pub wait_for_ready: bool,
    /// What the client calls itself; empty: its default.
    pub user_agent: String,
    /// The authority of requests; empty: the endpoint's.
    pub authority: String,
    /// `round_robin` or `pick_first`.
    pub balancer_name: String,
    /// `gzip`, `zstd` or `none`.
    pub compression: String,
    /// TLS.
    pub tls: ClientTls,
    /// Sent with every request.
    pub headers: Headers,
    /// Who signs requests.
    pub auth: Option<Authenticator>,
    /// The queue before it.
    pub sending_queue: Option<SendingQueue>,
    /// What happens when an export fails.
    pub retry_on_failure: Retry,
}

impl Default for OtlpGrpcExporter {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            timeout: Duration::from_secs(5),
            keepalive: None,
            read_buffer_size: 0,
            write_buffer_size: 524_288,
            wait_for_ready: false,
            user_agent: String::new(),
            authority: String::new(),
            balancer_name: "round_robin".into(),
            compression: "gzip".into(),
            tls: ClientTls::default(),
            headers: Headers::default(),
            auth: None,
            sending_queue: Some(SendingQueue::default()),
            retry_on_failure: Retry::default(),
        }
    }
}

impl Section for OtlpGrpcExporter {
    const LATER: &'static [&'static str] = &["batcher", "middlewares"];

    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("endpoint", &mut self.endpoint);
        keys.key("timeout", &mut self.timeout);
        keys.key("keepalive", &mut self.keepalive);
        keys.key("read_buffer_size", &mut self.read_buffer_size);
        keys.key("write_buffer_size", &mut self.write_buffer_size);
        keys.key("wait_for_ready", &mut self.wait_for_ready);
        keys.key("user_agent", &mut self.user_agent);
        keys.key("authority", &mut self.authority);
        keys.key("balancer_name", &mut self.balancer_name);
        keys.key("compression", &mut self.compression);
        keys.key("tls", &mut self.tls);
        keys.key("headers", &mut self.headers);
        keys.key("auth", &mut self.auth);
        keys.key("sending_queue", &mut self.sending_queue);
        keys.key("retry_on_failure", &mut self.retry_on_failure);
    }

    fn check(&self, walk: &mut Walk) {
        if self.endpoint.is_empty() {
            walk.fault("requires a non-empty \"endpoint\"");
        } else if self.endpoint.starts_with("unix:") {
            if self
                .endpoint
                .trim_start_matches("unix:")
                .trim_matches('/')
                .is_empty()
            {
                walk.fault("unix socket path cannot be empty");
            }
        } else {
            let target = self
                .endpoint
                .trim_start_matches("http://")
                .trim_start_matches("https://");
            check_port(
                walk,
                target
                    .trim_start_matches("dns:")
                    .trim_start_matches('/')
                    .trim_end_matches('/'),
            );
        }
        if !["round_robin", "pick_first"].contains(&self.balancer_name.as_str()) {
            walk.fault(format!("invalid balancer_name: {}", self.balancer_name));
        }
        if !["", "none", "gzip", "zstd"].contains(&self.compression.as_str()) {
            walk.within("compression", |walk| {
                walk.fault(format!(
                    "unsupported compression type {:?}; accepted: gzip, zstd, none",
                    self.compression
                ))
            });
        }
    }
}

/// The `otlp_http` exporter, also known as `otlphttp`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OtlpHttpExporter {
    /// URL to which `/v1/traces` is added.
    pub endpoint: String,
    /// URL as it is; goes before `endpoint`.
    pub traces_endpoint: String,
    /// `proto` or `json`.
    pub encoding: String,
    /// Of one attempt; 0: none.
    pub timeout: Duration,
    /// The proxy that it goes through, `http://user:password@host:port`; empty: the one that the environment names
    /// (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).
    pub proxy_url: Secret,
    /// `gzip`, `zstd` or `none`.
    pub compression: String,
    /// TLS.
    pub tls: ClientTls,
    /// Sent with every request.
    pub headers: Headers,
    /// Who signs requests.
    pub auth: Option<Authenticator>,
    /// The queue before it.
    pub sending_queue: Option<SendingQueue>,
    /// What happens when an export fails.
    pub retry_on_failure: Retry,
}

impl Default for OtlpHttpExporter {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            traces_endpoint: String::new(),
            encoding: "proto".into(),
            timeout: Duration::from_secs(30),
            proxy_url: Secret::default(),
            compression: "gzip".into(),
            tls: ClientTls::default(),
            headers: Headers::default(),
            auth: None,
            sending_queue: Some(SendingQueue::default()),
            retry_on_failure: Retry::default(),
        }
    }
}

impl Section for OtlpHttpExporter {
    const LATER: &'static [&'static str] = &[
        "batcher",
        "compression_params",
        "cookies",
        "disable_keep_alives",
        "force_attempt_http2",
        "http2_ping_timeout",
        "http2_read_idle_timeout",
        "idle_conn_timeout",
        "logs_endpoint",
        "max_conns_per_host",
        "max_idle_conns",
        "max_idle_conns_per_host",
        "metrics_endpoint",
        "middlewares",
        "profiles_endpoint",
        "read_buffer_size",
        "write_buffer_size",
    ];

    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("endpoint", &mut self.endpoint);
        keys.key("traces_endpoint", &mut self.traces_endpoint);
        keys.key("encoding", &mut self.encoding);
        keys.key("timeout", &mut self.timeout);
        keys.key("proxy_url", &mut self.proxy_url);
        keys.key("compression", &mut self.compression);
        keys.key("tls", &mut self.tls);
        keys.key("headers", &mut self.headers);
        keys.key("auth", &mut self.auth);
        keys.key("sending_queue", &mut self.sending_queue);
        keys.key("retry_on_failure", &mut self.retry_on_failure);
    }

    fn check(&self, walk: &mut Walk) {
        if self.endpoint.is_empty() && self.traces_endpoint.is_empty() {
            walk.fault("at least one endpoint must be specified");
        }
        if !["proto", "json"].contains(&self.encoding.as_str()) {
            walk.fault(format!("invalid encoding type: {}", self.encoding));
        }
        if !["", "none", "gzip", "zstd"].contains(&self.compression.as_str()) {
            walk.within("compression", |walk| {
                walk.fault(format!(
                    "unsupported compression type {:?}; accepted: gzip, zstd, none",
                    self.compression
                ))
            });
        }
    }
}

/// The `debug` exporter.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DebugExporter {
    /// `basic`, `normal` or `detailed`.
    pub verbosity: String,
    /// Messages of a second that are written.
    pub sampling_initial: u32,
    /// Then every how many-th.
    pub sampling_thereafter: u32,
    /// Through the program's log.
    pub use_internal_logger: bool,
    /// Where to, without the log.
    pub output_paths: Vec<String>,
    /// The queue before it.
    pub sending_queue: Option<SendingQueue>,
}

impl Default for DebugExporter {
    fn default() -> Self {
        Self {
            verbosity: "basic".into(),
            sampling_initial: 2,
            sampling_thereafter: 1,
            use_internal_logger: true,
            output_paths: vec!["stdout".into()],
            sending_queue: None,
        }
    }
}

impl Section for DebugExporter {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("verbosity", &mut self.verbosity);
        keys.key("sampling_initial", &mut self.sampling_initial);
        keys.key("sampling_thereafter", &mut self.sampling_thereafter);
        keys.key("use_internal_logger", &mut self.use_internal_logger);
        keys.key("output_paths", &mut self.output_paths);
        keys.key("sending_queue", &mut self.sending_queue);
    }

    fn check(&self, walk: &mut Walk) {
        if !["basic", "normal", "detailed"]
            .iter()
            .any(|word| self.verbosity.eq_ignore_ascii_case(word))
        {
            walk.within("verbosity", |walk| {
                // The Collector knows this one by its own name.
                let shown = match self.verbosity.eq_ignore_ascii_case("none") {
                    true => "None",
                    false => &self.verbosity,
                };
                walk.fault(format!(
                    "verbosity level {shown:?} is not supported; accepted: basic, normal, detailed"
                ))
            });
        }
    }
}

/// The `file` exporter: JSON lines.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct FileExporter {
    /// Required.
    pub path: String,
    /// Keeps what is there.
    pub append: bool,
}

impl Section for FileExporter {
    const LATER: &'static [&'static str] = &[
        "compression",
        "create_directory",
        "directory_permissions",
        "encoding",
        "flush_interval",
        "format",
        "group_by",
        "rotation",
    ];

    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("path", &mut self.path);
        keys.key("append", &mut self.append);
    }

    fn check(&self, walk: &mut Walk) {
        if self.path.is_empty() {
            walk.fault("path must be non-empty");
        }
    }
}
