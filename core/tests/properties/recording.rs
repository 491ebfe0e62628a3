//! What a span is told, prost reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use spanwire_core::clock::Timestamp;
use spanwire_core::context::{Link, SpanContext, TraceFlags, TraceState};
use spanwire_core::id::{SpanId, TraceId};
use spanwire_core::recorder::{Recorder, SpanLimits};
use spanwire_core::resource::InstrumentationScope;
use spanwire_core::sampler::AlwaysOn;
use spanwire_core::span::Status;
use spanwire_core::tracer::Tracer;
use spanwire_core::wire::validate::{Limits, validate};
use spanwire_core::wire::{SpanKind, varint};

use super::input::{Input, with_attributes, with_value};

const KINDS: [SpanKind; 5] = [
    SpanKind::Internal,
    SpanKind::Server,
    SpanKind::Client,
    SpanKind::Producer,
    SpanKind::Consumer,
];

/// What a span was told.
#[derive(Default)]
struct Told<'a> {
    name: &'a str,
    attributes: BTreeMap<&'a str, AnyValue>,
    events: Vec<(&'a str, Option<u64>)>,
    links: usize,
    /// Status code and message, by the lattice of the specification.
    status: (i32, &'a str),
}

/// Of any spans, told anything: each arrives once or is counted as dropped, as a message that is valid for us and for
/// prost, with what it was told or a count of what was left out.
pub(crate) fn encode_decode(script: &[u8]) {
    let mut input = Input::new(script);
    let limits = SpanLimits::DEFAULT
        .with_attributes(usize::from(input.below(12)))
        .with_events(usize::from(input.below(6)))
        .with_links(usize::from(input.below(6)));
    let recorder = Recorder::builder()
        .memory(512 << 10)
        .shards(1)
        .limits(limits)
        .build();
    let recorder = Arc::new(recorder.expect("enough memory"));
    let scope = InstrumentationScope::builder(input.text())
        .version(input.text())
        .build();
    let tracer = Tracer::new(recorder.clone(), scope, Arc::new(AlwaysOn));
    let mut parent = SpanContext::INVALID;
    for n in 0..32 {
        if input.is_empty() {
            break;
        }
        // Every other span ends where most do: in a block that is open.
        let opened = n % 2 == 1;
        if opened {
            tracer.start(FIRST).end();
        }
        parent = record(&mut input, &recorder, &tracer, &parent, opened);
    }
    assert_eq!(recorder.account().live(), 0);
}

/// The name of a span that opens a block.
const FIRST: &str = "the first of its block";

fn record(
    input: &mut Input<'_>,
    recorder: &Recorder,
    tracer: &Tracer,
    parent: &SpanContext,
    opened: bool,
) -> SpanContext {
    let before = recorder.account();
    let mut told = Told {
        name: input.text(),
        ..Told::default()
    };
    let kind = KINDS[usize::from(input.below(5))];
    let mut builder = tracer.span(told.name).kind(kind);
    let is_child = parent.is_valid() && input.below(2) == 0;
    if is_child {
        builder = builder.child_of(parent);
    }
    let started = (input.below(4) == 0).then(|| input.number());
    if let Some(nanos) = started {
        builder = builder.started_at(Timestamp::from_unix_nanos(nanos));
    }
    let mut span = builder.start();
    for _ in 0..input.below(24) {
        match input.below(8) {
            0..=3 => {
                let (key, value) = (input.text(), input.value(0));
                with_value(&value, &mut |value| {
                    span.set_attribute(key, value);
                });
                if !key.is_empty() {
                    told.attributes.insert(key, value.expected());
                }
            }
            4 => {
                let (name, attributes) = (input.text(), input.attributes());
                let time = (input.below(2) == 0).then(|| input.number());
                with_attributes(&attributes, &mut |attributes| {
                    match time {
                        Some(nanos) => {
                            span.add_event_at(Timestamp::from_unix_nanos(nanos), name, attributes)
                        }
                        None => span.add_event(name, attributes),
                    };
                });
                told.events.push((name, time));
            }
            5 => {
                let context = SpanContext::new(
                    TraceId::from_bytes([input.byte(); 16]),
                    SpanId::from_bytes([input.byte(); 8]),
                    TraceFlags::from_bits(input.byte()),
                    input.below(2) == 0,
                    TraceState::EMPTY,
                );
                let attributes = input.attributes();
                with_attributes(&attributes, &mut |attributes| {
                    span.add_link(&Link {
                        context: &context,
                        attributes,
                    });
                });
                told.links += 1;
            }
            6 => {
                let message = input.text();
                match input.below(4) {
                    0 => {
                        span.set_status(Status::Ok);
                        told.status = (1, "");
                    }
                    _ => {
                        span.set_status(Status::Error(message));
                        if told.status.0 != 1 {
                            told.status = (2, message);
                        }
                    }
                }
            }
            _ => {
                told.name = input.text();
                span.update_name(told.name);
            }
        }
    }
    let context = span.context().clone();
    span.end();

    let mut found = taken(recorder);
    if opened {
        assert_eq!(found.remove(0).name, FIRST);
    }
    let after = recorder.account();
    assert_eq!(after.started, before.started + 1);
    assert_eq!(after.admitted - before.admitted, found.len() as u64);
    assert_eq!(
        after.admitted - before.admitted + after.dropped.total() - before.dropped.total(),
        1
    );
    for found in &found {
        assert_eq!(found.trace_id, context.trace_id().to_bytes());
        assert_eq!(found.span_id, context.span_id().to_bytes());
        let parent_id = if is_child {
            parent.span_id().to_bytes().to_vec()
        } else {
            Vec::new()
        };
        assert_eq!(found.parent_span_id, parent_id);
        assert_eq!(found.kind, kind as i32);
        assert!(started.is_none_or(|nanos| nanos == found.start_time_unix_nano));
        check(found, &told);
    }
    context
}

/// Seals and takes all that is in the ring.
fn taken(recorder: &Recorder) -> Vec<Span> {
    recorder.ring().seal_all();
    let mut spans = Vec::new();
    while let Some(sealed) = recorder.ring().take() {
        let mut len = [0; varint::MAX_LEN];
        let written =
            varint::write(sealed.as_bytes().len() as u64, &mut len).expect("ten bytes are enough");
        let request = [b"\x0a", &len[..written], sealed.as_bytes()].concat();
        let decoded =
            ExportTraceServiceRequest::decode(&request[..]).expect("a block is well-formed");
        let valid = validate(&request, &Limits::new()).expect("a block is well-formed");
        assert_eq!(valid.counts().spans, sealed.spans());
        let before = spans.len();
        for resource in decoded.resource_spans {
            spans.extend(
                resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
        assert_eq!(spans.len() - before, sealed.spans());
    }
    spans
}

fn check(found: &Span, told: &Told<'_>) {
    assert_eq!(found.name, told.name);
    let mut keys: Vec<&str> = found
        .attributes
        .iter()
        .map(|attribute| attribute.key.as_str())
        .collect();
    keys.sort_unstable();
    assert!(
        keys.windows(2).all(|pair| pair[0] != pair[1]),
        "a key twice: {keys:?}"
    );
    assert!(keys.iter().all(|key| told.attributes.contains_key(key)));
    if found.dropped_attributes_count == 0 {
        assert_eq!(keys.len(), told.attributes.len());
        for KeyValue { key, value, .. } in &found.attributes {
            // Encoded, so that a NaN equals itself.
            let value = value.clone().unwrap_or_default().encode_to_vec();
            assert_eq!(
                value,
                told.attributes[key.as_str()].encode_to_vec(),
                "{key}"
            );
        }
    }
    assert_eq!(
        found.events.len() + found.dropped_events_count as usize,
        told.events.len()
    );
    let mut rest = told.events.iter();
    for event in &found.events {
        // Those that were kept, in order.
        let is_told = rest.any(|(name, time)| {
            event.name == *name && time.is_none_or(|time| time == event.time_unix_nano)
        });
        assert!(is_told, "an event that nobody told: {event:?}");
    }
    assert_eq!(
        found.links.len() + found.dropped_links_count as usize,
        told.links
    );
    let status = found.status.clone().unwrap_or_default();
    assert_eq!((status.code, status.message.as_str()), told.status);
}
