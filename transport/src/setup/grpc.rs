//! An exporter over gRPC.

use super::otlp::Otlp;
use super::{Setup, problem};
use crate::config::environment::{Fault, Problem};
use crate::diagnostics::Chain;
use crate::exporter::grpc::{GrpcExporter, InvalidGrpcExporter};

/// The exporter. What it can do without is told to `problems`.
pub(super) fn exporter(
    setup: &Setup,
    problems: &mut Vec<Problem>,
) -> Result<GrpcExporter, Problem> {
    let said = &setup.environment.otlp;
    let otlp = Otlp::new(setup, problems);
    let told = |error: InvalidGrpcExporter| {
        let variable = match &error {
            #[cfg(feature = "tls")]
            InvalidGrpcExporter::Tls(tls) => super::otlp::at_fault(tls, said, otlp.variable),
            _ => otlp.variable,
        };
        let why = Chain(&error).to_string();
        problem(variable, Fault::Unbuildable { why })
    };
    let mut builder = GrpcExporter::builder()
        .insecure(said.insecure)
        .headers(otlp.headers)
        .compression(otlp.compression)
        .timeout(otlp.timeout)
        .runtime(setup.runtime.clone());
    #[cfg(feature = "tls")]
    {
        builder = builder.tls(otlp.tls);
    }
    let Some(text) = otlp.endpoint else {
        return builder.build().map_err(told);
    };
    match builder.clone().endpoint(text).build() {
        // Made for OTLP/HTTP; gRPC has a path of its own (OTLP exporter configuration, "Endpoint").
        Err(InvalidGrpcExporter::Path { path }) => {
            let without = text.find(&path).and_then(|at| text.get(..at));
            builder = builder.endpoint(without.unwrap_or(text));
            problems.push(told(InvalidGrpcExporter::Path { path }));
            builder.build().map_err(told)
        }
        built => built.map_err(told),
    }
}
