//! Segments as different senders would write them, and what an independent decoder makes of them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message;

use super::{Head, Segment};
use crate::clock::Moment;
use crate::limiter::Door;
use crate::wire::encode;
use crate::wire::raw::Fields;

/// A span with all that is said above it.
pub(crate) type Flat = (
    Option<Resource>,
    String,
    Option<InstrumentationScope>,
    String,
    Span,
);

/// The spans of a request, one by one.
pub(crate) fn flatten(request: &[u8]) -> Vec<Flat> {
    let request = ExportTraceServiceRequest::decode(request).unwrap();
    let mut flat = Vec::new();
    for resource in request.resource_spans {
        for scope in resource.scope_spans {
            for span in scope.spans {
                flat.push((
                    resource.resource.clone(),
                    resource.schema_url.clone(),
                    scope.scope.clone(),
                    scope.schema_url.clone(),
                    span,
                ));
            }
        }
    }
    flat
}

/// The spans of segments, each decoded as a request of its own.
pub(crate) fn flatten_segments<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> Vec<Flat> {
    let mut flat = Vec::new();
    for segment in segments {
        let mut message = segment.head().as_bytes().to_vec();
        segment
            .body_parts()
            .for_each(|part| message.extend_from_slice(part));
        let mut request = Vec::new();
        encode::write_len_field(&mut request, 1, &message);
        flat.extend(flatten(&request));
    }
    flat
}

pub(crate) fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_string(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn any_name() -> impl Strategy<Value = String> {
    (select(&["", "a", "b", "ab", "ba", "x"]), 0..20_usize).prop_map(|(name, times)| match times {
        0 => name.repeat(200),
        _ => name.to_string(),
    })
}

/// Few keys and values, so that conditions and changes often meet.
pub(crate) fn any_attribute() -> impl Strategy<Value = KeyValue> {
    let value = prop_oneof![
        any_name().prop_map(any_value::Value::StringValue),
        (-2_i64..3).prop_map(any_value::Value::IntValue),
        any::<bool>().prop_map(any_value::Value::BoolValue),
        Just(any_value::Value::DoubleValue(1.0)),
    ];
    (select(&["a", "b", "c"]), value).prop_map(|(key, value)| attribute(key, value))
}

/// Each key once, as OpenTelemetry demands.
pub(crate) fn any_attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(any_attribute(), 0..5).prop_map(|mut attributes| {
        attributes.sort_by(|a, b| a.key.cmp(&b.key));
        attributes.dedup_by(|a, b| a.key == b.key);
        attributes
    })
}

pub(crate) fn any_span() -> impl Strategy<Value = Span> {
    let status = option::of((0..3).prop_map(|code| Status {
        code,
        message: String::from("m"),
    }));
    let ids = (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<bool>());
    (
        ids,
        "[ab]{0,3}|[xyz]{100,300}",
        0..6,
        any_attributes(),
        status,
    )
        .prop_map(
            |((trace_id, span_id, root), name, kind, attributes, status)| Span {
                trace_id: trace_id.to_vec(),
                parent_span_id: if root { Vec::new() } else { span_id.to_vec() },
                span_id: span_id.to_vec(),
                name,
                kind,
                start_time_unix_nano: 1,
                end_time_unix_nano: 2,
                attributes,
                status,
                flags: 0x101,
                ..Span::default()
            },
        )
}

/// How a sender arranges the fields of a record.
#[derive(Clone, Copy, Debug)]
enum Arrangement {
    /// By number: scope, spans, schema URL.
    ByNumber,
    /// As by number, with a length padded to four bytes.
    Padded,
    /// All but the spans first, with a field nobody knows.
    SpansLast,
    /// Spans first, and other fields between them.
    Interleaved,
}

fn record(message: &ScopeSpans, arrangement: Arrangement) -> Vec<u8> {
    let encoded = message.encode_to_vec();
    let (mut spans, mut others) = (Vec::new(), vec![vec![0xa8, 0x06, 0x01]]);
    for field in Fields::new(&encoded) {
        let to = if super::segment::is_span(&field) {
            &mut spans
        } else {
            &mut others
        };
        to.push(field.record.to_vec());
    }
    let payload = match arrangement {
        Arrangement::ByNumber | Arrangement::Padded => encoded,
        Arrangement::SpansLast => others.into_iter().chain(spans).flatten().collect(),
        Arrangement::Interleaved => {
            let (mut spans, mut others) = (spans.into_iter(), others.into_iter());
            let mut payload = Vec::new();
            loop {
                let next = (spans.next(), others.next());
                if next == (None, None) {
                    break payload;
                }
                payload.extend(next.0.into_iter().chain(next.1).flatten());
            }
        }
    };
    let mut out = vec![0x12];
    if matches!(arrangement, Arrangement::Padded) {
        let len = u32::try_from(payload.len()).unwrap();
        out.extend([0, 7, 14].map(|shift| (len >> shift) as u8 | 0x80));
        out.push((len >> 21) as u8);
        out.extend(payload);
    } else {
        out.clear();
        encode::write_len_field(&mut out, 2, &payload);
    }
    out
}

fn any_record() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let scope = option::of(
        ("[st]{0,2}", any_attributes()).prop_map(|(name, attributes)| InstrumentationScope {
            name,
            attributes,
            ..InstrumentationScope::default()
        }),
    );
    let arrangement = prop_oneof![
        Just(Arrangement::ByNumber),
        Just(Arrangement::Padded),
        Just(Arrangement::SpansLast),
        Just(Arrangement::Interleaved),
    ];
    (
        scope,
        vec(any_span(), 0..7),
        select(&["", "u", "url"]),
        arrangement,
    )
        .prop_map(|(scope, spans, schema_url, arrangement)| {
            let count = spans.len();
            let message = ScopeSpans {
                scope,
                spans,
                schema_url: schema_url.to_string(),
            };
            (record(&message, arrangement), count)
        })
}

/// A resource, whole or in two parts that merge, and what else a head may hold.
fn any_head() -> impl Strategy<Value = Head> {
    (any_attributes(), 0..5_u8).prop_map(|(attributes, kind)| {
        let resource = Resource {
            attributes,
            ..Resource::default()
        };
        let mut fields = Vec::new();
        match kind {
            0 => {}
            1 => fields.extend([0xa8, 0x06, 0x01]),
            2 => {
                let mut halves = resource.clone();
                let rest = halves.attributes.split_off(halves.attributes.len() / 2);
                encode::write_len_field(&mut fields, 1, &halves.encode_to_vec());
                fields.extend([0x1a, 1, b'x']);
                let rest = Resource {
                    attributes: rest,
                    dropped_attributes_count: 1,
                    ..Resource::default()
                };
                encode::write_len_field(&mut fields, 1, &rest.encode_to_vec());
            }
            _ => encode::write_len_field(&mut fields, 1, &resource.encode_to_vec()),
        }
        Head::new(Bytes::from(fields))
    })
}

/// A segment of at least one span.
pub(crate) fn any_segment() -> impl Strategy<Value = Segment> {
    let spans =
        |records: &Vec<(Vec<u8>, usize)>| records.iter().map(|record| record.1).sum::<usize>();
    let records = vec(any_record(), 1..5).prop_filter("no span", move |records| spans(records) > 0);
    (any_head(), records, 0..1000_u64, any::<bool>()).prop_map(move |(head, records, end, own)| {
        let count = spans(&records);
        let body: Vec<u8> = records.into_iter().flat_map(|record| record.0).collect();
        let door = if own { Door::Own } else { Door::Neighbours };
        Segment::new(
            head,
            Bytes::from(body),
            count,
            Moment::from_nanos(end),
            door,
        )
    })
}

/// Segments, some of which share their head with their neighbour.
pub(crate) fn any_segments() -> impl Strategy<Value = Vec<Segment>> {
    vec((any_segment(), any::<bool>()), 1..5).prop_map(|segments| {
        let mut list: Vec<Segment> = Vec::new();
        for (segment, shares) in segments {
            let head = list
                .last()
                .map(|last| last.head().clone())
                .filter(|_| shares);
            list.push(match head {
                Some(head) => segment.with_head(head),
                None => segment,
            });
        }
        list
    })
}

/// A segment of `spans` spans named by their index, each of `size` bytes and a few, in one record.
pub(crate) fn segment_of(spans: usize, size: usize) -> Segment {
    let spans_of = |range: core::ops::Range<usize>| {
        range
            .map(|index| Span {
                name: format!("{index:0size$}"),
                ..Span::default()
            })
            .collect()
    };
    let message = ResourceSpans {
        scope_spans: vec![ScopeSpans {
            spans: spans_of(0..spans),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    Segment::new(
        Head::default(),
        Bytes::from(message.encode_to_vec()),
        spans,
        Moment::from_nanos(0),
        Door::Own,
    )
}
