//! Every variable, in one table.

use std::ffi::OsString;
use std::path::PathBuf;

use spanwire_core::resource;

use super::otlp::{self, Compression, Endpoint, Protocol};
use super::value::{self, Fault};
use super::{Environment, ExporterName, LogLevel, Problem, PropagatorName, Sampler};

/// One variable: for the help text of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What stands in for it when it is not set; empty: nothing.
    pub default: &'static str,
    /// What it says.
    pub about: &'static str,
}

/// Puts a value into the settings, and tells what is wrong with it.
type Apply = fn(&mut Draft, &str, &mut Vec<Fault>);

/// What has been read so far.
#[derive(Default)]
struct Draft {
    environment: Environment,
    /// The name of the variable that is being read.
    variable: &'static str,
    service_name: Option<String>,
    attributes: Option<String>,
}

macro_rules! variables {
    ($($name:literal [$default:literal] $about:literal => $apply:expr,)+) => {
        /// Every variable that is read, general ones before those that override them.
        pub const VARIABLES: &[Variable] = &[
            $(Variable { name: $name, default: $default, about: $about },)+
        ];

        const APPLY: &[Apply] = &[$($apply,)+];
    };
}

/// Stores a value and where it comes from, or tells why not.
macro_rules! set_from {
    ($draft:ident.$field:ident, $value:expr, $faults:ident) => {
        match $value {
            Ok(value) => {
                let otlp = &mut $draft.environment.otlp;
                otlp.$field = value;
                otlp.sources.$field = $draft.variable;
            }
            Err(fault) => $faults.push(fault),
        }
    };
}

/// Stores a value, or tells why not.
fn set<T>(slot: &mut T, value: Result<T, Fault>, faults: &mut Vec<Fault>) {
    match value {
        Ok(value) => *slot = value,
        Err(fault) => faults.push(fault),
    }
}

macro_rules! limit {
    ($with:ident) => {
        |draft, text, faults| match value::number(text) {
            Ok(number) => draft.environment.limits = draft.environment.limits.$with(number),
            Err(fault) => faults.push(fault),
        }
    };
}

macro_rules! path {
    ($field:ident) => {
        |draft, text, _| {
            let otlp = &mut draft.environment.otlp;
            otlp.$field = Some(PathBuf::from(text));
            otlp.sources.$field = draft.variable;
        }
    };
}

macro_rules! instead {
    ($instead:literal) => {
        |_, _, faults| faults.push(Fault::NotFollowed { instead: $instead })
    };
}

const NO_ZIPKIN: &str = "there is no Zipkin exporter";

variables! {
    "OTEL_CONFIG_FILE" [""] "a file of settings; not followed"
        => instead!("the other variables are"),
    "OTEL_SDK_DISABLED" ["false"] "record no spans"
        => |draft, text, faults| set(&mut draft.environment.disabled, value::boolean(text), faults),
    "OTEL_LOG_LEVEL" ["info"] "how much the pipeline says about itself: none, error, warn, info, debug"
        => |draft, text, faults| set(&mut draft.environment.log_level, log_level(text), faults),
    "OTEL_ENTITIES" [""] "what the resource is about; not followed"
        => instead!("OTEL_RESOURCE_ATTRIBUTES is"),
    "OTEL_RESOURCE_ATTRIBUTES" [""] "attributes of the resource: key=value,key=value"
        => |draft, text, _| draft.attributes = Some(text.into()),
    "OTEL_SERVICE_NAME" ["unknown_service:<executable>"] "the name of the service"
        => |draft, text, _| draft.service_name = Some(text.into()),
    "OTEL_PROPAGATORS" ["tracecontext,baggage"] "formats of headers: tracecontext, baggage, b3, b3multi, jaeger, none"
        => |draft, text, faults| if let Some(names) = propagators(text, faults) {
            draft.environment.propagators = names;
        },
    "OTEL_TRACES_SAMPLER" ["parentbased_always_on"]
        "which traces are kept: always_on, always_off, traceidratio, or these after parentbased_" => sampler,
    "OTEL_TRACES_SAMPLER_ARG" ["1"] "the part of traces that a ratio keeps, from 0 to 1" => sampler_argument,
    "OTEL_TRACES_EXPORTER" ["otlp"] "where spans go: otlp, console, otlp/stdout, none"
        => |draft, text, faults| if let Some(names) = exporters(text, faults) {
            draft.environment.exporters = names;
        },
    "OTEL_BSP_SCHEDULE_DELAY" ["5000"] "milliseconds an ended span waits at most"
        => |draft, text, faults| set(&mut draft.environment.schedule_delay, value::millis(text), faults),
    "OTEL_BSP_EXPORT_TIMEOUT" ["30000"] "milliseconds an export may take; 0: no limit"
        => |draft, text, faults| set(&mut draft.environment.export_timeout, value::timeout(text), faults),
    "OTEL_BSP_MAX_QUEUE_SIZE" [""] "spans that wait at most"
        => |draft, text, faults| set(&mut draft.environment.max_queue_size, value::size(text).map(Some), faults),
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE" [""] "spans of a batch at most" => batch_size,
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT" [""] "characters of a value at most" => limit!(with_value_length),
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT" [""] "characters of a value of a span at most"
        => limit!(with_value_length),
    "OTEL_ATTRIBUTE_COUNT_LIMIT" ["128"] "attributes at most" => limit!(with_attributes),
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT" ["128"] "attributes of a span at most" => limit!(with_attributes),
    "OTEL_SPAN_EVENT_COUNT_LIMIT" ["128"] "events of a span at most" => limit!(with_events),
    "OTEL_SPAN_LINK_COUNT_LIMIT" ["128"] "links of a span at most" => limit!(with_links),
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT" ["128"] "attributes of an event at most" => limit!(with_event_attributes),
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT" ["128"] "attributes of a link at most" => limit!(with_link_attributes),
    "OTEL_EXPORTER_OTLP_ENDPOINT" ["http://localhost:4317, or :4318 for http"] "where OTLP goes" =>
        |draft, text, faults| set(&mut draft.environment.otlp.endpoint, Endpoint::new(text, false).map(Some), faults),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" [""] "where traces go" =>
        |draft, text, faults| set(&mut draft.environment.otlp.endpoint, Endpoint::new(text, true).map(Some), faults),
    "OTEL_EXPORTER_OTLP_PROTOCOL" ["grpc, or http/protobuf where that alone is built in"] "how: grpc, http/protobuf, http/json" => protocol,
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" [""] "how traces go" => protocol,
    "OTEL_EXPORTER_OTLP_HEADERS" [""] "headers of each request: name=value,name=value" => headers,
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS" [""] "headers of each request with traces" => headers,
    "OTEL_EXPORTER_OTLP_TIMEOUT" ["10000"] "milliseconds an export may take; 0: no limit" => otlp_timeout,
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT" [""] "milliseconds an export of traces may take; 0: no limit" => otlp_timeout,
    "OTEL_EXPORTER_OTLP_COMPRESSION" [""] "how requests are compressed: none, gzip, zstd" => compression,
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION" [""] "how requests with traces are compressed" => compression,
    "OTEL_EXPORTER_OTLP_CERTIFICATE" [""] "PEM file of trusted authorities" => path!(certificate),
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE" [""] "PEM file of trusted authorities for traces" => path!(certificate),
    "OTEL_EXPORTER_OTLP_CLIENT_KEY" [""] "PEM file of the client's key" => path!(client_key),
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY" [""] "PEM file of the client's key for traces" => path!(client_key),
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" [""] "PEM file of the client's certificates" => path!(client_certificate),
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE" [""] "PEM file of the client's certificates for traces"
        => path!(client_certificate),
    "OTEL_EXPORTER_OTLP_INSECURE" ["false"] "gRPC without TLS where the endpoint has no scheme" => insecure,
    "OTEL_EXPORTER_OTLP_SPAN_INSECURE" [""] "the former name of OTEL_EXPORTER_OTLP_TRACES_INSECURE" => insecure,
    "OTEL_EXPORTER_OTLP_TRACES_INSECURE" [""] "the same for traces" => insecure,
    "OTEL_EXPORTER_ZIPKIN_ENDPOINT" [""] "not followed"
        => |_, _, faults| faults.push(Fault::NotFollowed { instead: NO_ZIPKIN }),
    "OTEL_EXPORTER_ZIPKIN_TIMEOUT" [""] "not followed"
        => |_, _, faults| faults.push(Fault::NotFollowed { instead: NO_ZIPKIN }),
}

pub(super) fn read(mut source: impl FnMut(&str) -> Option<OsString>) -> Environment {
    let mut draft = Draft::default();
    let mut problems = Vec::new();
    for (variable, apply) in VARIABLES.iter().zip(APPLY) {
        let Some(value) = source(variable.name).filter(|value| !value.is_empty()) else {
            continue;
        };
        let mut faults = Vec::new();
        draft.variable = variable.name;
        match value.to_str() {
            Some(text) => apply(&mut draft, text, &mut faults),
            None => faults.push(Fault::Utf8),
        }
        problems.extend(faults.into_iter().map(|fault| Problem {
            variable: variable.name,
            fault,
        }));
    }
    let said = resource::Environment::from_texts(
        draft.attributes.as_deref(),
        draft.service_name.as_deref(),
    );
    problems.extend(said.discarded.map(|error| Problem {
        variable: "OTEL_RESOURCE_ATTRIBUTES",
        fault: Fault::Attributes(error),
    }));
    let place = |problem: &Problem| {
        VARIABLES
            .iter()
            .position(|variable| variable.name == problem.variable)
    };
    problems.sort_by_key(place);
    Environment {
        resource: said.resource,
        problems,
        ..draft.environment
    }
}

fn log_level(text: &str) -> Result<LogLevel, Fault> {
    let names = [
        ("none", LogLevel::None),
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
    ];
    value::choice(text, &names, &[], "one of none, error, warn, info, debug")
}

fn propagators(text: &str, faults: &mut Vec<Fault>) -> Option<Vec<PropagatorName>> {
    let names = [
        PropagatorName::TraceContext,
        PropagatorName::Baggage,
        PropagatorName::B3,
        PropagatorName::B3Multi,
        PropagatorName::Jaeger,
    ]
    .map(|name| (name.as_str(), name));
    let expected = "one of tracecontext, baggage, b3, b3multi, jaeger, none";
    value::choices(text, &names, &["xray", "ottrace"], expected, faults)
}

fn exporters(text: &str, faults: &mut Vec<Fault>) -> Option<Vec<ExporterName>> {
    let names = [
        ("otlp", ExporterName::Otlp),
        ("console", ExporterName::Console),
        ("otlp/stdout", ExporterName::OtlpStdout),
    ];
    let expected = "one of otlp, console, otlp/stdout, none";
    value::choices(text, &names, &["zipkin", "jaeger"], expected, faults)
}

fn sampler(draft: &mut Draft, text: &str, faults: &mut Vec<Fault>) {
    let names = [
        ("always_on", Sampler::AlwaysOn),
        ("always_off", Sampler::AlwaysOff),
        ("traceidratio", Sampler::TraceIdRatio(1.0)),
        ("parentbased_always_on", Sampler::ParentBasedAlwaysOn),
        ("parentbased_always_off", Sampler::ParentBasedAlwaysOff),
        (
            "parentbased_traceidratio",
            Sampler::ParentBasedTraceIdRatio(1.0),
        ),
    ];
    let unsupported = ["parentbased_jaeger_remote", "jaeger_remote", "xray"];
    let expected = "one of always_on, always_off, traceidratio, or these after parentbased_";
    let sampler = value::choice(text, &names, &unsupported, expected);
    set(&mut draft.environment.sampler, sampler, faults);
}

fn sampler_argument(draft: &mut Draft, text: &str, faults: &mut Vec<Fault>) {
    match &mut draft.environment.sampler {
        Sampler::TraceIdRatio(ratio) | Sampler::ParentBasedTraceIdRatio(ratio) => {
            set(ratio, value::ratio(text), faults);
        }
        _ => faults.push(Fault::NoArgument),
    }
}

fn batch_size(draft: &mut Draft, text: &str, faults: &mut Vec<Fault>) {
    let environment = &mut draft.environment;
    let Some(size) = value::size(text).map_err(|fault| faults.push(fault)).ok() else {
        return;
    };
    let most = environment.max_queue_size.unwrap_or(2048);
    if size > most {
        faults.push(Fault::LargerThanQueue { queue: most });
    }
    environment.max_export_batch_size = Some(size.min(most));
}

fn protocol(draft: &mut Draft, text: &str, faults: &mut Vec<Fault>) {
    let names = [
        ("grpc", Some(Protocol::Grpc)),
        ("http/protobuf", Some(Protocol::HttpProtobuf)),
        ("http/json", Some(Protocol::HttpJson)),
    ];
    let protocol = value::choice(text, &names, &[], "one of grpc, http/protobuf, http/json");
    set_from!(draft.protocol, protocol, faults);
}

fn compression(draft: &mut Draft, text: &str, faults: &mut Vec<Fault>) {
    let names = [
        ("none", Some(Compression::None)),
        ("gzip", Some(Compression::Gzip)),
        ("zstd", Some(Compression::Zstd)),
    ];
    let compression = value::choice(text, &names, &[], "one of none, gzip, zstd");
    set_from!(draft.compression, compression, faults);
}

fn headers(draft: &mut Draft, text: &str, faults: &mut Vec<Fault>) {
    if let Some(headers) = otlp::headers(text, faults) {
        draft.environment.otlp.headers = headers;
        draft.environment.otlp.sources.headers = draft.variable;
    }
}

fn otlp_timeout(draft: &mut Draft, text: &str, faults: &mut Vec<Fault>) {
    set(
        &mut draft.environment.otlp.timeout,
        value::timeout(text),
        faults,
    );
}

fn insecure(draft: &mut Draft, text: &str, faults: &mut Vec<Fault>) {
    set_from!(draft.insecure, value::boolean(text), faults);
}
