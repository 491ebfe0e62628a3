use std::path::Path;

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use spanwire_core::batch::{Head, Segment};
use spanwire_core::clock::Moment;
use spanwire_core::limiter::{Door, MemoryLimiter};
use spanwire_core::processor::{Edit, Processor};

use crate::config::collector::{self, Config, Loaded};
use crate::config::{InvalidConfig, Surroundings};

struct Nothing;

impl Surroundings for Nothing {
    fn variable(&self, _: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("no such file".into())
    }
}

/// A configuration with these lines as its only processor, in line 3 from column 5.
fn loaded(section: &str) -> Result<Loaded, InvalidConfig> {
    let section = section.replace('\n', "\n    ");
    let text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: }}}}}}\nprocessors:\n    {section}\nexporters: {{debug: }}\nservice: {{pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}}}\n"
    );
    Config::load(&text, &Nothing)
}

fn load(section: &str) -> Result<collector::Processor, InvalidConfig> {
    let config = loaded(section)?.config;
    // What is printed is read back as the same.
    let again = Config::load(&config.to_string(), &Nothing)?.config;
    assert_eq!(again.to_string(), config.to_string());
    Ok(config.processors.into_values().next().unwrap())
}

fn made(section: &str) -> Box<dyn Processor> {
    let processor = load(section).unwrap_or_else(|error| panic!("{section}\n{error}"));
    match processor {
        collector::Processor::Resource(section) => Box::new(section.processor().unwrap()),
        collector::Processor::Attributes(section) => Box::new(section.processor().unwrap()),
        collector::Processor::Filter(section) => Box::new(section.processor().unwrap()),
        collector::Processor::ProbabilisticSampler(section) => {
            Box::new(section.processor().unwrap())
        }
        other => panic!("no processor of spans: {other:?}"),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.into())),
        }),
        ..KeyValue::default()
    }
}

/// Two spans of a service: a server's `GET /healthz`, and a client's `query` with `db.user`.
fn segment() -> Segment {
    let span = |name: &str, kind, attributes| Span {
        trace_id: vec![0xff; 16],
        span_id: vec![1; 8],
        name: name.into(),
        kind,
        attributes,
        ..Span::default()
    };
    let message = ResourceSpans {
        scope_spans: vec![ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "lib".into(),
                version: "1.0".into(),
                ..InstrumentationScope::default()
            }),
            spans: vec![
                span("GET /healthz", 2, vec![text("url.path", "/healthz")]),
                span("query", 3, vec![text("db.user", "root")]),
            ],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    let resource = Resource {
        attributes: vec![text("service.name", "web"), text("host.name", "node-1")],
        ..Resource::default()
    };
    let head = Head::from_resource(&resource.encode_to_vec(), "");
    let moment = Moment::from_nanos(0);
    Segment::new(head, message.encode_to_vec().into(), 2, moment, Door::Own)
}

/// What goes on, as `resource | span, span`, each with its attributes.
fn after(section: &str) -> String {
    let limiter = MemoryLimiter::builder(32 << 20).build().unwrap();
    let reserve = limiter.reserve();
    let mut segments = Vec::new();
    let mut out = |segment| segments.push(segment);
    made(section)
        .process(segment(), &mut Edit::new(&reserve, &mut out))
        .unwrap();
    let attributes = |list: &[KeyValue]| {
        let show = |one: &KeyValue| match &one.value.as_ref().unwrap().value {
            Some(any_value::Value::StringValue(text)) => format!("{}={text}", one.key),
            other => format!("{}={other:?}", one.key),
        };
        list.iter().map(show).collect::<Vec<_>>().join(" ")
    };
    let mut shown = String::new();
    for segment in &segments {
        let mut message = segment.head().as_bytes().to_vec();
        segment.body_parts().for_each(|part| message.extend(part));
        let message = ResourceSpans::decode(message.as_slice()).unwrap();
        shown += &attributes(&message.resource.unwrap().attributes);
        for span in message.scope_spans.iter().flat_map(|scope| &scope.spans) {
            shown += &format!(" | {}: {}", span.name, attributes(&span.attributes));
        }
    }
    shown
}

const UNCHANGED: &str =
    "service.name=web host.name=node-1 | GET /healthz: url.path=/healthz | query: db.user=root";

#[test]
fn sections_make_what_they_describe() {
    let health = "service.name=web host.name=node-1 | GET /healthz: url.path=/healthz";
    let query = "service.name=web host.name=node-1 | query: db.user=root";
    let mut wrong = Vec::new();
    for (section, expected) in [
        (
            "resource: {attributes: [{key: k8s.cluster.name, value: c, action: upsert}, {key: host.name, action: delete}]}",
            "service.name=web k8s.cluster.name=c | GET /healthz: url.path=/healthz | query: db.user=root",
        ),
        (
            "resource: {attributes: [{key: node, from_attribute: host.name, action: INSERT}, {pattern: ^host, action: delete}]}",
            "service.name=web node=node-1 | GET /healthz: url.path=/healthz | query: db.user=root",
        ),
        (
            "attributes: {actions: [{key: db.user, action: hash}]}",
            "service.name=web host.name=node-1 | GET /healthz: url.path=/healthz | query: db.user=4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2",
        ),
        (
            "attributes: {actions: [{key: url.path, pattern: '^/(?P<check>[a-z]+)', action: extract}]}",
            "service.name=web host.name=node-1 | GET /healthz: url.path=/healthz check=healthz | query: db.user=root",
        ),
        (
            "attributes:\n  include: {match_type: regexp, services: [w.b], span_names: ['^GET ']}\n  exclude: {match_type: strict, span_kinds: [SPAN_KIND_CLIENT]}\n  actions: [{key: n, value: '1', action: insert}, {key: n, converted_type: int, action: convert}]",
            "service.name=web host.name=node-1 | GET /healthz: url.path=/healthz n=Some(IntValue(1)) | query: db.user=root",
        ),
        (
            "filter: {trace_conditions: ['span.kind == SPAN_KIND_SERVER and resource.attributes[\"service.name\"] == \"web\"']}",
            query,
        ),
        (
            "filter: {error_mode: silent, trace_conditions: [{context: span, conditions: ['IsMatch(name, \"^q\")']}]}",
            health,
        ),
        (
            "filter: {traces: {span: ['attributes[\"db.user\"] != nil', 'kind == 5, or']}}",
            "",
        ),
        (
            "filter: {traces: {resource: ['attributes[\"service.name\"] == \"web\"']}}",
            "",
        ),
        (
            "filter: {spans: {include: {match_type: strict, services: [web], libraries: [{name: lib, version: '1.0'}], attributes: [{key: db.user}]}}}",
            query,
        ),
        (
            "filter: {spans: {exclude: {match_type: regexp, resources: [{key: host.name, value: ^node}], span_names: [query]}}}",
            health,
        ),
        (
            "filter: {spans: {exclude: {match_type: strict, services: [<nil-service-name>]}}}",
            UNCHANGED,
        ),
        (
            "probabilistic_sampler: {sampling_percentage: 100, mode: equalizing}",
            UNCHANGED,
        ),
        (
            "probabilistic_sampler: {sampling_percentage: 100, hash_seed: 22}",
            UNCHANGED,
        ),
        ("probabilistic_sampler:", ""),
    ] {
        if section.contains(", or'") {
            assert!(load(section).is_err(), "a comma does not split a condition");
            continue;
        }
        let found = after(section);
        if found != expected {
            wrong.push(format!("{section}\nfound  {found}\nwanted {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn mistakes_as_a_user_sees_them() {
    let mut wrong = Vec::new();
    for (section, at, error) in [
        (
            "attributes: {actions: [{key: a, action: hsh}]}",
            "action: hsh",
            "processors::attributes::actions::0::action: error creating AttrProc due to unsupported action \"hsh\"; accepted: insert, update, upsert, delete, hash, extract, convert",
        ),
        (
            "attributes: {actions: [{key: a, action: insert}]}",
            "{key",
            "processors::attributes::actions::0: error creating AttrProc due to this action needs exactly one of \"value\", \"from_attribute\" and \"from_context\"",
        ),
        (
            "attributes: {actions: [{key: a, action: insert, from_context: auth.subject}]}",
            "from_context",
            "processors::attributes::actions::0::from_context: is not supported: a receiver has no authenticator that knows more than whom it lets in; accepted: metadata.NAME, client.address",
        ),
        (
            "attributes: {actions: [{key: a, action: insert, from_context: metadata.}]}",
            "from_context",
            "processors::attributes::actions::0::from_context: \"\" is not the name of a header",
        ),
        (
            "attributes: {actions: [{key: a, action: insert, from_context: 'metadata.a b'}]}",
            "from_context",
            "processors::attributes::actions::0::from_context: \"a b\" is not the name of a header",
        ),
        (
            "attributes: {actions: [{key: a, action: extract, pattern: '(x)'}]}",
            "pattern",
            "processors::attributes::actions::0::pattern: error creating AttrProc due to a group has no name: every group is written (?P<name>..)",
        ),
        (
            "attributes: {actions: [{key: a, action: extract}]}",
            "{key",
            "processors::attributes::actions::0: error creating AttrProc due to missing required field \"pattern\"",
        ),
        (
            "attributes: {actions: [{action: hash}]}",
            "{action: hash",
            "processors::attributes::actions::0: error creating AttrProc due to missing \"key\" or \"pattern\"",
        ),
        (
            "attributes: {actions: [{key: a, action: convert, converted_type: bool}]}",
            "{key",
            "processors::attributes::actions::0: error creating AttrProc due to \"converted_type\" has to be int, double or string",
        ),
        (
            "attributes: {actions: [{key: a, action: delete, value: 1}]}",
            "value",
            "processors::attributes::actions::0::value: error creating AttrProc due to action \"delete\" does not use the \"value\" field",
        ),
        (
            "attributes: {actions: [{key: a, action: delete}], include: {services: [x]}}",
            "include",
            "processors::attributes::include::match_type: unrecognized match_type: '', valid types are: [regexp strict]",
        ),
        (
            "attributes: {actions: [{key: a, action: delete}], include: {match_type: strict}}",
            "include",
            "processors::attributes::include: at least one of \"services\", \"span_names\", \"span_kinds\", \"attributes\", \"libraries\" or \"resources\" field must be specified",
        ),
        (
            "attributes: {actions: [{key: a, action: delete}], include: {match_type: strict, span_kinds: [server]}}",
            "server",
            "processors::attributes::include::span_kinds::0: unknown kind \"server\"; accepted: SPAN_KIND_UNSPECIFIED, SPAN_KIND_INTERNAL, SPAN_KIND_SERVER, SPAN_KIND_CLIENT, SPAN_KIND_PRODUCER, SPAN_KIND_CONSUMER",
        ),
        (
            "resource: {attributes: []}",
            "",
            "processors::resource: missing required field \"attributes\"",
        ),
        (
            "filter: {trace_conditions: ['span.name = \"x\"']}",
            "'span.name",
            "processors::filter::trace_conditions::0: unable to parse OTTL condition \"span.name = \\\"x\\\"\": column 11: expected no '='",
        ),
        (
            "filter: {trace_conditions: ['name == \"x\"']}",
            "'name",
            "processors::filter::trace_conditions::0: unable to parse OTTL condition \"name == \\\"x\\\"\": column 1: expected a path that starts with span, resource or scope, found `name`",
        ),
        (
            "filter: {traces: {spanevent: ['name == \"x\"']}}",
            "spanevent",
            "processors::filter::traces::spanevent: is not supported: events are not left out one by one; leave out their spans by a condition of `span`",
        ),
        (
            "filter: {error_mode: fail}",
            "error_mode",
            "processors::filter::error_mode: unknown error mode \"fail\"; accepted: ignore, silent, propagate",
        ),
        (
            "filter: {traces: {span: ['kind == 1']}, spans: {include: {match_type: strict, services: [a]}}}",
            "",
            "processors::filter: cannot use ottl conditions and include/exclude for spans at the same time",
        ),
        (
            "filter: {trace_conditions: ['span.kind == 1', {conditions: ['span.kind == 1']}]}",
            "{conditions",
            "processors::filter::trace_conditions::1: cannot use texts and groups of conditions in one list",
        ),
        (
            "probabilistic_sampler: {sampling_percentage: -1}",
            "",
            "processors::probabilistic_sampler: sampling rate is negative: -1.0%",
        ),
        (
            "probabilistic_sampler: {sampling_percentage: 1.0e-50}",
            "",
            "processors::probabilistic_sampler: sampling rate is too small: 1e-50%",
        ),
        (
            "probabilistic_sampler: {sampling_percentage: .nan}",
            "",
            "processors::probabilistic_sampler: sampling rate is invalid: NaN%",
        ),
        (
            "probabilistic_sampler: {sampling_percentage: 1, mode: hash}",
            "mode",
            "processors::probabilistic_sampler::mode: unsupported sampler mode \"hash\"; accepted: hash_seed, equalizing, proportional",
        ),
        (
            "probabilistic_sampler: {sampling_percentage: 1, sampling_precision: 0}",
            "",
            "processors::probabilistic_sampler: sampling precision must be from 1 to 14",
        ),
        (
            "batch: {metadata_keys: [tenant]}",
            "metadata_keys",
            "processors::batch::metadata_keys: is not supported: requests to a server are not kept apart by who sent the spans; leave it out for `from_context` behind this batch, since what is known about senders stays with their spans",
        ),
        (
            "batch: {send_batch_size: 10, send_batch_max_size: 9}",
            "",
            "processors::batch: send_batch_max_size must be greater or equal to send_batch_size",
        ),
        (
            "batch: {metadata_keys: [Tenant, tenant]}",
            "",
            "processors::batch: duplicate entry in metadata_keys: \"tenant\" (case-insensitive)\n3:13: processors::batch::metadata_keys: is not supported: requests to a server are not kept apart by who sent the spans; leave it out for `from_context` behind this batch, since what is known about senders stays with their spans",
        ),
        (
            "batch: {timeout: -1s}",
            "timeout",
            "processors::batch::timeout: timeout must be greater or equal to 0",
        ),
        (
            "memory_limiter: {check_interval: -1s, limit_percentage: 50}",
            "check_interval",
            "processors::memory_limiter::check_interval: 'check_interval' must be greater than zero",
        ),
        (
            "memory_limiter: {check_interval: 1s, limit_percentage: 50, min_gc_interval_when_soft_limited: 31s}",
            "",
            "processors::memory_limiter: 'max_gc_interval_when_soft_limited' must be at least 'min_gc_interval_when_soft_limited', or 0",
        ),
        (
            "memory_limiter: {check_interval: 1s, limit_percentage: 50, min_gc_interval_when_hard_limited: 2s, max_gc_interval_when_hard_limited: 1s}",
            "",
            "processors::memory_limiter: 'max_gc_interval_when_hard_limited' must be at least 'min_gc_interval_when_hard_limited', or 0",
        ),
        (
            "memory_limiter: {check_interval: 1s, limit_percentage: 50, max_gc_interval_when_soft_limited: 20s}",
            "",
            "processors::memory_limiter: 'max_gc_interval_when_soft_limited' should be larger than 'max_gc_interval_when_hard_limited'",
        ),
        (
            "memory_limiter: {check_interval: 1s, limit_percentage: 50, max_gc_interval_when_hard_limited: -1s}",
            "max_gc",
            "processors::memory_limiter::max_gc_interval_when_hard_limited: 'max_gc_interval_when_hard_limited' must be non-negative",
        ),
        (
            "memory_limiter: {check_interval: 1s, limit_percentage: 101}",
            "",
            "processors::memory_limiter: 'limit_percentage' and 'spike_limit_percentage' must be at most 100",
        ),
        (
            "memory_limiter: {check_interval: 1s, limit_percentage: 50, spike_limit_percentage: 50}",
            "",
            "processors::memory_limiter: 'spike_limit_percentage' must be smaller than 'limit_percentage'",
        ),
    ] {
        let at = 5 + section.find(at).unwrap();
        let (found, error) = (
            load(section).unwrap_err().to_string(),
            format!("3:{at}: {error}"),
        );
        if found != error {
            wrong.push(format!("{section}\nfound  {found}\nwanted {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn processors_made_in_code_are_checked_too() {
    let mut attributes = collector::Attributes::default();
    attributes.actions.push(collector::Action {
        action: "extract".into(),
        ..collector::Action::default()
    });
    assert_eq!(
        attributes.processor().unwrap_err().to_string(),
        "actions::0: error creating AttrProc due to missing required field \"key\"\nactions::0: error creating AttrProc due to missing required field \"pattern\""
    );
    let mut filter = collector::Filter::default();
    filter
        .trace_conditions
        .0
        .push(collector::TraceGroup::text("span.name"));
    assert_eq!(
        filter.processor().unwrap_err().to_string(),
        "trace_conditions::0: unable to parse OTTL condition \"span.name\": column 1: expected a condition, found a value: compare it with something"
    );
}

#[test]
fn what_does_nothing_is_told() {
    for (section, warning) in [
        (
            "filter:",
            "3:5: processors::filter: leaves out nothing: it has no conditions",
        ),
        (
            "probabilistic_sampler: {sampling_percentage: 0.001}",
            "3:29: processors::probabilistic_sampler::sampling_percentage: keeps nothing: mode hash_seed counts in steps of 100 / 16384 percent; equalizing and proportional do not",
        ),
        (
            "probabilistic_sampler: {sampling_percentage: 5, attribute_source: traceID}",
            "3:53: processors::probabilistic_sampler::attribute_source: has no effect: it is about logs",
        ),
    ] {
        let warnings = loaded(section).unwrap().warnings;
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, [warning], "{section}");
    }
}
