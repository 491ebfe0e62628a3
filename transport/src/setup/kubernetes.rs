//! A pipeline as Kubernetes' components have it.

use super::Setup;
use crate::config::InvalidConfig;
use crate::config::environment::{ExporterName, Protocol, Sampler};
use crate::config::kubernetes::{TracingConfiguration, at_endpoint};
use crate::endpoint::Endpoint;

impl Setup {
    /// Records and sends as a component of Kubernetes with this tracing configuration does, such as the kubelet of the
    /// node; without one, `None`, nothing is recorded, and contexts are passed on.
    ///
    /// - Root spans are kept by `samplingRatePerMillion`, none where it is unset; spans with a parent are kept as it was.
    /// - OTLP/gRPC goes to `endpoint`, or where it is unset to what `OTEL_EXPORTER_OTLP_ENDPOINT` says or
    ///   `localhost:4317`, and always without TLS.
    /// - Of the environment the sampler, the exporters and the protocol do not count; headers, timeouts, compression,
    ///   `OTEL_BSP_*` and limits do.
    ///
    /// The resource is the program's: laid over the environment's where it is told to the builder after
    /// [`apply`](Self::apply).
    ///
    /// Kubernetes, `component-base/tracing`.
    ///
    #[cfg_attr(
        feature = "grpc",
        doc = "```
use spanwire_core::pipeline::Pipeline;
use spanwire_transport::config::environment::Environment;
use spanwire_transport::config::kubernetes::TracingConfiguration;
use spanwire_transport::diagnostics::Diagnostics;
use spanwire_transport::setup::Setup;

let file = \"tracing: {endpoint: 'localhost:4317', samplingRatePerMillion: 10000}\";
let tracing = TracingConfiguration::from_kubelet(file)?;
let pipeline = Setup::new(Environment::of_process())
    .kubernetes(tracing.as_ref())?
    .apply(Pipeline::builder(), &Diagnostics::stderr())
    .service_name(\"node-agent\")
    .build()?;
# drop(pipeline);
# Ok::<(), Box<dyn core::error::Error>>(())
```"
    )]
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] for each setting that Kubernetes refuses, and for an endpoint that it takes and that can't be
    /// connected to, such as `unix://path/to/socket`, which names a host.
    pub fn kubernetes(
        mut self,
        tracing: Option<&TracingConfiguration>,
    ) -> Result<Self, InvalidConfig> {
        let Some(tracing) = tracing else {
            self.environment.disabled = true;
            return Ok(self);
        };
        tracing.check()?;
        let environment = &mut self.environment;
        // Whole millionths, which this sampler counts in.
        let rate = tracing.sampling_rate_per_million.unwrap_or(0);
        environment.sampler = Sampler::ParentBasedTraceIdRatio(f64::from(rate) / 1e6);
        environment.exporters = vec![ExporterName::Otlp];
        let otlp = &mut environment.otlp;
        otlp.protocol = Some(Protocol::Grpc);
        otlp.insecure = true;
        (otlp.certificate, otlp.client_certificate, otlp.client_key) = (None, None, None);
        let said = otlp.endpoint.as_ref().map(|endpoint| endpoint.as_str());
        // A scheme of the environment that asks for TLS is not heard.
        let plain = said.and_then(|said| {
            let (scheme, rest) = said.split_once("://")?;
            let is_tls = scheme.eq_ignore_ascii_case("https");
            is_tls.then(|| rest.trim_end_matches('/').to_owned())
        });
        match tracing.target() {
            Some(target) => {
                let parsed = target.parse::<Endpoint>();
                parsed.map_err(|error| {
                    let said = error.to_string();
                    at_endpoint(said.strip_prefix("endpoint ").unwrap_or(&said))
                })?;
                self.endpoint = Some(target.into());
            }
            None => self.endpoint = plain.map(|rest| with_port(&rest)),
        }
        Ok(self)
    }
}

/// What stood behind `https://`, with the port that this means.
fn with_port(rest: &str) -> String {
    let host = rest.split('/').next().unwrap_or_default();
    let (has_port, path) = (
        host.rsplit_once(':')
            .is_some_and(|(_, port)| !port.contains(']')),
        rest.get(host.len()..).unwrap_or_default(),
    );
    match has_port {
        true => format!("http://{rest}"),
        false => format!("http://{host}:443{path}"),
    }
}
