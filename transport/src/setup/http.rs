//! An exporter over HTTP.

use super::otlp::Otlp;
use super::{Setup, problem};
use crate::config::environment::{Fault, Problem};
use crate::diagnostics::Chain;
use crate::endpoint::Endpoint;
use crate::exporter::http::{Encoding, HttpExporter, InvalidHttpExporter};

/// The exporter. What it can do without is told to `problems`.
pub(super) fn exporter(
    setup: &Setup,
    encoding: Encoding,
    problems: &mut Vec<Problem>,
) -> Result<HttpExporter, Problem> {
    let said = &setup.environment.otlp;
    let otlp = Otlp::new(setup, problems);
    // The variable is one of gRPC alone (OTLP exporter configuration, "Insecure").
    let parsed = otlp.endpoint.map(str::parse::<Endpoint>);
    if said.insecure && matches!(parsed, Some(Ok(endpoint)) if endpoint.tls().is_none()) {
        let instead = "over HTTP the scheme of the endpoint says whether there is TLS";
        problems.push(problem(
            said.sources.insecure,
            Fault::NotFollowed { instead },
        ));
    }
    let mut builder = HttpExporter::builder()
        .encoding(encoding)
        .headers(otlp.headers)
        .compression(otlp.compression)
        .timeout(otlp.timeout)
        .proxies(setup.environment.proxies.clone())
        .runtime(setup.runtime.clone());
    #[cfg(feature = "tls")]
    {
        builder = builder.tls(otlp.tls);
    }
    builder = match otlp.endpoint {
        None => builder,
        Some(text) if otlp.for_traces => builder.traces_endpoint(text),
        Some(text) => builder.endpoint(text),
    };
    builder.build().map_err(|error: InvalidHttpExporter| {
        let (variable, why) = match &error {
            #[cfg(feature = "tls")]
            InvalidHttpExporter::Tls(tls) => (
                super::otlp::at_fault(tls, said, otlp.variable),
                Chain(&error).to_string(),
            ),
            InvalidHttpExporter::Proxy(proxy) => (proxy.variable(), proxy.to_string()),
            _ => (otlp.variable, Chain(&error).to_string()),
        };
        problem(variable, Fault::Unbuildable { why })
    })
}
