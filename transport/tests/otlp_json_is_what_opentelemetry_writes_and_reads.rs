//! Requests made up at random cross between this crate's OTLP/JSON and that of `opentelemetry-proto`, both ways.
#![cfg(feature = "json-read")]

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use spanwire_core::batch::{Batch, Head, Segment};
use spanwire_core::clock::Moment;
use spanwire_core::limiter::{Door, MemoryLimiter};
use spanwire_core::wire::validate::{Limits, validate};
use spanwire_core::wire::view::Request;
use spanwire_transport::otlp::json::Json;
use spanwire_transport::otlp::json::read::read_request;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z.]{0,12}",
        2 => "\\PC{0,20}",
        1 => "[\\x00-\\x1f\"\\\\/]{0,10}",
        1 => "[ -~]{100,300}",
    ]
}

/// The independent reader knows finite numbers only.
fn double() -> impl Strategy<Value = f64> {
    any::<u64>()
        .prop_map(f64::from_bits)
        .prop_filter("finite", |number| number.is_finite())
}

fn value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        4 => text().prop_map(any_value::Value::StringValue),
        1 => any::<bool>().prop_map(any_value::Value::BoolValue),
        1 => any::<i64>().prop_map(any_value::Value::IntValue),
        1 => double().prop_map(any_value::Value::DoubleValue),
        1 => vec(any::<u8>(), 0..20).prop_map(any_value::Value::BytesValue),
    ]
    .prop_map(|value| AnyValue { value: Some(value) });
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4)
                .prop_map(|values| any_value::Value::ArrayValue(ArrayValue { values })),
            vec((text(), inner), 0..4).prop_map(|entries| {
                let values = entries.into_iter().map(key_value).collect();
                any_value::Value::KvlistValue(KeyValueList { values })
            }),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn key_value((key, value): (String, AnyValue)) -> KeyValue {
    KeyValue {
        key,
        value: Some(value),
        key_strindex: 0,
    }
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec((text(), value()).prop_map(key_value), 0..5)
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 0..3_u32, 1 => any::<u32>()]
}

fn id(len: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(1..=u8::MAX, len), 1 => Just(Vec::new())]
}

fn event() -> impl Strategy<Value = span::Event> {
    (any::<u64>(), text(), attributes(), count()).prop_map(
        |(time_unix_nano, name, attributes, dropped)| span::Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count: dropped,
        },
    )
}

fn link() -> impl Strategy<Value = span::Link> {
    (id(16), id(8), text(), attributes(), count(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped, flags)| span::Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count: dropped,
            flags,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), id(8), text(), any::<u32>());
    let what = (
        text(),
        prop_oneof![0..6, any::<i32>()],
        any::<u64>(),
        any::<u64>(),
        attributes(),
        count(),
    );
    let rest = (
        vec(event(), 0..3),
        count(),
        vec(link(), 0..3),
        count(),
        proptest::option::of((text(), prop_oneof![0..3, any::<i32>()])),
    );
    (ids, what, rest).prop_map(|(ids, what, rest)| Span {
        trace_id: ids.0,
        span_id: ids.1,
        parent_span_id: ids.2,
        trace_state: ids.3,
        flags: ids.4,
        name: what.0,
        kind: what.1,
        start_time_unix_nano: what.2,
        end_time_unix_nano: what.3,
        attributes: what.4,
        dropped_attributes_count: what.5,
        events: rest.0,
        dropped_events_count: rest.1,
        links: rest.2,
        dropped_links_count: rest.3,
        status: rest.4.map(|(message, code)| Status { message, code }),
    })
}

fn scope_spans() -> impl Strategy<Value = ScopeSpans> {
    let scope =
        (text(), text(), attributes(), count()).prop_map(|(name, version, attributes, dropped)| {
            InstrumentationScope {
                name,
                version,
                attributes,
                dropped_attributes_count: dropped,
            }
        });
    (proptest::option::of(scope), vec(span(), 0..4), text()).prop_map(
        |(scope, spans, schema_url)| ScopeSpans {
            scope,
            spans,
            schema_url,
        },
    )
}

fn resource() -> impl Strategy<Value = Resource> {
    let entity = (text(), text(), vec(text(), 0..3), vec(text(), 0..2)).prop_map(
        |(schema_url, r#type, id_keys, description_keys)| EntityRef {
            schema_url,
            r#type,
            id_keys,
            description_keys,
        },
    );
    (attributes(), count(), vec(entity, 0..2)).prop_map(|(attributes, dropped, entity_refs)| {
        Resource {
            attributes,
            dropped_attributes_count: dropped,
            entity_refs,
        }
    })
}

fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let resource_spans = (
        proptest::option::of(resource()),
        vec(scope_spans(), 0..3),
        text(),
    )
        .prop_map(|(resource, scope_spans, schema_url)| ResourceSpans {
            resource,
            scope_spans,
            schema_url,
        });
    vec(resource_spans, 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// A batch of the segments that an intake makes of such a request.
fn batch(request: &ExportTraceServiceRequest) -> Batch {
    request
        .resource_spans
        .iter()
        .map(|spans| {
            let head = ResourceSpans {
                scope_spans: Vec::new(),
                ..spans.clone()
            };
            let body = ResourceSpans {
                scope_spans: spans.scope_spans.clone(),
                ..ResourceSpans::default()
            };
            let count = spans
                .scope_spans
                .iter()
                .map(|scope| scope.spans.len())
                .sum();
            Segment::new(
                Head::new(head.encode_to_vec().into()),
                body.encode_to_vec().into(),
                count,
                Moment::from_nanos(0),
                Door::Neighbours,
            )
        })
        .collect()
}

/// Neighbours with the same head as one `ResourceSpans`: what a batch is allowed to make of a request.
fn joined(request: &ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    let mut joined: Vec<ResourceSpans> = Vec::new();
    for spans in &request.resource_spans {
        match joined.last_mut() {
            Some(last)
                if last.resource == spans.resource && last.schema_url == spans.schema_url =>
            {
                last.scope_spans.extend(spans.scope_spans.iter().cloned());
            }
            _ => joined.push(spans.clone()),
        }
    }
    ExportTraceServiceRequest {
        resource_spans: joined,
    }
}

fn theirs(text: &str) -> ExportTraceServiceRequest {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

fn ours(text: &str) -> ExportTraceServiceRequest {
    let mut bytes = Vec::with_capacity(text.len());
    let room = bytes.capacity();
    read_request(text.as_bytes(), &mut bytes).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert_eq!(bytes.capacity(), room, "the room was enough");
    validate(&bytes, &Limits::new()).unwrap();
    assert!(
        bytes.len() <= text.len(),
        "{} > {}",
        bytes.len(),
        text.len()
    );
    ExportTraceServiceRequest::decode(&bytes[..]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_here_is_read_there(request in request()) {
        let bytes = request.encode_to_vec();
        let text = Json::request(Request::new(&bytes)).to_string();
        prop_assert!(!text.contains(['\n', '\r']));
        prop_assert_eq!(theirs(&text), request);
    }

    #[test]
    fn what_is_written_there_is_read_here(request in request()) {
        let text = serde_json::to_string(&request).unwrap();
        prop_assert_eq!(ours(&text), request.clone());
        prop_assert_eq!(ours(&serde_json::to_string_pretty(&request).unwrap()), request);
    }

    #[test]
    fn a_batch_is_written_as_its_request(request in request()) {
        let text = Json::batch(&batch(&request)).to_string();
        prop_assert_eq!(theirs(&text), joined(&request));
    }

    #[test]
    fn what_is_written_here_is_read_here(request in request(), bits in any::<u64>()) {
        let mut request = request;
        // Numbers that the independent reader does not know; one not-a-number is like another.
        let odd = f64::from_bits(bits | 0x7ff0 << 48);
        let odd = if odd.is_nan() { f64::NAN } else { odd };
        let value = Some(any_value::Value::DoubleValue(odd));
        let odd = key_value((String::new(), AnyValue { value }));
        for spans in &mut request.resource_spans {
            if let Some(resource) = &mut spans.resource {
                resource.attributes.push(odd.clone());
            }
        }
        let bytes = request.encode_to_vec();
        let text = Json::request(Request::new(&bytes)).to_string();
        let mut again = Vec::new();
        read_request(text.as_bytes(), &mut again).unwrap();
        prop_assert_eq!(Json::request(Request::new(&again)).to_string(), text);
    }

    #[test]
    fn any_text_is_answered(text in "[\\[\\]{}:,\"a-z0-9\\\\ .-]{0,200}", bytes in vec(any::<u8>(), 0..100)) {
        let mut out = Vec::new();
        let _ = read_request(text.as_bytes(), &mut out);
        let _ = read_request(&bytes, &mut out);
    }

    /// A damaged text is refused, or read as something that may be trusted all the same.
    #[test]
    fn damaged_text_does_no_damage(request in request(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let bytes = request.encode_to_vec();
        let mut text = Json::request(Request::new(&bytes)).to_string().into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let mut out = Vec::new();
        if read_request(&text, &mut out).is_ok() {
            prop_assert!(validate(&out, &Limits::new()).is_ok());
        } else {
            prop_assert!(out.is_empty());
        }
    }
}

/// The golden message of a request in which every field of a span is set.
const GOLDEN: &str = concat!(
    "0a8e020a170a150a0c736572766963652e6e616d6512050a0373766312f2010a080a036c696212013112e5010a104bf92f3577b34da6a3ce929d0e0e4736",
    "120800f067aa0ba902b71a076f743d74683a382208b7ad6b71692033312a0347455430033900002a36fe9c97174140423936fe9c97174a080a017312030a",
    "01764a070a0162120210014a100a0169120b18ffffffffffffffffff014a0e0a0164120921000000000000e03f50015a2d0920a13136fe9c971712096578",
    "63657074696f6e1a150a0e657863657074696f6e2e7479706512030a0145200260036a210a104bf92f3577b34da6a3ce929d0e0e47361208b7ad6b716920",
    "3331350103000070047a081204626f6f6d1802850103030000",
);

const GOLDEN_JSON: &str = concat!(
    r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"svc"}}]},"#,
    r#""scopeSpans":[{"scope":{"name":"lib","version":"1"},"spans":[{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","#,
    r#""spanId":"00f067aa0ba902b7","traceState":"ot=th:8","parentSpanId":"b7ad6b7169203331","flags":771,"name":"GET","#,
    r#""kind":3,"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000001000000","attributes":["#,
    r#"{"key":"s","value":{"stringValue":"v"}},{"key":"b","value":{"boolValue":true}},"#,
    r#"{"key":"i","value":{"intValue":"-1"}},{"key":"d","value":{"doubleValue":0.5}}],"droppedAttributesCount":1,"#,
    r#""events":[{"timeUnixNano":"1700000000000500000","name":"exception","attributes":[{"key":"exception.type","#,
    r#""value":{"stringValue":"E"}}],"droppedAttributesCount":2}],"droppedEventsCount":3,"#,
    r#""links":[{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"b7ad6b7169203331","flags":769}],"#,
    r#""droppedLinksCount":4,"status":{"message":"boom","code":2}}]}]}]}"#,
);

#[test]
fn the_golden_message_is_this_text() {
    let bytes: Vec<u8> = (0..GOLDEN.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&GOLDEN[at..at + 2], 16).unwrap())
        .collect();
    assert_eq!(Json::request(Request::new(&bytes)).to_string(), GOLDEN_JSON);
    assert_eq!(
        ours(GOLDEN_JSON),
        ExportTraceServiceRequest::decode(&bytes[..]).unwrap()
    );
    assert_eq!(theirs(GOLDEN_JSON), ours(GOLDEN_JSON));
}

/// As `examples/trace.json` of opentelemetry-proto spells it: ids in upper case, times as strings, any order.
#[test]
fn the_specification_s_spelling_is_read() {
    let request = ours(
        r#"{ "resourceSpans": [ { "resource": { "attributes": [ { "key": "service.name",
            "value": { "stringValue": "my.service" } } ] }, "scopeSpans": [ { "scope": { "name": "my.library",
            "version": "1.0.0", "attributes": [ { "key": "my.scope.attribute", "value": { "stringValue": "some" } } ] },
            "spans": [ { "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174",
            "parentSpanId": "EEE19B7EC3C1B173", "name": "I'm a server span", "startTimeUnixNano": "1544712660000000000",
            "endTimeUnixNano": 1544712661000000000, "kind": 2, "attributes": [ { "key": "my.span.attr",
            "value": { "stringValue": "some value" } } ] } ] } ] } ] }"#,
    );
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.trace_id[..3], [0x5b, 0x8e, 0xff]);
    assert_eq!(span.parent_span_id[7], 0x73);
    assert_eq!(span.start_time_unix_nano, 1_544_712_660_000_000_000);
    assert_eq!(span.end_time_unix_nano, 1_544_712_661_000_000_000);
    assert_eq!(span.kind, 2);
}

/// A split repeats the scope before what it cuts off: one span of a record that began elsewhere.
#[test]
fn a_batch_that_was_split_is_written_whole() {
    let spans = (0..40).map(|n| Span {
        name: format!("span {n}"),
        ..Span::default()
    });
    let whole = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "lib".into(),
                    ..InstrumentationScope::default()
                }),
                spans: spans.collect(),
                schema_url: "s".into(),
            }],
            ..ResourceSpans::default()
        }],
    };
    let limiter = MemoryLimiter::builder(16 << 20).build().unwrap();
    let pieces = batch(&whole).split_by(200, &limiter.reserve()).unwrap();
    assert!(pieces.len() > 1);
    let mut names = Vec::new();
    for piece in &pieces {
        let read = theirs(&Json::batch(piece).to_string());
        for scope in &read.resource_spans[0].scope_spans {
            assert_eq!(scope.scope.as_ref().unwrap().name, "lib");
            assert_eq!(scope.schema_url, "s");
            names.extend(scope.spans.iter().map(|span| span.name.clone()));
        }
    }
    let expected: Vec<_> = (0..40).map(|n| format!("span {n}")).collect();
    assert_eq!(names, expected);
}
