//! Requests made up at random, written as prost writes them and in every other way that protobuf allows: views show what
//! prost decodes. Then the bytes are damaged, and still nothing is trusted that prost refuses.
#![cfg(feature = "std")]

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use spanwire_core::wire::raw::{Fields, Payload};
use spanwire_core::wire::validate::{Limits, validate};
use spanwire_core::wire::{varint, view};

#[allow(dead_code, reason = "each test binary uses its own share")]
mod properties;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z.]{0,12}",
        2 => "\\PC{0,20}",
        1 => "[а-яё ]{0,40}",
        1 => "[ -~]{100,300}",
    ]
}

fn value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        1 => Just(None),
        4 => text().prop_map(|text| Some(any_value::Value::StringValue(text))),
        1 => any::<bool>().prop_map(|value| Some(any_value::Value::BoolValue(value))),
        1 => any::<i64>().prop_map(|value| Some(any_value::Value::IntValue(value))),
        1 => any::<u64>().prop_map(|bits| Some(any_value::Value::DoubleValue(f64::from_bits(bits)))),
        1 => vec(any::<u8>(), 0..20).prop_map(|bytes| Some(any_value::Value::BytesValue(bytes))),
    ]
    .prop_map(|value| AnyValue { value });
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
        value: Some(value).filter(|value| value.value.is_some()),
        key_strindex: 0,
    }
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec((text(), value()).prop_map(key_value), 0..5)
}

/// A count or a length of the wire: mostly small, sometimes any.
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

fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope =
        (text(), text(), attributes(), count()).prop_map(|(name, version, attributes, dropped)| {
            InstrumentationScope {
                name,
                version,
                attributes,
                dropped_attributes_count: dropped,
            }
        });
    let scope_spans = (proptest::option::of(scope), vec(span(), 0..4), text()).prop_map(
        |(scope, spans, schema_url)| ScopeSpans {
            scope,
            spans,
            schema_url,
        },
    );
    let resource = (attributes(), count()).prop_map(|(attributes, dropped)| Resource {
        attributes,
        dropped_attributes_count: dropped,
        entity_refs: Vec::new(),
    });
    let resource_spans = (
        proptest::option::of(resource),
        vec(scope_spans, 0..3),
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

/// What may be done to the encoding of a message without changing the message.
struct Scrambler {
    state: u64,
}

#[derive(Clone, Copy)]
enum Kind {
    Request,
    ResourceSpans,
    Resource,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Status,
    KeyValue,
    AnyValue,
    Array,
    Map,
}

impl Kind {
    /// The message that a field is, and whether there may be several.
    fn field(self, number: u32) -> Option<(Self, bool)> {
        Some(match (self, number) {
            (Self::Request, 1) => (Self::ResourceSpans, true),
            (Self::ResourceSpans, 1) => (Self::Resource, false),
            (Self::ResourceSpans, 2) => (Self::ScopeSpans, true),
            (Self::ScopeSpans, 1) => (Self::Scope, false),
            (Self::ScopeSpans, 2) => (Self::Span, true),
            (Self::Resource, 1) | (Self::Scope, 3) | (Self::Span, 9) => (Self::KeyValue, true),
            (Self::Event, 3) | (Self::Link, 4) | (Self::Map, 1) => (Self::KeyValue, true),
            (Self::Span, 11) => (Self::Event, true),
            (Self::Span, 13) => (Self::Link, true),
            (Self::Span, 15) => (Self::Status, false),
            (Self::KeyValue, 2) => (Self::AnyValue, false),
            (Self::AnyValue, 5) => (Self::Array, false),
            (Self::AnyValue, 6) => (Self::Map, false),
            (Self::Array, 1) => (Self::AnyValue, true),
            _ => return None,
        })
    }
}

impl Scrambler {
    /// SplitMix64.
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % bound as u64) as usize
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    /// A number of at most five bytes, perhaps longer than it need be.
    fn prefix(&mut self, value: u64, out: &mut Vec<u8>) {
        let mut bytes = [0; 10];
        let mut len = varint::write(value, &mut bytes).unwrap();
        if self.one_in(4) {
            let padded = len + self.below(6 - len);
            if padded > len {
                bytes[len - 1] |= 0x80;
                bytes[len..padded].fill(0x80);
                bytes[padded - 1] = 0;
                len = padded;
            }
        }
        out.extend(&bytes[..len]);
    }

    fn record(&mut self, number: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.prefix(u64::from(number << 3 | 2), &mut out);
        self.prefix(payload.len() as u64, &mut out);
        out.extend(payload);
        out
    }

    fn unknown(&mut self) -> Vec<u8> {
        let number = 20 + self.below(500) as u64;
        let mut out = Vec::new();
        match self.below(4) {
            0 => {
                self.prefix(number << 3, &mut out);
                out.extend([0xff; 9]);
                out.push(1);
            }
            1 => {
                self.prefix(number << 3 | 3, &mut out);
                out.extend(b"\x08\x01");
                self.prefix(number << 3 | 4, &mut out);
            }
            2 => {
                self.prefix(number << 3 | 5, &mut out);
                out.extend(b"\xff\xfe\xfd\xfc");
            }
            _ => out = self.record(number as u32, b"\xff\xff"),
        }
        out
    }

    /// The message in another encoding: lengths and tags padded, fields of different numbers mixed, single messages in
    /// two pieces, scalars written twice, unknown fields between.
    fn message(&mut self, kind: Kind, bytes: &[u8]) -> Vec<u8> {
        let mut records: Vec<(u32, Vec<u8>)> = Vec::new();
        for found in Fields::new(bytes) {
            match found.payload {
                Payload::Len(payload) => match kind.field(found.number) {
                    Some((inner, many)) => {
                        let cut = Fields::new(payload).map(|inner| inner.record.len()).next();
                        match cut {
                            Some(cut) if !many && self.one_in(3) => {
                                for half in [&payload[..cut], &payload[cut..]] {
                                    let half = self.message(inner, half);
                                    records.push((found.number, self.record(found.number, &half)));
                                }
                            }
                            _ => {
                                let payload = self.message(inner, payload);
                                records.push((found.number, self.record(found.number, &payload)));
                            }
                        }
                    }
                    None => {
                        if !matches!(kind, Kind::AnyValue) && self.one_in(4) {
                            records.push((found.number, self.record(found.number, b"")));
                        }
                        records.push((found.number, self.record(found.number, payload)));
                    }
                },
                _ => {
                    if self.one_in(4) {
                        records.push((found.number, found.record.to_vec()));
                    }
                    records.push((found.number, found.record.to_vec()));
                }
            }
        }
        if self.one_in(3) {
            let at = self.below(records.len() + 1);
            records.insert(at, (u32::MAX, self.unknown()));
        }
        // Only fields of one number have an order.
        for _ in 0..records.len() {
            let at = self.below(records.len());
            if at > 0 && records[at - 1].0 != records[at].0 {
                records.swap(at - 1, at);
            }
        }
        records.into_iter().flat_map(|record| record.1).collect()
    }
}

/// Any fields, of any wire type, with small numbers: messages that nobody would write.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        3 => "[a-z]{0,9}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..9),
        1 => Just(vec![7; 8]),
        1 => Just(vec![7; 16]),
    ];
    leaf.prop_recursive(12, 96, 6, |inner| {
        let field = (1..17_u32, 0..20_u8, any::<u64>(), inner).prop_map(
            |(number, kind, value, payload)| {
                let mut out = Vec::new();
                let mut put = |value: u64| {
                    let mut bytes = [0; 10];
                    let len = varint::write(value, &mut bytes).unwrap();
                    out.extend(&bytes[..len]);
                };
                match kind {
                    0 => {
                        put(u64::from(number << 3));
                        put(value);
                    }
                    1 => {
                        put(u64::from(number << 3 | 1));
                        out.extend(value.to_le_bytes());
                    }
                    2 => {
                        put(u64::from(number << 3 | 5));
                        out.extend((value as u32).to_le_bytes());
                    }
                    3 => {
                        put(u64::from(number << 3 | 3));
                        out.extend(payload);
                        out.push((number << 3 | 4) as u8);
                    }
                    _ => {
                        // Mostly fields 1 and 2, which lead further down.
                        let number = if kind < 16 { number % 2 + 1 } else { number };
                        put(u64::from(number << 3 | 2));
                        put(payload.len() as u64);
                        out.extend(payload);
                    }
                }
                out
            },
        );
        vec(field, 0..6).prop_map(|fields| fields.concat())
    })
}

#[derive(Clone, Debug)]
enum Damage {
    Truncate(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        1 => place().prop_map(Damage::Truncate),
        6 => (place(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (place(), vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        2 => place().prop_map(Damage::Remove),
        1 => (place(), place()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for damage in damage {
        if bytes.is_empty() {
            break;
        }
        let len = bytes.len();
        match damage {
            Damage::Truncate(at) => bytes.truncate(at.index(len)),
            Damage::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Damage::Insert(at, more) => {
                let at = at.index(len);
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Remove(at) => {
                bytes.remove(at.index(len));
            }
            Damage::Repeat(from, to) => {
                let (from, to) = (from.index(len), to.index(len));
                let more = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(to..to, more);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn what_prost_writes_is_shown_as_it_was(request in request()) {
        let bytes = request.encode_to_vec();
        validate(&bytes, &Limits::new()).unwrap();
        let mut expected = request;
        properties::wire::normalise(&mut expected);
        let shown = properties::wire::structs(view::Request::new(&bytes));
        // Encoded, so that a NaN equals itself.
        prop_assert_eq!(shown.encode_to_vec(), expected.encode_to_vec());
        properties::wire::validate(&bytes);
    }

    #[test]
    fn every_other_encoding_shows_the_same(request in request(), seed: u64) {
        let mut scrambler = Scrambler { state: seed };
        let bytes = scrambler.message(Kind::Request, &request.encode_to_vec());
        if let Err(invalid) = validate(&bytes, &Limits::new()) {
            panic!("{invalid} in {bytes:x?}");
        }
        let mut expected = request;
        properties::wire::normalise(&mut expected);
        let shown = properties::wire::structs(view::Request::new(&bytes));
        prop_assert_eq!(shown.encode_to_vec(), expected.encode_to_vec());
        properties::wire::validate(&bytes);
    }

    #[test]
    fn damage_is_refused_or_harmless(
        request in request(),
        seed: Option<u64>,
        damage in vec(damage(), 1..4),
    ) {
        let mut bytes = request.encode_to_vec();
        if let Some(state) = seed {
            bytes = Scrambler { state }.message(Kind::Request, &bytes);
        }
        properties::wire::validate(&damaged(bytes, &damage));
    }

    #[test]
    fn messages_that_nobody_would_write_are_read_as_prost_does(bytes in fields()) {
        properties::wire::validate(&bytes);
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..200)) {
        properties::wire::validate(&bytes);
    }
}
