//! A pipeline as the environment asks for it.
//!
//! [`Setup::apply`] tells a [`PipelineBuilder`] what an [`Environment`] says: sampler, limits, delays, resource,
//! exporters. Nothing here is fatal: what can't be built is told by the name of its variable, and where that leaves spans
//! with no way out they are rejected, batch by batch, with the reason, so that no account calls them exported.
//!
//! What a program says itself wins where it is said later: on the builder after `apply`, or on the [`Setup`]. A resource
//! that the builder had before gives way to the environment's, attribute by attribute.

use core::time::Duration;

use spanwire_core::batch::Batch;
use spanwire_core::exporter::{Exporter, Outcome, Reply};
use spanwire_core::pipeline::{PipelineBuilder, Stats};
use spanwire_core::sampler::{AlwaysOff, AlwaysOn, ParentBased, PerMillion};

use crate::config::environment::{Environment, ExporterName, Fault, Problem, Protocol, Sampler};
use crate::diagnostics::{Diagnostics, Level, Losses};
use crate::endpoint::{Endpoint, InvalidEndpoint};
#[cfg(feature = "http")]
use crate::exporter::http::Encoding;
use crate::headers::Headers;
#[cfg(feature = "runtime")]
use crate::runtime::Runtime;

// What every OTLP exporter is told.
#[cfg(any(feature = "grpc", feature = "http"))]
mod otlp;

// An exporter over gRPC.
#[cfg(feature = "grpc")]
mod grpc;

// An exporter over HTTP.
#[cfg(feature = "http")]
mod http;

// What a component of Kubernetes is told.
#[cfg(feature = "config")]
mod kubernetes;

// A Collector's configuration, running.
#[cfg(feature = "config")]
pub mod collector;

/// An environment, with what the program itself says on top.
///
#[cfg_attr(
    feature = "grpc",
    doc = "```
use std::time::Duration;
use spanwire_core::pipeline::Pipeline;
use spanwire_transport::config::environment::Environment;
use spanwire_transport::setup::Setup;
use spanwire_transport::diagnostics::Diagnostics;

let diagnostics = Diagnostics::stderr();
let environment = Environment::of_process();
environment.tell(&diagnostics);
let builder = Pipeline::builder().service_name(\"node-agent\");
let pipeline = Setup::new(environment)
    .apply(builder, &diagnostics)
    .memory_limit(8 << 20)
    .build()?;
let report = pipeline.shutdown(Duration::from_secs(1));
assert_eq!(report.lost(), 0);
# Ok::<(), spanwire_core::pipeline::InvalidPipeline>(())
```"
)]
#[derive(Clone, Debug)]
#[must_use = "a setup does nothing until `apply`"]
pub struct Setup {
    environment: Environment,
    endpoint: Option<String>,
    headers: Headers,
    #[cfg(feature = "runtime")]
    runtime: Runtime,
}

impl Setup {
    /// What this environment asks for.
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            endpoint: None,
            headers: Headers::new(),
            #[cfg(feature = "runtime")]
            runtime: Runtime::own(),
        }
    }

    /// Sends OTLP here, whatever the environment says; what `OTEL_EXPORTER_OTLP_ENDPOINT` would do, so OTLP/HTTP posts to
    /// `v1/traces` below it.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] when the text is none.
    pub fn endpoint(mut self, endpoint: &str) -> Result<Self, InvalidEndpoint> {
        endpoint.parse::<Endpoint>()?;
        self.endpoint = Some(endpoint.into());
        Ok(self)
    }

    /// Speaks this protocol, whatever the environment says. Where nobody says, it is gRPC, which Kubernetes' own
    /// components speak, or OTLP/HTTP where that alone is built in.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.environment.otlp.protocol = Some(protocol);
        self
    }

    /// Sends these headers over those of the environment.
    pub fn headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// What runs the network. Default: [`Runtime::own`].
    #[cfg(feature = "runtime")]
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// Tells `builder` what the environment says, defaults of the specification included, and adds its exporters. What
    /// can't be had is said to `diagnostics`, as a warning of the component `setup`. While the pipeline runs, they are told what
    /// is lost and what fails, as [`Losses`] has it. `OTEL_LOG_LEVEL` bounds what is said of either.
    ///
    /// - With `OTEL_SDK_DISABLED` no span is recorded, whatever sampler is said later: spans carry their parent's context
    ///   onward. There is no exporter that could send what neighbours do; it is rejected.
    /// - With `OTEL_TRACES_EXPORTER=none` spans are recorded as usual, and count as exported to nowhere.
    pub fn apply(self, builder: PipelineBuilder, diagnostics: &Diagnostics) -> PipelineBuilder {
        let mut problems = Vec::new();
        let diagnostics = diagnostics.up_to(self.environment.log_level.most());
        let builder = self.tell(builder, &mut problems);
        for problem in &problems {
            diagnostics.say(Level::Warn, "setup", format_args!("{problem}"));
        }
        builder.observer(move || {
            let mut losses = Losses::new(diagnostics.clone());
            move |stats: &Stats| losses.tell(stats)
        })
    }

    fn tell(self, builder: PipelineBuilder, problems: &mut Vec<Problem>) -> PipelineBuilder {
        let environment = &self.environment;
        if environment.disabled {
            let why = format!("{DISABLED} is true");
            return builder
                .disabled(true)
                .exporter(move || Unbuilt(why.clone()));
        }
        if environment.max_queue_size.is_some() {
            let fault = Fault::NotFollowed {
                instead: "a budget in bytes bounds what waits",
            };
            problems.push(problem("OTEL_BSP_MAX_QUEUE_SIZE", fault));
        }
        let mut builder = sampled(builder, environment.sampler, problems)
            .resource(&environment.resource)
            .span_limits(environment.limits)
            .schedule_delay(environment.schedule_delay)
            .export_timeout(environment.export_timeout.unwrap_or(Duration::ZERO));
        if let Some(spans) = environment.max_export_batch_size {
            builder = builder.max_export_batch_size(spans);
        }
        if environment.exporters.is_empty() {
            return builder.exporter(|| Nowhere);
        }
        for name in &environment.exporters {
            builder = match name {
                ExporterName::Otlp => self.otlp(builder, problems),
                ExporterName::Console => console(builder, problems),
                ExporterName::OtlpStdout => lines(builder, problems),
            };
        }
        builder
    }

    /// The exporter of the protocol that is asked for.
    fn otlp(&self, builder: PipelineBuilder, problems: &mut Vec<Problem>) -> PipelineBuilder {
        let protocol = self.environment.otlp.protocol.unwrap_or(UNSAID);
        match protocol {
            #[cfg(feature = "grpc")]
            Protocol::Grpc => built(builder, grpc::exporter(self, problems), problems),
            #[cfg(feature = "http")]
            Protocol::HttpProtobuf => {
                let exporter = http::exporter(self, Encoding::Protobuf, problems);
                built(builder, exporter, problems)
            }
            #[cfg(feature = "http")]
            Protocol::HttpJson => {
                let exporter = http::exporter(self, Encoding::Json, problems);
                built(builder, exporter, problems)
            }
            #[cfg(not(all(feature = "grpc", feature = "http")))]
            other => {
                let variable = self.environment.otlp.sources.protocol;
                unbuildable(builder, missing(variable, other.as_str()), problems)
            }
        }
    }
}

const DISABLED: &str = "OTEL_SDK_DISABLED";

/// The protocol where nobody says one: gRPC, if it is built in.
const UNSAID: Protocol = if cfg!(any(feature = "grpc", not(feature = "http"))) {
    Protocol::Grpc
} else {
    Protocol::HttpProtobuf
};

/// Adds an exporter, or what stands for it.
#[cfg(any(feature = "grpc", feature = "http"))]
fn built<E: Exporter + Clone + Sync + 'static>(
    builder: PipelineBuilder,
    exporter: Result<E, Problem>,
    problems: &mut Vec<Problem>,
) -> PipelineBuilder {
    match exporter {
        Ok(exporter) => builder.exporter(move || exporter.clone()),
        Err(problem) => unbuildable(builder, problem, problems),
    }
}

fn problem(variable: &'static str, fault: Fault) -> Problem {
    Problem { variable, fault }
}

/// The value asks for a part of this crate that is not built in.
#[cfg_attr(
    all(
        feature = "debug",
        feature = "file",
        feature = "grpc",
        feature = "http"
    ),
    allow(dead_code, reason = "everything is built in")
)]
fn missing(variable: &'static str, value: &str) -> Problem {
    let value = value.into();
    problem(variable, Fault::Unsupported { value })
}

fn sampled(
    builder: PipelineBuilder,
    sampler: Sampler,
    problems: &mut Vec<Problem>,
) -> PipelineBuilder {
    match sampler {
        Sampler::AlwaysOn => builder.sampler(AlwaysOn),
        Sampler::AlwaysOff => builder.sampler(AlwaysOff),
        Sampler::TraceIdRatio(part) => builder.sampler(ratio(part, problems)),
        Sampler::ParentBasedAlwaysOn => builder.sampler(ParentBased::new(AlwaysOn)),
        Sampler::ParentBasedAlwaysOff => builder.sampler(ParentBased::new(AlwaysOff)),
        Sampler::ParentBasedTraceIdRatio(part) => {
            builder.sampler(ParentBased::new(ratio(part, problems)))
        }
    }
}

/// The sampler of Kubernetes, so that this program keeps the traces that its neighbours keep. It knows whole millionths;
/// a part that is none is told, and is one millionth at least.
fn ratio(part: f64, problems: &mut Vec<Problem>) -> PerMillion {
    let millionths = part * 1e6;
    let nearest = millionths.round();
    if (millionths - nearest).abs() > 1e-6 {
        let why = format!("{part} is used in whole millionths");
        problems.push(problem(
            "OTEL_TRACES_SAMPLER_ARG",
            Fault::Unbuildable { why },
        ));
    }
    let least = if part > 0.0 { 1.0 } else { 0.0 };
    // From 0 to a million, whatever the part is: the conversion saturates, and the range is checked.
    PerMillion::new(nearest.max(least) as i32).unwrap_or(PerMillion::ALWAYS)
}

#[cfg(feature = "debug")]
fn console(builder: PipelineBuilder, _: &mut Vec<Problem>) -> PipelineBuilder {
    use crate::exporter::debug::{DebugExporter, Verbosity};
    builder.exporter(|| DebugExporter::stdout().verbosity(Verbosity::Normal))
}

#[cfg(not(feature = "debug"))]
fn console(builder: PipelineBuilder, problems: &mut Vec<Problem>) -> PipelineBuilder {
    unbuildable(
        builder,
        missing("OTEL_TRACES_EXPORTER", "console"),
        problems,
    )
}

#[cfg(feature = "file")]
fn lines(builder: PipelineBuilder, _: &mut Vec<Problem>) -> PipelineBuilder {
    builder.exporter(crate::exporter::file::LinesExporter::stdout)
}

#[cfg(not(feature = "file"))]
fn lines(builder: PipelineBuilder, problems: &mut Vec<Problem>) -> PipelineBuilder {
    unbuildable(
        builder,
        missing("OTEL_TRACES_EXPORTER", "otlp/stdout"),
        problems,
    )
}

/// Tells of an exporter that can't be built, and rejects what it was to send.
fn unbuildable(
    builder: PipelineBuilder,
    problem: Problem,
    problems: &mut Vec<Problem>,
) -> PipelineBuilder {
    let why = problem.to_string();
    problems.push(problem);
    builder.exporter(move || Unbuilt(why.clone()))
}

/// Where spans go that nobody asked to send.
struct Nowhere;

impl Exporter for Nowhere {
    fn export(&mut self, batch: Batch, reply: Reply) {
        drop(batch);
        reply.done(Outcome::Exported);
    }
}

/// Stands where an exporter could not be built, or may not be.
struct Unbuilt(String);

impl Exporter for Unbuilt {
    fn export(&mut self, batch: Batch, reply: Reply) {
        drop(batch);
        reply.done(Outcome::rejected(self.0.clone()));
    }
}

#[cfg(test)]
mod tests;
