use core::future::Future;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec::Vec;
use std::{format, thread, vec};

use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message;

use super::*;
use crate::context::{TraceFlags, TraceState};
use crate::id::TraceId;
use crate::recorder::SpanLimits;
use crate::sampler::{AlwaysOff, AlwaysOn};
use crate::stats::DropReason;
use crate::tracer::Tracer;

// Whose child a span is, where it lives and ends, and how it is counted.
mod life;

struct World {
    recorder: Arc<Recorder>,
    tracer: Tracer,
}

fn world(limits: SpanLimits) -> World {
    let recorder = Arc::new(
        Recorder::builder()
            .memory(1 << 20)
            .limits(limits)
            .build()
            .unwrap(),
    );
    let tracer = Tracer::new(recorder.clone(), "test", Arc::new(AlwaysOn));
    World { recorder, tracer }
}

impl World {
    /// The spans that have ended, decoded by an independent implementation.
    fn spans(&self) -> Vec<proto::Span> {
        assert_eq!(self.recorder.ring().seal_all(), 0);
        let mut spans = Vec::new();
        while let Some(block) = self.recorder.ring().take() {
            let decoded = proto::ResourceSpans::decode(block.as_bytes()).unwrap();
            // No length takes more bytes than it needs, but that of the scope, which is padded.
            let canonical: usize = decoded.scope_spans.iter().map(Message::encoded_len).sum();
            let prefixes = decoded.scope_spans.len() * crate::ring::SCOPE_PREFIX;
            assert_eq!(block.as_bytes().len(), canonical + prefixes);
            assert!(
                decoded
                    .scope_spans
                    .iter()
                    .all(|scope| scope.scope.as_ref().unwrap().name == "test")
            );
            spans.extend(
                decoded
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
        assert_eq!(self.recorder.pages().in_use(), 0, "all pages came back");
        spans
    }

    /// A span that is told something, and ends where most do: in a block that is open.
    fn span(&self, tell: impl FnOnce(&mut Span<'_>)) -> proto::Span {
        drop(self.tracer.start("the first of its block"));
        let mut span = self.tracer.start("name");
        tell(&mut span);
        drop(span);
        let mut spans = self.spans();
        assert_eq!(spans.len(), 2);
        spans.remove(1)
    }
}

fn text(value: &str) -> Option<AnyValue> {
    Some(AnyValue::StringValue(value.into()))
}

fn attributes(
    list: &[opentelemetry_proto::tonic::common::v1::KeyValue],
) -> Vec<(String, Option<AnyValue>)> {
    list.iter()
        .map(|kv| (kv.key.clone(), kv.value.clone().unwrap().value))
        .collect()
}

#[test]
fn everything_said_arrives() {
    let world = world(SpanLimits::DEFAULT);
    let parent = SpanContext::new(
        TraceId::from_bytes([1; 16]),
        SpanId::from_bytes([2; 8]),
        TraceFlags::SAMPLED.with_random(true),
        true,
        TraceState::parse("ot=th:8").unwrap(),
    );
    let links = [Link::new(&parent)];
    let early = [KeyValue::new("early", true)];
    let mut span = world
        .tracer
        .span("GET")
        .kind(SpanKind::Client)
        .child_of(&parent)
        .attributes(&early)
        .links(&links)
        .start();
    span.set_attribute("s", "v")
        .set_attribute("i", -1)
        .set_attribute("d", 0.5);
    span.set_attribute_with("made", || format!("{}", 7));
    span.add_event("happened", &[KeyValue::new("k", "v")]);
    span.add_event_at(Timestamp::from_unix_nanos(5), "then", &[]);
    span.set_status(Status::Error("boom"));
    let context = span.context().clone();
    span.end_at(Timestamp::from_unix_nanos(77));

    let [span] = <[_; 1]>::try_from(world.spans()).unwrap();
    assert_eq!(span.trace_id, [1; 16]);
    assert_eq!(span.span_id, context.span_id().to_bytes());
    assert_eq!(span.parent_span_id, [2; 8]);
    assert_eq!(span.trace_state, "ot=th:8");
    assert_eq!(span.name, "GET");
    assert_eq!(span.kind, 3);
    assert!(span.start_time_unix_nano > 1_700_000_000_000_000_000);
    assert_eq!(span.end_time_unix_nano, 77);
    assert_eq!(span.flags, 0x303);
    assert_eq!(
        attributes(&span.attributes),
        [
            ("early".to_string(), Some(AnyValue::BoolValue(true))),
            ("s".into(), text("v")),
            ("i".into(), Some(AnyValue::IntValue(-1))),
            ("d".into(), Some(AnyValue::DoubleValue(0.5))),
            ("made".into(), text("7")),
        ]
    );
    assert_eq!(span.events[0].name, "happened");
    assert_eq!(
        attributes(&span.events[0].attributes),
        [("k".to_string(), text("v"))]
    );
    assert_eq!(
        (span.events[1].name.as_str(), span.events[1].time_unix_nano),
        ("then", 5)
    );
    assert_eq!(
        (span.links[0].trace_id.as_slice(), span.links[0].flags),
        ([1; 16].as_slice(), 0x303)
    );
    assert_eq!(span.links[0].trace_state, "ot=th:8");
    let status = span.status.unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "boom"));
    assert_eq!(
        (
            span.dropped_attributes_count,
            span.dropped_events_count,
            span.dropped_links_count
        ),
        (0, 0, 0)
    );
}

#[test]
fn a_root_is_random_and_times_run_forward() {
    let world = world(SpanLimits::DEFAULT);
    let span = world.span(|span| {
        span.add_event("first", &[]);
        thread::sleep(core::time::Duration::from_millis(2));
    });
    assert_eq!(span.flags, 0x103);
    assert!(span.parent_span_id.is_empty());
    assert!(span.start_time_unix_nano <= span.events[0].time_unix_nano);
    assert!(span.events[0].time_unix_nano + 2_000_000 <= span.end_time_unix_nano);
    assert!(span.status.is_none());
}

#[test]
fn a_key_set_again_has_its_last_value() {
    let world = world(SpanLimits::DEFAULT);
    for keys in [1, 8, 9, 20, 128] {
        let span = world.span(|span| {
            for round in 0..3 {
                for key in 0..keys {
                    span.set_attribute(&format!("key{key}"), &format!("{}", key * 10 + round));
                }
            }
        });
        let mut found = attributes(&span.attributes);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let mut expected: Vec<_> = (0..keys)
            .map(|key| (format!("key{key}"), text(&format!("{}", key * 10 + 2))))
            .collect();
        expected.sort_by(|a: &(String, _), b| a.0.cmp(&b.0));
        assert_eq!(found, expected);
        assert_eq!(span.dropped_attributes_count, 0);
    }
}

#[test]
fn new_keys_at_the_limit_are_dropped_and_known_ones_updated() {
    let world = world(SpanLimits::DEFAULT.with_attributes(2));
    let span = world.span(|span| {
        span.set_attribute("a", 1)
            .set_attribute("b", 2)
            .set_attribute("c", 3)
            .set_attribute("a", 4);
        span.set_attribute("", 5);
    });
    assert_eq!(
        attributes(&span.attributes),
        [
            ("a".to_string(), Some(AnyValue::IntValue(4))),
            ("b".into(), Some(AnyValue::IntValue(2)))
        ]
    );
    assert_eq!(span.dropped_attributes_count, 2);
}

#[test]
fn events_links_and_their_attributes_have_limits() {
    let limits = SpanLimits::DEFAULT
        .with_events(1)
        .with_links(1)
        .with_event_attributes(1)
        .with_link_attributes(0);
    let world = world(limits);
    let other = SpanContext::new(
        TraceId::from_bytes([9; 16]),
        SpanId::from_bytes([9; 8]),
        TraceFlags::NONE,
        false,
        TraceState::EMPTY,
    );
    let two = [
        KeyValue::new("a", 1),
        KeyValue::new("b", 2),
        KeyValue::new("a", 3),
        KeyValue::new("", 4),
    ];
    let span = world.span(|span| {
        span.add_event("one", &two).add_event("two", &[]);
        span.add_link(&Link::new(&SpanContext::INVALID));
        span.add_link(&Link::new(&other).with_attributes(&two));
        span.add_link(&Link::new(&other));
    });
    assert_eq!(span.events.len(), 1);
    assert_eq!(
        attributes(&span.events[0].attributes),
        [("a".to_string(), Some(AnyValue::IntValue(3)))]
    );
    assert_eq!(span.events[0].dropped_attributes_count, 2);
    assert_eq!(span.dropped_events_count, 1);
    assert_eq!((span.links.len(), span.dropped_links_count), (1, 2));
    assert_eq!(
        (
            span.links[0].attributes.len(),
            span.links[0].dropped_attributes_count
        ),
        (0, 3)
    );
    assert_eq!(span.links[0].flags, 0x100);
}

#[test]
fn what_has_no_room_is_counted_and_the_span_survives() {
    let world = world(SpanLimits::DEFAULT.with_bytes(1000));
    let long = "x".repeat(600);
    let span = world.span(|span| {
        span.set_attribute("a", &long)
            .set_attribute("b", &long)
            .set_attribute("c", "short");
        span.add_event(&long, &[]);
        span.set_attribute("a", &*(long.clone() + "longer"));
        span.update_name(&"n".repeat(5000));
        span.set_status(Status::Error(&"é".repeat(5000)));
    });
    let keys: Vec<_> = span.attributes.iter().map(|kv| kv.key.as_str()).collect();
    assert_eq!(keys, ["a", "c"]);
    assert_eq!(
        (span.dropped_attributes_count, span.dropped_events_count),
        (2, 1)
    );
    assert_eq!(span.name, "n".repeat(1024));
    assert_eq!(span.status.unwrap().message, "é".repeat(512));
}

#[test]
fn large_values_cross_pages() {
    let world = world(SpanLimits::DEFAULT.with_bytes(8000));
    let long: String = (0..3000)
        .map(|n| char::from(b'a' + (n % 26) as u8))
        .collect();
    let span = world.span(|span| {
        for round in 0..3 {
            span.set_attribute("long", &long)
                .set_attribute("round", round);
        }
        span.add_event("e", &[KeyValue::new("long", &long)]);
    });
    assert_eq!(
        attributes(&span.attributes),
        [
            ("long".to_string(), text(&long)),
            ("round".into(), Some(AnyValue::IntValue(2)))
        ]
    );
    assert_eq!(
        attributes(&span.events[0].attributes),
        [("long".to_string(), text(&long))]
    );
}

#[test]
fn a_value_that_panics_at_the_start_leaves_no_span() {
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("planted")
        }
    }
    let world = world(SpanLimits::DEFAULT);
    let attributes = [
        KeyValue::new("first", 1),
        KeyValue {
            key: "second",
            value: Value::Display(&Panics),
        },
    ];
    let start = || drop(world.tracer.span("name").attributes(&attributes).start());
    let started = std::panic::catch_unwind(core::panic::AssertUnwindSafe(start));
    assert!(started.is_err());
    assert!(world.spans().is_empty(), "and all pages came back");
    assert_eq!(world.recorder.account().started, 0);
}

/// Scenario: the fingerprint of a key is made of its first and last bytes alone, so these have the same one.
/// Guarantees: they stay two keys, however they are set, and each is replaced by itself.
#[test]
fn keys_with_one_fingerprint_are_both_kept() {
    let world = world(SpanLimits::DEFAULT);
    let keys = [
        "k8s.pods.a.of.node",
        "k8s.pods.bbb.of.node",
        "kkkk",
        "kkkkk",
    ];
    let pairs: Vec<_> = keys.iter().map(|key| KeyValue::new(key, *key)).collect();
    let again = [KeyValue::new(keys[1], 1), KeyValue::new(keys[3], "again")];
    let expected = [
        (keys[0].to_string(), text(keys[0])),
        (keys[1].to_string(), Some(AnyValue::IntValue(1))),
        (keys[2].to_string(), text(keys[2])),
        (keys[3].to_string(), text("again")),
    ];
    let sorted = |span: &proto::Span| {
        let mut found = attributes(&span.attributes);
        found.sort_by_key(|(key, _)| keys.iter().position(|one| one == key));
        found
    };
    let one_by_one = world.span(|span| {
        for pair in pairs.iter().chain(&again) {
            span.set_attribute(pair.key, pair.value);
        }
    });
    assert_eq!(sorted(&one_by_one), expected);
    let at_once = world.span(|span| {
        span.set_attributes(&pairs).set_attributes(&again);
    });
    assert_eq!(sorted(&at_once), expected);
    let all: Vec<_> = pairs.iter().chain(&again).copied().collect();
    drop(world.tracer.span("name").attributes(&all).start());
    assert_eq!(sorted(&world.spans()[0]), expected);
}

#[test]
fn attributes_set_at_once_stop_at_their_limit_and_go_on_behind_a_long_one() {
    let keys: Vec<_> = (0..20).map(|n| format!("key {n}")).collect();
    let long = "v".repeat(300);
    for limit in [0, 1, 15, 16, 17, 20] {
        let world = world(SpanLimits::DEFAULT.with_attributes(limit));
        for long_at in [0, 1, 7, 15, 16, 19] {
            let values = |n| if n == long_at { long.as_str() } else { "v" };
            let all: Vec<_> = (0..keys.len())
                .map(|n| KeyValue::new(&keys[n], values(n)))
                .collect();
            let at_once = world.span(|span| {
                span.set_attributes(&all);
            });
            drop(world.tracer.span("name").attributes(&all).start());
            let at_the_start = world.spans().remove(0);
            for span in [at_once, at_the_start] {
                let expected: Vec<_> = (0..limit)
                    .map(|n| (keys[n].clone(), text(values(n))))
                    .collect();
                assert_eq!(attributes(&span.attributes), expected);
                let dropped = keys.len() - limit;
                assert_eq!(span.dropped_attributes_count as usize, dropped);
            }
        }
    }
}

/// Scenario: the length of a record takes one byte up to 127, and two from there.
#[test]
fn records_of_every_length_are_decoded() {
    let world = world(SpanLimits::DEFAULT);
    let name = "n".repeat(120);
    for len in 0..name.len() {
        drop(world.tracer.start(&name[..len]));
        let mut told = world.tracer.start("n");
        told.set_attribute("k", &name[..len]);
        drop(told);
        let spans = world.spans();
        assert_eq!(spans[0].name, name[..len]);
        assert_eq!(
            attributes(&spans[1].attributes),
            [("k".into(), text(&name[..len]))]
        );
    }
}

#[test]
fn short_attributes_cross_pages_at_every_place() {
    let world = world(SpanLimits::DEFAULT);
    for padding in 0..70 {
        let padding = "p".repeat(padding);
        let values: Vec<String> = (0..14).map(|n| format!("value {n} {padding}")).collect();
        let span = world.span(|span| {
            for (n, value) in values.iter().enumerate() {
                let key = format!("key.{n}");
                match n % 4 {
                    0 => span.set_attribute(&key, n as i64 * 1_000_003),
                    1 => span.set_attribute(&key, n as f64),
                    _ => span.set_attribute(&key, value),
                };
            }
            span.add_event("bare", &[]);
        });
        let expected: Vec<_> = (0..14)
            .map(|n| {
                let value = match n % 4 {
                    0 => Some(AnyValue::IntValue(n as i64 * 1_000_003)),
                    1 => Some(AnyValue::DoubleValue(n as f64)),
                    _ => text(&values[n]),
                };
                (format!("key.{n}"), value)
            })
            .collect();
        assert_eq!(attributes(&span.attributes), expected);
        assert_eq!(span.events.len(), 1);
        assert_eq!(span.dropped_attributes_count, 0);
    }
}

#[test]
fn a_key_may_be_set_for_ever() {
    let world = world(SpanLimits::DEFAULT.with_bytes(2000));
    let span = world.span(|span| {
        span.update_name("kept")
            .set_attribute("first", "kept")
            .set_status(Status::Error("kept"));
        for round in 0..3000_usize {
            span.set_attribute("same length", i64::MAX - round as i64);
            span.set_attribute("any length", &"é".repeat(round % 50));
            for key in 0..12 {
                span.set_attribute(&format!("key{key}"), &"x".repeat((round * 7 + key) % 20));
            }
        }
    });
    assert_eq!(span.dropped_attributes_count, 0);
    assert_eq!(
        (span.name.as_str(), span.status.unwrap().message.as_str()),
        ("kept", "kept")
    );
    let found = attributes(&span.attributes);
    assert_eq!(found.len(), 15);
    let get = |key: &str| {
        found
            .iter()
            .find(|(found, _)| found == key)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(get("first"), text("kept"));
    assert_eq!(
        get("same length"),
        Some(AnyValue::IntValue(i64::MAX - 2999))
    );
    assert_eq!(get("any length"), text(&"é".repeat(2999 % 50)));
    for key in 0..12 {
        assert_eq!(
            get(&format!("key{key}")),
            text(&"x".repeat((2999 * 7 + key) % 20))
        );
    }
}

/// OpenTelemetry trace API, "Set Status": `Ok > Error > Unset`. Unset can't be said; to say nothing stands in for it.
#[test]
fn ok_is_final_and_errors_replace_errors() {
    let world = world(SpanLimits::DEFAULT);
    let calls = [
        None,
        Some(Status::Ok),
        Some(Status::Error("a")),
        Some(Status::Error("b")),
        Some(Status::Error("")),
    ];
    for sequence in 0..calls.len().pow(3) {
        let told = [1, 5, 25].map(|place| calls[sequence / place % calls.len()]);
        let span = world.span(|span| {
            for status in told.into_iter().flatten() {
                span.set_status(status);
            }
        });
        let said = told.into_iter().flatten();
        let is_ok = said.clone().any(|status| status == Status::Ok);
        let expected = said.last().map(|last| match last {
            _ if is_ok => (1, ""),
            Status::Error(reason) => (2, reason),
            Status::Ok => (1, ""),
        });
        let found = span.status.map(|status| (status.code, status.message));
        assert_eq!(
            found,
            expected.map(|(code, message)| (code, message.to_string())),
            "{told:?}"
        );
    }
}

#[test]
fn names_can_change() {
    let world = world(SpanLimits::DEFAULT);
    let span = world.span(|span| {
        span.update_name("second")
            .set_attribute("a", 1)
            .update_name("third");
    });
    assert_eq!((span.name.as_str(), span.attributes.len()), ("third", 1));
}

#[test]
fn errors_become_exceptions() {
    let world = world(SpanLimits::DEFAULT);
    let error = "x".parse::<u8>().unwrap_err();
    let hidden: &dyn Error = &error;
    let span = world.span(|span| {
        span.record_error(&error, &[]);
        span.record_error(hidden, &[KeyValue::new("exception.message", "mine")]);
    });
    assert_eq!(span.events[0].name, "exception");
    assert_eq!(
        attributes(&span.events[0].attributes),
        [
            (
                "exception.type".to_string(),
                text("core::num::error::ParseIntError")
            ),
            (
                "exception.message".into(),
                text("invalid digit found in string")
            ),
        ]
    );
    assert_eq!(
        attributes(&span.events[1].attributes),
        [("exception.message".to_string(), text("mine"))]
    );
}

#[test]
fn unsampled_spans_cost_no_page_and_make_no_values() {
    let world = world(SpanLimits::DEFAULT);
    let tracer = Tracer::new(world.recorder.clone(), "test", Arc::new(AlwaysOff));
    let mut span = tracer.start("root");
    assert!(!span.is_recording() && span.context().is_valid() && !span.context().is_sampled());
    span.set_attribute_with("k", || -> i64 { panic!("nobody listens") });
    span.set_attribute("k", "v")
        .add_event("e", &[])
        .set_status(Status::Ok)
        .update_name("n");
    span.end();
    let account = world.recorder.account();
    assert_eq!((account.started, account.not_sampled), (0, 1));
    assert!(world.spans().is_empty());
}

#[test]
fn a_span_moves_between_threads_and_a_display_may_trace() {
    struct Nosy<'t>(&'t Tracer);
    impl fmt::Display for Nosy<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.start("inner").set_attribute("k", "v");
            f.write_str("seen")
        }
    }
    let world = world(SpanLimits::DEFAULT);
    let mut span = world.tracer.start("outer");
    span.set_attribute("nosy", Value::display(&Nosy(&world.tracer)));
    thread::scope(|scope| {
        scope.spawn(move || {
            span.set_attribute("moved", true);
            span.end();
        });
    });
    let spans = world.spans();
    // The text is made once to be measured and once to be written.
    assert_eq!(spans.len(), 3);
    let outer = spans.iter().find(|span| span.name == "outer").unwrap();
    assert_eq!(
        attributes(&outer.attributes),
        [
            ("nosy".to_string(), text("seen")),
            ("moved".into(), Some(AnyValue::BoolValue(true)))
        ]
    );
}

#[test]
fn a_display_that_changes_its_mind_costs_its_attribute() {
    struct Growing(core::cell::Cell<usize>, bool);
    impl fmt::Display for Growing {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let times = if self.1 {
                self.0.get() + 1
            } else {
                self.0.get() - 1
            };
            self.0.set(times);
            (0..times).try_for_each(|_| f.write_str("éé"))
        }
    }
    let world = world(SpanLimits::DEFAULT);
    let span = world.span(|span| {
        span.set_attribute("before", 1);
        span.set_attribute("shrinks", Value::display(&Growing(400.into(), false)));
        span.set_attribute("grows", Value::display(&Growing(1.into(), true)));
        span.set_attribute("after", 2);
    });
    let keys: Vec<_> = span.attributes.iter().map(|kv| kv.key.as_str()).collect();
    // What grows is cut to what was measured.
    assert_eq!(keys, ["before", "grows", "after"]);
    assert_eq!(span.dropped_attributes_count, 1);
}
