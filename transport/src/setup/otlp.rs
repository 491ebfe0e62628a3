//! What every OTLP exporter is told.

use core::time::Duration;

use super::{Setup, problem};
use crate::compression::{Compression, UnknownCompression};
use crate::config::environment::{self, Fault, Problem};
use crate::headers::Headers;
#[cfg(feature = "tls")]
use crate::tls::{ClientTls, TlsError, TlsPart};

/// Settings that do not depend on the protocol.
pub(super) struct Otlp<'a> {
    pub(super) headers: Headers,
    pub(super) compression: Compression,
    /// Zero: no limit.
    pub(super) timeout: Duration,
    #[cfg(feature = "tls")]
    pub(super) tls: ClientTls,
    /// Where to, unless nobody says.
    pub(super) endpoint: Option<&'a str>,
    /// The endpoint is one for traces alone.
    #[cfg(feature = "http")]
    pub(super) for_traces: bool,
    /// The variable to name where the endpoint is at fault.
    pub(super) variable: &'static str,
}

impl<'a> Otlp<'a> {
    /// What the environment says, and the program over it. What can't be used is told to `problems`.
    pub(super) fn new(setup: &'a Setup, problems: &mut Vec<Problem>) -> Self {
        let said = &setup.environment.otlp;
        let endpoint = said.endpoint.as_ref();
        Self {
            headers: headers(setup, problems),
            compression: compression(said, problems),
            timeout: said.timeout.unwrap_or(Duration::ZERO),
            #[cfg(feature = "tls")]
            tls: tls(said, problems),
            endpoint: setup
                .endpoint
                .as_deref()
                .or_else(|| endpoint.map(environment::Endpoint::as_str)),
            #[cfg(feature = "http")]
            for_traces: setup.endpoint.is_none()
                && endpoint.is_some_and(environment::Endpoint::is_for_traces),
            variable: endpoint.map_or(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                environment::Endpoint::variable,
            ),
        }
    }
}

/// The variable to name where this is at fault; `endpoint` is that of the endpoint.
#[cfg(feature = "tls")]
pub(super) fn at_fault(
    error: &TlsError,
    said: &environment::Otlp,
    endpoint: &'static str,
) -> &'static str {
    let from = &said.sources;
    match error.part() {
        TlsPart::Roots => from.certificate,
        TlsPart::Certificate => from.client_certificate,
        TlsPart::Key => from.client_key,
        TlsPart::Other => endpoint,
    }
}

/// The headers of the environment, and over them the program's own.
fn headers(setup: &Setup, problems: &mut Vec<Problem>) -> Headers {
    let mut headers = Headers::new();
    let from = setup.environment.otlp.sources.headers;
    for header in &setup.environment.otlp.headers {
        if let Err(error) = headers.set(&header.name, header.value.reveal()) {
            let why = error.to_string();
            problems.push(problem(from, Fault::Unbuildable { why }));
        }
    }
    headers.merge(&setup.headers);
    headers
}

fn compression(said: &environment::Otlp, problems: &mut Vec<Problem>) -> Compression {
    let name = match said.compression {
        None | Some(environment::Compression::None) => return Compression::None,
        Some(environment::Compression::Gzip) => "gzip",
        Some(environment::Compression::Zstd) => "zstd",
    };
    name.parse().unwrap_or_else(|error: UnknownCompression| {
        let why = error.to_string();
        let from = said.sources.compression;
        problems.push(problem(from, Fault::Unbuildable { why }));
        Compression::None
    })
}

#[cfg(feature = "tls")]
fn tls(otlp: &environment::Otlp, problems: &mut Vec<Problem>) -> ClientTls {
    let mut tls = ClientTls::new();
    if let Some(roots) = &otlp.certificate {
        tls = tls.roots_file(roots);
    }
    let mut alone = |variable, instead| {
        problems.push(problem(variable, Fault::NotFollowed { instead }));
    };
    match (&otlp.client_certificate, &otlp.client_key) {
        (Some(certificate), Some(key)) => tls = tls.identity_files(certificate, key),
        (Some(_), None) => alone(
            otlp.sources.client_certificate,
            "no certificate is shown, since OTEL_EXPORTER_OTLP_CLIENT_KEY is not set",
        ),
        (None, Some(_)) => alone(
            otlp.sources.client_key,
            "no certificate is shown, since OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE is not set",
        ),
        (None, None) => {}
    }
    tls
}
