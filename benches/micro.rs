//! The parts of Spanwire alone: `cargo bench -p spanwire-benches --bench micro`.

#![allow(missing_docs, reason = "criterion's macros make functions without any")]

use core::{
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value, trace::v1::Span,
};
use prost::Message;
use spanwire_benches::{
    payload::{NAME, Payload, key, value},
    request::{Text, encoded, structs},
};
use spanwire_core::{
    attribute::KeyValue,
    clock::{Clock, SystemClock},
    context::{SpanContext, TraceFlags, TraceState},
    id::{SpanId, TraceId},
    propagation::{TraceContext, TraceParent},
    sampler::{AlwaysOn, ParentBased, PerMillion, Probability, Sampler, SamplingInput},
    wire::{
        encode::{ValueLimit, Writer, write_attributes},
        field,
        validate::{Limits, validate},
        view,
    },
};

/// Spans of the request that is read.
const SPANS: usize = 512;

/// Ten typed attributes into a buffer. prost starts from structs that are already there.
fn encode(c: &mut Criterion) {
    let payload = Payload::default();
    let attributes = [
        KeyValue::new(key::COMPONENT, value::COMPONENT),
        KeyValue::new(key::POD, &payload.pod),
        KeyValue::new(key::ATTEMPT, payload.attempt),
        KeyValue::new(key::CACHED, payload.cached),
        KeyValue::new(key::METHOD, value::METHOD),
        KeyValue::new(key::SYSTEM, value::SYSTEM),
        KeyValue::new(key::CONTAINER, &payload.container),
        KeyValue::new(key::NODE, &payload.node),
        KeyValue::new(key::STATUS, payload.status),
        KeyValue::new(key::RETRIED, payload.retried),
    ];
    let span = Span {
        attributes: structs(1, Text::Ascii).resource_spans[0].scope_spans[0].spans[0]
            .attributes
            .clone(),
        ..Span::default()
    };

    let mut group = c.benchmark_group("encode 10 attributes");
    let mut buffer = vec![0; 1024];
    group.bench_function("spanwire", |bench| {
        bench.iter(|| {
            let mut out = Writer::new(black_box(&mut buffer));
            let written = write_attributes(
                &mut out,
                field::span::ATTRIBUTES,
                black_box(&attributes),
                ValueLimit::default(),
            );
            black_box((written.is_ok(), out.finish()))
        });
    });
    let mut buffer = Vec::with_capacity(1024);
    group.bench_function("prost", |bench| {
        bench.iter(|| {
            buffer.clear();
            black_box(black_box(&span).encode(&mut buffer).is_ok())
        });
    });
    group.finish();
}

/// A neighbour's request: is it well-formed, and what does it say.
fn read(c: &mut Criterion) {
    for text in [Text::Ascii, Text::NonAscii] {
        let bytes = encoded(SPANS, text);
        let mut group = c.benchmark_group(format!("read {SPANS} spans, {text:?}"));
        group.throughput(Throughput::Elements(SPANS as u64));
        group.bench_function("spanwire: validate", |bench| {
            bench.iter(|| black_box(validate(black_box(&bytes), &Limits::new()).is_ok()));
        });
        group.bench_function("spanwire: view every attribute", |bench| {
            bench.iter(|| black_box(view_all(black_box(&bytes))));
        });
        group.bench_function("prost: decode", |bench| {
            bench.iter(|| {
                black_box(ExportTraceServiceRequest::decode(black_box(bytes.as_slice())).is_ok())
            });
        });
        group.bench_function("prost: decode and visit every attribute", |bench| {
            bench.iter(|| black_box(decode_all(black_box(&bytes))));
        });
        group.finish();
    }
}

/// The bytes of all string values.
fn view_all(bytes: &[u8]) -> usize {
    let mut sum = 0;
    for resource in view::Request::new(bytes).resource_spans() {
        for scope in resource.scope_spans() {
            for span in scope.spans() {
                for attribute in span.attributes() {
                    sum += attribute.value().as_str().map_or(0, str::len);
                }
            }
        }
    }
    sum
}

/// The bytes of all string values.
fn decode_all(bytes: &[u8]) -> usize {
    let request = ExportTraceServiceRequest::decode(bytes).unwrap_or_default();
    let scopes = request
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans);
    let attributes = scopes
        .flat_map(|scope| &scope.spans)
        .flat_map(|span| &span.attributes);
    let strings =
        attributes.filter_map(
            |attribute| match attribute.value.as_ref()?.value.as_ref()? {
                any_value::Value::StringValue(text) => Some(text.len()),
                _ => None,
            },
        );
    strings.sum()
}

/// One decision.
fn sampler(c: &mut Criterion) {
    let trace_id =
        TraceId::from_bytes(*b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36");
    let root = SamplingInput::root(trace_id, NAME);
    let parent = parent(trace_id, TraceState::EMPTY);
    let child = SamplingInput {
        parent: Some(&parent),
        ..root
    };
    let kubelet = ParentBased::new(PerMillion::new(10_000).expect("a rate below a million"));
    let probability = Probability::new(0.01).expect("a ratio below one");

    let mut group = c.benchmark_group("sample");
    let mut decide = |name, sampler: &dyn Sampler, input: &SamplingInput<'_>| {
        group.bench_function(name, |bench| {
            bench.iter(|| black_box(sampler.sample(black_box(input), &mut |_| ())));
        });
    };
    decide("root, always on", &AlwaysOn, &root);
    decide("root, 10000 per million", &kubelet, &root);
    decide("child, parent based", &kubelet, &child);
    decide("root, probability 0.01", &probability, &root);
    group.finish();
}

/// A `traceparent` and a `tracestate` of one member, read and written.
fn propagation(c: &mut Criterion) {
    let headers = [
        ("host", "10.0.0.1:10250"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
        ("tracestate", "ot=th:fd70a4"),
    ];
    let trace_id =
        TraceId::from_bytes(*b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36");
    let context = parent(trace_id, TraceState::EMPTY);

    let mut group = c.benchmark_group("propagate");
    group.bench_function("read traceparent and tracestate", |bench| {
        bench.iter(|| black_box(TraceContext::read(black_box(&headers.as_slice()))));
    });
    group.bench_function("write traceparent", |bench| {
        let mut line = [0; TraceParent::LEN];
        bench.iter(|| {
            black_box(
                TraceParent::from(black_box(&context))
                    .encode(&mut line)
                    .len(),
            )
        });
    });
    group.finish();
}

/// What `unsafe` spares a span outside the ring: the safe clock, and asking the system which process this is.
fn spared(c: &mut Criterion) {
    let clock = SystemClock::new();
    // By then the clock knows how fast the counter runs.
    std::thread::sleep(Duration::from_millis(100));
    let watch = clock.start();
    let generation = AtomicUsize::new(0);

    let mut group = c.benchmark_group("a clock");
    group.bench_function("spanwire: read a stopwatch", |bench| {
        bench.iter(|| black_box(clock.read(black_box(&watch))));
    });
    group.bench_function("std: Instant::now", |bench| bench.iter(Instant::now));
    group.finish();

    let mut group = c.benchmark_group("which process this is");
    group.bench_function("a number that a fork changes", |bench| {
        bench.iter(|| black_box(&generation).load(Ordering::Relaxed));
    });
    group.bench_function("std: process::id", |bench| bench.iter(std::process::id));
    group.finish();
}

fn parent(trace_id: TraceId, state: TraceState) -> SpanContext {
    let span_id = SpanId::from_bytes(*b"\x00\xf0\x67\xaa\x0b\xa9\x02\xb7");
    SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, state)
}

criterion_group!(parts, encode, read, sampler, propagation, spared);
criterion_main!(parts);
