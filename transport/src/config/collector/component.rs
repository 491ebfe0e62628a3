//! Receivers and extensions, and their settings.

use super::super::duration;
use super::super::keys::{Keys, Section, Walk};
use super::net::{GrpcServer, HttpServer, check_port};

/// What an OTLP receiver speaks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct Protocols {
    /// OTLP/gRPC.
    pub grpc: Option<GrpcServer>,
    /// OTLP/HTTP.
    pub http: Option<HttpServer>,
}

impl Section for Protocols {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("grpc", &mut self.grpc);
        keys.key("http", &mut self.http);
    }
}

/// The `otlp` receiver.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct OtlpReceiver {
    /// At least one of them.
    pub protocols: Protocols,
}

impl Section for OtlpReceiver {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("protocols", &mut self.protocols);
    }

    fn check(&self, walk: &mut Walk) {
        if self.protocols.grpc.is_none() && self.protocols.http.is_none() {
            walk.fault("must specify at least one protocol when using the OTLP receiver");
        }
    }
}

/// Bodies of answers; empty: JSON.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct ResponseBody {
    /// While it is ready.
    pub healthy: String,
    /// While it is not.
    pub unhealthy: String,
}

impl Section for ResponseBody {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("healthy", &mut self.healthy);
        keys.key("unhealthy", &mut self.unhealthy);
    }
}

/// What the Collector checks, and does nothing with. So is it here.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CheckCollectorPipeline {
    /// Without effect. Default: no.
    pub enabled: bool,
    /// Without effect. Default: `5m`.
    pub interval: String,
    /// Without effect; more than 0. Default: 5.
    pub exporter_failure_threshold: i64,
}

impl Default for CheckCollectorPipeline {
    fn default() -> Self {
        Self {
            enabled: false,
            interval: "5m".into(),
            exporter_failure_threshold: 5,
        }
    }
}

impl Section for CheckCollectorPipeline {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("enabled", &mut self.enabled);
        keys.key("interval", &mut self.interval);
        keys.key(
            "exporter_failure_threshold",
            &mut self.exporter_failure_threshold,
        );
    }

    fn check(&self, walk: &mut Walk) {
        if duration::parse(&self.interval).is_err() {
            walk.fault(format!(
                "invalid interval {:?}: wanted is a duration, for instance 5m",
                self.interval
            ));
        }
        if self.exporter_failure_threshold <= 0 {
            walk.fault("exporter_failure_threshold must be greater than zero");
        }
        if self.enabled {
            walk.warn("has no effect: what is answered is whether pipelines run");
        }
    }
}

/// The `health_check` extension.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// Where it listens.
    pub endpoint: String,
    /// Path of the answer.
    pub path: String,
    /// What it answers.
    pub response_body: Option<ResponseBody>,
    /// Without effect, as in the Collector.
    pub check_collector_pipeline: CheckCollectorPipeline,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            endpoint: "localhost:13133".into(),
            path: "/".into(),
            response_body: None,
            check_collector_pipeline: CheckCollectorPipeline::default(),
        }
    }
}

impl Section for HealthCheck {
    const LATER: &'static [&'static str] = &[
        "auth",
        "component_health",
        "compression_algorithms",
        "cors",
        "grpc",
        "http",
        "idle_timeout",
        "include_metadata",
        "keep_alives_enabled",
        "max_request_body_size",
        "middlewares",
        "read_header_timeout",
        "read_timeout",
        "response_headers",
        "tls",
        "transport",
        "use_v2",
        "write_timeout",
    ];

    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("endpoint", &mut self.endpoint);
        keys.key("path", &mut self.path);
        keys.key("response_body", &mut self.response_body);
        keys.key(
            "check_collector_pipeline",
            &mut self.check_collector_pipeline,
        );
    }

    fn check(&self, walk: &mut Walk) {
        check_port(walk, &self.endpoint);
        if !self.path.starts_with('/') {
            walk.fault("bad config: path must start with /");
        }
    }
}
