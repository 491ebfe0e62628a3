//! What `OTEL_*` variables say.
//!
//! [`Environment::read`] asks a source for every variable that concerns traces and makes typed settings of what it
//! says. Nothing here is fatal and nothing is silent: a value that can't be used is a [`Problem`], told by the name of
//! its variable, and the default stands in for it, or the more general variable where there is one. An empty value
//! counts as none. Names of enums are read in any case.
//!
//! OpenTelemetry environment variable specification; OTLP exporter configuration specification. [`VARIABLES`] lists
//! what is read.

use core::fmt;
use core::time::Duration;
use std::ffi::OsString;

use spanwire_core::propagation::{Composite, Propagator, by_name};
use spanwire_core::recorder::SpanLimits;
use spanwire_core::resource::Resource;

use crate::diagnostics::{Diagnostics, Level};
#[cfg(feature = "http")]
use crate::proxy::Proxies;

// Values of variables, typed.
mod value;

// Where OTLP goes, and how.
mod otlp;

// Every variable, in one table.
mod table;

pub use otlp::{Compression, Endpoint, Header, Otlp, Protocol, Secret};
pub use table::{VARIABLES, Variable};
pub use value::Fault;

/// The settings that the environment asks for; the defaults of the specification where it asks for nothing.
///
/// ```
/// use std::time::Duration;
/// use spanwire_transport::config::environment::{Environment, Protocol, Sampler};
///
/// let environment = Environment::from_pairs([
///     ("OTEL_SERVICE_NAME", "node-agent"),
///     ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
///     ("OTEL_TRACES_SAMPLER_ARG", "0.01"),
///     ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
///     ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
/// ]);
/// assert_eq!(environment.sampler, Sampler::ParentBasedTraceIdRatio(0.01));
/// assert_eq!(environment.otlp.protocol, Some(Protocol::Grpc));
/// assert_eq!(environment.schedule_delay, Duration::from_secs(5));
/// assert_eq!(
///     environment.problems[0].to_string(),
///     r#"OTEL_BSP_SCHEDULE_DELAY: "soon" is not a whole number of milliseconds from 0 to 2147483647"#
/// );
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Environment {
    /// `OTEL_SDK_DISABLED`: no spans are recorded; contexts are propagated all the same. Default: `false`.
    pub disabled: bool,
    /// `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`, to be laid under what the program says itself.
    pub resource: Resource,
    /// `OTEL_LOG_LEVEL`: how much the pipeline says about itself. Default: `info`.
    pub log_level: LogLevel,
    /// `OTEL_PROPAGATORS`: in order, each once; none for `none`. Default: `tracecontext`, `baggage`.
    pub propagators: Vec<PropagatorName>,
    /// `OTEL_TRACES_SAMPLER` and its argument. Default: `parentbased_always_on`.
    pub sampler: Sampler,
    /// `OTEL_TRACES_EXPORTER`: each once; none for `none`. Default: `otlp`.
    pub exporters: Vec<ExporterName>,
    /// `OTEL_BSP_SCHEDULE_DELAY`. Default: 5 s.
    pub schedule_delay: Duration,
    /// `OTEL_BSP_EXPORT_TIMEOUT`; `None`: no limit, which 0 asks for. Default: 30 s.
    pub export_timeout: Option<Duration>,
    /// `OTEL_BSP_MAX_QUEUE_SIZE` in spans, at least 1; `None`: not set. The specification's default is 2048; here a
    /// budget in bytes bounds what waits.
    pub max_queue_size: Option<usize>,
    /// `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` in spans, at least 1 and at most the queue's size; `None`: not set. The
    /// specification's default is 512; here a batch is bounded in bytes.
    pub max_export_batch_size: Option<usize>,
    /// `OTEL_SPAN_*`, `OTEL_EVENT_*`, `OTEL_LINK_*` and `OTEL_ATTRIBUTE_*`: what a span may hold. Default: 128 of each,
    /// values of any length.
    pub limits: SpanLimits,
    /// `OTEL_EXPORTER_OTLP_*` and `OTEL_EXPORTER_OTLP_TRACES_*`.
    pub otlp: Otlp,
    /// `HTTP_PROXY` and its kin, which no specification of OpenTelemetry names and its exporters over HTTP follow.
    /// Default: none.
    #[cfg(feature = "http")]
    pub proxies: Proxies,
    /// What was not used, and why, in the order of [`VARIABLES`].
    pub problems: Vec<Problem>,
}

impl Environment {
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

    /// What the variables of this source say. It is asked once for each name in [`VARIABLES`], and with the feature
    /// `http` for those of the proxies.
    #[must_use]
    pub fn read(mut source: impl FnMut(&str) -> Option<OsString>) -> Self {
        let environment = table::read(&mut source);
        #[cfg(feature = "http")]
        let environment = Self {
            proxies: Proxies::read(&mut source),
            ..environment
        };
        environment
    }

    /// The propagators, one after the other; without any, contexts stay in the process.
    #[must_use]
    pub fn propagator(&self) -> Composite<Vec<&'static dyn Propagator>> {
        let named = self.propagators.iter();
        Composite::new(named.filter_map(|name| name.propagator()).collect())
    }

    /// Says each problem, as a warning of the component `config/environment`, where `OTEL_LOG_LEVEL` lets it.
    pub fn tell(&self, diagnostics: &Diagnostics) {
        let diagnostics = diagnostics.up_to(self.log_level.most());
        for problem in &self.problems {
            diagnostics.say(Level::Warn, "config/environment", format_args!("{problem}"));
        }
    }
}

impl Default for Environment {
    /// What an empty environment says.
    fn default() -> Self {
        Self {
            disabled: false,
            resource: Resource::builder().build(),
            log_level: LogLevel::default(),
            propagators: vec![PropagatorName::TraceContext, PropagatorName::Baggage],
            sampler: Sampler::default(),
            exporters: vec![ExporterName::Otlp],
            schedule_delay: Duration::from_secs(5),
            export_timeout: Some(Duration::from_secs(30)),
            max_queue_size: None,
            max_export_batch_size: None,
            limits: SpanLimits::DEFAULT,
            otlp: Otlp::default(),
            #[cfg(feature = "http")]
            proxies: Proxies::none(),
            problems: Vec::new(),
        }
    }
}

/// A variable that is not used, or not whole, and why. It shows no value that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The name of the variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.fault)
    }
}

impl core::error::Error for Problem {}

/// `OTEL_TRACES_SAMPLER`, with its argument.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Sampler {
    /// `always_on`.
    AlwaysOn,
    /// `always_off`.
    AlwaysOff,
    /// `traceidratio`: this part of all traces, from 0 to 1.
    TraceIdRatio(f64),
    /// `parentbased_always_on`: roots always, children as their parents. The default.
    #[default]
    ParentBasedAlwaysOn,
    /// `parentbased_always_off`: roots never, children as their parents.
    ParentBasedAlwaysOff,
    /// `parentbased_traceidratio`: this part of the roots, from 0 to 1; children as their parents.
    ParentBasedTraceIdRatio(f64),
}

/// A name in `OTEL_PROPAGATORS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PropagatorName {
    /// `tracecontext`: W3C `traceparent` and `tracestate`.
    TraceContext,
    /// `baggage`: W3C `baggage`.
    Baggage,
    /// `b3`: one header.
    B3,
    /// `b3multi`: several headers.
    B3Multi,
    /// `jaeger`: `uber-trace-id`.
    Jaeger,
}

impl PropagatorName {
    /// The name as it stands in the variable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TraceContext => "tracecontext",
            Self::Baggage => "baggage",
            Self::B3 => "b3",
            Self::B3Multi => "b3multi",
            Self::Jaeger => "jaeger",
        }
    }

    /// What it names.
    #[must_use]
    pub fn propagator(self) -> Option<&'static dyn Propagator> {
        by_name(self.as_str())
    }
}

/// A name in `OTEL_TRACES_EXPORTER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExporterName {
    /// `otlp`: to a server.
    Otlp,
    /// `console`: for people.
    Console,
    /// `otlp/stdout`: OTLP JSON lines to standard output.
    OtlpStdout,
}

/// `OTEL_LOG_LEVEL`: how much the pipeline says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum LogLevel {
    /// `none`: nothing.
    None,
    /// `error`.
    Error,
    /// `warn`.
    Warn,
    /// `info`. The default.
    #[default]
    Info,
    /// `debug`.
    Debug,
}

impl LogLevel {
    /// What is said at most; `None`: nothing.
    #[must_use]
    pub const fn most(self) -> Option<Level> {
        Some(match self {
            Self::None => return None,
            Self::Error => Level::Error,
            Self::Warn => Level::Warn,
            Self::Info => Level::Info,
            Self::Debug => Level::Debug,
        })
    }
}

#[cfg(test)]
mod tests;
