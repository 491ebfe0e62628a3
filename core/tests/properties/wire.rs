//! Reading OTLP, with prost as the judge.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use prost::Message;
use spanwire_core::id::{SpanId, TraceId};
use spanwire_core::wire::raw::Fault;
use spanwire_core::wire::split::{self, Cut};
use spanwire_core::wire::validate::{self, Limits};
use spanwire_core::wire::view;

/// Of any bytes: what is validated, prost decodes to the same message that the views show, and nothing is lost when it is
/// taken apart; what prost decodes and is refused, is refused for a reason that is documented; and nothing panics.
pub(crate) fn validate(bytes: &[u8]) {
    let view = view::Request::new(bytes);
    match validate::validate(bytes, &Limits::new()) {
        Ok(valid) => {
            let mut decoded =
                ExportTraceServiceRequest::decode(bytes).expect("validated, and prost decodes it");
            let spans: usize = scopes(&decoded).map(|scope| scope.spans.len()).sum();
            assert_eq!(valid.counts().spans, spans);
            assert_eq!(valid.counts().resource_spans, decoded.resource_spans.len());
            assert_eq!(valid.counts().scope_spans, scopes(&decoded).count());
            assert_eq!(split::count_spans(bytes), spans);
            normalise(&mut decoded);
            same(&structs(view), &decoded, "views");
            taken_apart(bytes, valid.counts(), &decoded);
        }
        Err(invalid) => {
            assert!(invalid.offset() <= bytes.len(), "{invalid:?}");
            assert!(!invalid.to_string().is_empty());
            if ExportTraceServiceRequest::decode(bytes).is_ok() {
                // Tags and lengths that prost takes are refused when they are overlong.
                assert!(
                    matches!(
                        invalid.fault(),
                        Fault::Tag | Fault::Length | Fault::IdLength
                    ),
                    "prost decodes it, but: {invalid}"
                );
            }
            // Not to be trusted, but not to be feared either.
            let _ = format!("{view:?}");
            let _ = split::count_spans(bytes);
            let _ = structs(view);
            for part in split::parts(bytes) {
                let _ = (part.head_len(), part.body_len(), part.spans());
            }
            let _ = split::pieces(bytes, Cut::spans(1)).count();
        }
    }
}

fn scopes(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &ScopeSpans> {
    request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
}

#[track_caller]
fn same(found: &ExportTraceServiceRequest, expected: &ExportTraceServiceRequest, by: &str) {
    // Encoded, so that a NaN equals itself.
    assert!(
        found.encode_to_vec() == expected.encode_to_vec(),
        "\nby {by}: {found:#?}\nexpected {expected:#?}"
    );
}

/// Parts make the same request again, and pieces of their bodies hold every span once, under its scope.
fn taken_apart(bytes: &[u8], counts: validate::Counts, expected: &ExportTraceServiceRequest) {
    let mut again = ExportTraceServiceRequest::default();
    let mut len = 0;
    for part in split::parts(bytes) {
        let head: Vec<u8> = part.head().flatten().copied().collect();
        let body: Vec<u8> = part.body().flatten().copied().collect();
        assert_eq!((head.len(), body.len()), (part.head_len(), part.body_len()));
        assert_eq!(head.len() + body.len(), part.as_bytes().len());
        assert_eq!(split::count_body_spans(&body), part.spans());
        assert!(split::parts(&head).count() <= 1 || part.spans() > 0 || !head.is_empty());
        len += part.as_bytes().len();
        for cut in [
            Cut::spans(1),
            Cut::spans(3),
            Cut::bytes(200),
            Cut {
                bytes: 60,
                spans: 2,
            },
        ] {
            cut_up(&body, cut);
        }
        let joined = [head, body].concat();
        again
            .resource_spans
            .push(ResourceSpans::decode(&joined[..]).expect("a head and a body"));
    }
    assert!(len + counts.unknown_bytes <= bytes.len());
    normalise(&mut again);
    same(&again, expected, "parts");
}

fn cut_up(body: &[u8], cut: Cut) {
    let whole = ResourceSpans::decode(body).expect("a body");
    let mut found: Vec<(ScopeSpans, Span)> = Vec::new();
    for piece in split::pieces(body, cut) {
        let mut written = Vec::new();
        piece.write(&mut written);
        assert_eq!(written.len(), piece.encoded_len());
        assert_eq!(split::count_body_spans(&written), piece.spans());
        assert!(piece.as_slice().is_none_or(|slice| slice == written));
        assert!(piece.spans() <= cut.spans, "{} spans", piece.spans());
        assert!(
            written.len() <= cut.bytes || piece.spans() <= 1,
            "{} bytes and {} spans",
            written.len(),
            piece.spans()
        );
        found.extend(spans_of(
            ResourceSpans::decode(&written[..]).expect("a piece"),
        ));
    }
    let expected: Vec<_> = spans_of(whole).collect();
    assert_eq!(found.len(), expected.len());
    for ((found_scope, found), (scope, span)) in found.iter().zip(&expected) {
        assert_eq!(found_scope.encode_to_vec(), scope.encode_to_vec());
        assert_eq!(found.encode_to_vec(), span.encode_to_vec());
    }
}

/// Each span, with its `ScopeSpans` emptied of spans.
fn spans_of(resource: ResourceSpans) -> impl Iterator<Item = (ScopeSpans, Span)> {
    resource.scope_spans.into_iter().flat_map(|mut scope| {
        let spans = core::mem::take(&mut scope.spans);
        spans.into_iter().map(move |span| (scope.clone(), span))
    })
}

/// The structs that say what a view shows.
pub(crate) fn structs(request: view::Request<'_>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: request.resource_spans().map(resource_spans).collect(),
    }
}

fn resource_spans(view: view::ResourceSpans<'_>) -> ResourceSpans {
    ResourceSpans {
        resource: view.resource().map(|resource| Resource {
            attributes: resource.attributes().map(key_value).collect(),
            dropped_attributes_count: resource.dropped_attributes_count(),
            entity_refs: Vec::new(),
        }),
        scope_spans: view
            .scope_spans()
            .map(|scope_spans| ScopeSpans {
                scope: scope_spans.scope().map(|scope| InstrumentationScope {
                    name: scope.name().into(),
                    version: scope.version().into(),
                    attributes: scope.attributes().map(key_value).collect(),
                    dropped_attributes_count: scope.dropped_attributes_count(),
                }),
                spans: scope_spans.spans().map(span).collect(),
                schema_url: scope_spans.schema_url().into(),
            })
            .collect(),
        schema_url: view.schema_url().into(),
    }
}

fn span(view: view::Span<'_>) -> Span {
    Span {
        trace_id: trace_id(view.trace_id()),
        span_id: span_id(view.span_id()),
        trace_state: view.trace_state().into(),
        parent_span_id: span_id(view.parent_span_id()),
        flags: view.flags(),
        name: view.name().into(),
        kind: view.kind_number(),
        start_time_unix_nano: view.start_time_unix_nano(),
        end_time_unix_nano: view.end_time_unix_nano(),
        attributes: view.attributes().map(key_value).collect(),
        dropped_attributes_count: view.dropped_attributes_count(),
        events: view
            .events()
            .map(|event| span::Event {
                time_unix_nano: event.time_unix_nano(),
                name: event.name().into(),
                attributes: event.attributes().map(key_value).collect(),
                dropped_attributes_count: event.dropped_attributes_count(),
            })
            .collect(),
        dropped_events_count: view.dropped_events_count(),
        links: view
            .links()
            .map(|link| span::Link {
                trace_id: trace_id(link.trace_id()),
                span_id: span_id(link.span_id()),
                trace_state: link.trace_state().into(),
                attributes: link.attributes().map(key_value).collect(),
                dropped_attributes_count: link.dropped_attributes_count(),
                flags: link.flags(),
            })
            .collect(),
        dropped_links_count: view.dropped_links_count(),
        status: view.status().map(|status| Status {
            message: status.message().into(),
            code: status.code_number(),
        }),
    }
}

fn trace_id(id: TraceId) -> Vec<u8> {
    if id.is_valid() {
        id.to_bytes().to_vec()
    } else {
        Vec::new()
    }
}

fn span_id(id: SpanId) -> Vec<u8> {
    if id.is_valid() {
        id.to_bytes().to_vec()
    } else {
        Vec::new()
    }
}

fn key_value(view: view::KeyValue<'_>) -> KeyValue {
    KeyValue {
        key: view.key().into(),
        value: match any_value(view.value(), 0) {
            AnyValue { value: None } => None,
            value => Some(value),
        },
        key_strindex: 0,
    }
}

/// Stops at a depth that no valid message has: bytes that were not validated may nest without end.
fn any_value(view: view::Value<'_>, depth: usize) -> AnyValue {
    let value = match view {
        _ if depth > 100 => None,
        view::Value::Empty => None,
        view::Value::Str(text) => Some(any_value::Value::StringValue(text.into())),
        view::Value::Bool(value) => Some(any_value::Value::BoolValue(value)),
        view::Value::Int(value) => Some(any_value::Value::IntValue(value)),
        view::Value::Double(value) => Some(any_value::Value::DoubleValue(value)),
        view::Value::Bytes(bytes) => Some(any_value::Value::BytesValue(bytes.into())),
        view::Value::StrIndex(index) => Some(any_value::Value::StringValueStrindex(index)),
        view::Value::Array(array) => Some(any_value::Value::ArrayValue(ArrayValue {
            values: array
                .iter()
                .map(|value| any_value(value, depth + 1))
                .collect(),
        })),
        view::Value::Map(map) => Some(any_value::Value::KvlistValue(KeyValueList {
            values: map
                .iter()
                .map(|entry| KeyValue {
                    key: entry.key().into(),
                    value: match any_value(entry.value(), depth + 1) {
                        AnyValue { value: None } => None,
                        value => Some(value),
                    },
                    key_strindex: 0,
                })
                .collect(),
        })),
        other => panic!("a value that prost does not know: {other:?}"),
    };
    AnyValue { value }
}

/// Forgets what views do not show: entity references, string indices of keys, the difference between no value and an
/// empty one, and that between no id and one of zeros.
pub(crate) fn normalise(request: &mut ExportTraceServiceRequest) {
    for resource_spans in &mut request.resource_spans {
        if let Some(resource) = &mut resource_spans.resource {
            resource.entity_refs.clear();
            resource.attributes.iter_mut().for_each(normalise_key_value);
        }
        for scope_spans in &mut resource_spans.scope_spans {
            if let Some(scope) = &mut scope_spans.scope {
                scope.attributes.iter_mut().for_each(normalise_key_value);
            }
            for span in &mut scope_spans.spans {
                for id in [
                    &mut span.trace_id,
                    &mut span.span_id,
                    &mut span.parent_span_id,
                ] {
                    normalise_id(id);
                }
                span.attributes.iter_mut().for_each(normalise_key_value);
                for event in &mut span.events {
                    event.attributes.iter_mut().for_each(normalise_key_value);
                }
                for link in &mut span.links {
                    normalise_id(&mut link.trace_id);
                    normalise_id(&mut link.span_id);
                    link.attributes.iter_mut().for_each(normalise_key_value);
                }
            }
        }
    }
}

fn normalise_id(id: &mut Vec<u8>) {
    if id.iter().all(|byte| *byte == 0) {
        id.clear();
    }
}

fn normalise_key_value(attribute: &mut KeyValue) {
    attribute.key_strindex = 0;
    if let Some(value) = &mut attribute.value {
        normalise_value(value);
    }
    attribute.value.take_if(|value| value.value.is_none());
}

fn normalise_value(value: &mut AnyValue) {
    match &mut value.value {
        Some(any_value::Value::ArrayValue(array)) => {
            array.values.iter_mut().for_each(normalise_value)
        }
        Some(any_value::Value::KvlistValue(map)) => {
            map.values.iter_mut().for_each(normalise_key_value)
        }
        _ => {}
    }
}
