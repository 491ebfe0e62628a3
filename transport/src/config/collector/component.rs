//! Receivers and extensions, and their settings.

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
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            endpoint: "localhost:13133".into(),
            path: "/".into(),
            response_body: None,
        }
    }
}

impl Section for HealthCheck {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("endpoint", &mut self.endpoint);
        keys.key("path", &mut self.path);
        keys.key("response_body", &mut self.response_body);
    }

    fn check(&self, walk: &mut Walk) {
        check_port(walk, &self.endpoint);
        if !self.path.starts_with('/') {
            walk.fault("bad config: path must start with /");
        }
    }
}
