use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::collection::vec as any_vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::attribute::Value;
use crate::batch::samples::{Flat, any_segment, attribute, flatten_segments, segment_of};
use crate::batch::{Batch, Head};
use crate::clock::Moment;
use crate::limiter::{Account, Door, MemoryLimiter};
use crate::wire::{SpanKind, StatusCode};

#[cfg(feature = "regex")]
mod ottl;
mod reference;
mod sampling;
#[cfg(all(feature = "regex", feature = "sha256"))]
mod steps;

fn reserve(bytes: usize) -> Account {
    MemoryLimiter::builder(bytes + 256)
        .reserve(bytes)
        .build()
        .unwrap()
        .reserve()
}

/// What came of one call: the segments, the spans filtered, and the spans lost for want of room.
fn run(
    processor: &mut dyn Processor,
    segment: Segment,
    reserve: &Account,
) -> Result<(Vec<Segment>, u64, u64), Later> {
    let spans = segment.spans() as u64;
    let mut segments = Vec::new();
    let mut out = |segment| segments.push(segment);
    let mut edit = Edit::new(reserve, &mut out);
    if let Err(later) = processor.process(segment, &mut edit) {
        assert_eq!(
            (edit.emitted(), edit.filtered(), edit.dropped().total()),
            (0, 0, 0)
        );
        assert_eq!(later.0.spans() as u64, spans);
        return Err(later);
    }
    let dropped = edit.dropped().get(DropReason::NoRoom);
    assert_eq!(edit.dropped().total(), dropped);
    assert_eq!(
        edit.emitted() + edit.filtered() + dropped,
        spans,
        "every span is counted once"
    );
    let filtered = edit.filtered();
    assert_eq!(
        flatten_segments(&segments).len() as u64,
        spans - filtered - dropped
    );
    Ok((segments, filtered, dropped))
}

/// True of the samples whose name, a number, is odd.
fn is_odd() -> Condition {
    Condition::Any(
        ["*1", "*3", "*5", "*7", "*9"]
            .map(|glob| Condition::Name(Pattern::glob(glob)))
            .into(),
    )
}

#[test]
fn what_is_not_touched_is_not_copied() {
    let reserve = reserve(0);
    let segment = segment_of(10, 20);
    let memory = segment.body_parts().next().unwrap().as_ptr();
    let never = Condition::Name(Pattern::equals("x"));
    let processors: [&mut dyn Processor; 5] = [
        &mut FilterProcessor::new(vec![]),
        &mut FilterProcessor::new(vec![never.clone()]),
        &mut AttributesProcessor::new(Actions::new().update("a", 1).delete("b")),
        &mut AttributesProcessor::new(Actions::new().upsert("a", 1)).only(never),
        &mut ResourceProcessor::new(Actions::new().update("a", 1).delete("b")),
    ];
    for processor in processors {
        let (segments, filtered, dropped) = run(processor, segment.clone(), &reserve).unwrap();
        assert_eq!((segments.len(), filtered, dropped), (1, 0, 0));
        assert_eq!(segments[0].body_parts().next().unwrap().as_ptr(), memory);
    }
    // An attribute that is there already, with this value.
    let mut upsert = AttributesProcessor::new(Actions::new().upsert("a", 1));
    let (once, ..) = run(&mut upsert, segment, &self::reserve(10_000)).unwrap();
    let memory = once[0].body_parts().next().unwrap().as_ptr();
    let (twice, ..) = run(&mut upsert, once[0].clone(), &reserve).unwrap();
    assert_eq!(twice[0].body_parts().next().unwrap().as_ptr(), memory);
}

#[test]
fn a_segment_left_out_whole_needs_no_room() {
    let mut filter = FilterProcessor::new(vec![Condition::Root]);
    let (segments, filtered, dropped) = run(&mut filter, segment_of(10, 20), &reserve(0)).unwrap();
    assert_eq!((segments.len(), filtered, dropped), (0, 10, 0));
}

/// Scenario: an edit does not fit into what is left of the reserve, or into all of it.
/// Guarantees: the first waits and changes nothing; the second costs its spans; what was filtered counts as such.
#[test]
fn an_edit_waits_for_room_or_never_gets_any() {
    let processors = || -> [Box<dyn Processor>; 3] {
        [
            Box::new(FilterProcessor::new(vec![is_odd()])),
            Box::new(AttributesProcessor::new(Actions::new().upsert("a", "b"))),
            Box::new(ResourceProcessor::new(Actions::new().upsert("a", "b"))),
        ]
    };
    for (mut processor, expected_filtered) in processors().into_iter().zip([5, 0, 0]) {
        let (_, filtered, dropped) =
            run(&mut *processor, segment_of(10, 20), &reserve(100)).unwrap();
        assert_eq!(
            (filtered, dropped),
            (expected_filtered, 10 - expected_filtered),
            "{}",
            processor.name()
        );
    }
    for mut processor in processors() {
        let reserve = reserve(1000);
        let in_flight = reserve.acquire(740).unwrap();
        let Later(segment) = run(&mut *processor, segment_of(10, 20), &reserve).unwrap_err();
        drop(in_flight);
        let (segments, _, dropped) = run(&mut *processor, segment, &reserve).unwrap();
        assert_eq!((segments.len(), dropped), (1, 0));
        assert!(reserve.in_use() > 0);
    }
}

#[test]
fn an_edit_keeps_what_nobody_knows() {
    // A span of an unknown field, two attributes and another unknown field, in this order.
    let span: &[u8] = b"\xa8\x06\x01\x4a\x05\x0a\x01k\x12\x00\x4a\x05\x0a\x01l\x12\x00\xa8\x06\x02";
    let mut body = vec![0x12, span.len() as u8 + 2, 0x12, span.len() as u8];
    body.extend_from_slice(span);
    let segment = Segment::new(
        Head::default(),
        Bytes::from(body),
        1,
        Moment::from_nanos(0),
        Door::Neighbours,
    );
    let mut processor =
        AttributesProcessor::new(Actions::new().delete("k").insert("m", Value::Empty));
    let (segments, ..) = run(&mut processor, segment, &reserve(1000)).unwrap();
    let body: Vec<u8> = segments[0]
        .body_parts()
        .flat_map(|part| part.to_vec())
        .collect();
    assert_eq!(
        body,
        b"\x12\x16\x12\x14\xa8\x06\x01\x4a\x05\x0a\x01l\x12\x00\xa8\x06\x02\x4a\x05\x0a\x01m\x12\x00"
    );
}

#[test]
fn repeated_keys_and_merged_parts_are_one_attribute() {
    let resource = |pairs: &[(&str, i64)]| {
        let attributes = pairs
            .iter()
            .map(|(key, value)| attribute(key, any_value::Value::IntValue(*value)));
        prost::Message::encode_to_vec(&Resource {
            attributes: attributes.collect(),
            ..Resource::default()
        })
    };
    let mut fields = Vec::new();
    crate::wire::encode::write_len_field(
        &mut fields,
        1,
        &resource(&[("a", 1), ("a", 2), ("b", 1)]),
    );
    crate::wire::encode::write_len_field(&mut fields, 1, &resource(&[("a", 3), ("c", 1)]));
    let segment = segment_of(1, 1).with_head(Head::new(Bytes::from(fields)));
    let attributes = |actions| {
        let (segments, ..) = run(
            &mut ResourceProcessor::new(actions),
            segment.clone(),
            &reserve(1000),
        )
        .unwrap();
        let resource = flatten_segments(&segments)[0].0.clone().unwrap();
        resource
            .attributes
            .into_iter()
            .map(|attribute| attribute.key)
            .collect::<Vec<String>>()
            .concat()
    };
    assert_eq!(attributes(Actions::new().update("a", 9)), "bca");
    assert_eq!(attributes(Actions::new().update("a", 2)), "abc");
    assert_eq!(attributes(Actions::new().delete("a")), "bc");
    assert_eq!(attributes(Actions::new().insert("c", 9)), "aabac");
    // Of a key that repeats, the last value is the one that counts.
    for (value, expected) in [(1, 0), (2, 0), (3, 1)] {
        let condition = Condition::ResourceAttribute(AttributeCondition::equals("a", value));
        let (_, filtered, _) = run(
            &mut FilterProcessor::new(vec![condition]),
            segment.clone(),
            &reserve(0),
        )
        .unwrap();
        assert_eq!(filtered, expected);
    }
}

#[test]
fn values_are_equal_by_type_and_value() {
    let body = |value: &[u8]| {
        // KeyValue { "k": value } in a span in a ScopeSpans.
        let len = value.len() as u8;
        let mut body = vec![
            0x12,
            len + 9,
            0x12,
            len + 7,
            0x4a,
            len + 5,
            0x0a,
            1,
            b'k',
            0x12,
            len,
        ];
        body.extend_from_slice(value);
        Segment::new(
            Head::default(),
            Bytes::from(body),
            1,
            Moment::from_nanos(0),
            Door::Own,
        )
    };
    let one = 1.0_f64.to_le_bytes();
    let double = [&[0x21][..], &one].concat();
    let values: [(&[u8], Value<'_>); 8] = [
        (b"", Value::Empty),
        (b"\x0a\x01\x31", Value::Str("1")),
        (b"\x10\x01", Value::Bool(true)),
        (b"\x18\x01", Value::Int(1)),
        (&double, Value::Double(1.0)),
        (b"\x3a\x01\x31", Value::Bytes(b"1")),
        (b"\x2a\x04\x0a\x02\x18\x01", Value::Ints(&[1])),
        (b"\x10\x00", Value::Bool(false)),
    ];
    for (index, (encoded, _)) in values.iter().enumerate() {
        for (other, (_, value)) in values.iter().enumerate() {
            let condition = Condition::Attribute(AttributeCondition::equals("k", *value));
            let (_, filtered, _) = run(
                &mut FilterProcessor::new(vec![condition]),
                body(encoded),
                &reserve(0),
            )
            .unwrap();
            assert_eq!(filtered == 1, index == other, "{encoded:x?} {value:?}");
        }
    }
    // Not minimal, and not the only member: the last one counts.
    for encoded in [&b"\x18\x81\x00"[..], b"\x0a\x01\x31\x18\x01"] {
        let condition = Condition::Attribute(AttributeCondition::equals("k", 1));
        let (_, filtered, _) = run(
            &mut FilterProcessor::new(vec![condition]),
            body(encoded),
            &reserve(0),
        )
        .unwrap();
        assert_eq!(filtered, 1);
    }
}

#[test]
fn bytes_that_are_not_well_formed_pass_as_they_are() {
    for body in [
        &b"\x12\x05\x12\x00"[..],
        b"",
        b"\x0a\x02\x12\x00",
        b"\x12\x02\x12\x00",
    ] {
        let body = Bytes::from_static(body);
        let segment = Segment::new(
            Head::default(),
            body.clone(),
            3,
            Moment::from_nanos(0),
            Door::Neighbours,
        );
        let mut segments = Vec::new();
        let (reserve, mut out) = (reserve(1000), |segment| segments.push(segment));
        let mut edit = Edit::new(&reserve, &mut out);
        FilterProcessor::new(vec![Condition::Root])
            .process(segment, &mut edit)
            .unwrap();
        assert_eq!(edit.emitted(), 3);
        assert!(
            segments[0]
                .body_parts()
                .eq([&body].into_iter().filter(|body| !body.is_empty()))
        );
    }
}

#[test]
fn an_edit_is_charged_to_the_door_it_came_through_and_then_to_the_reserve() {
    let limiter = MemoryLimiter::builder(3000)
        .reserve(1000)
        .neighbours(2000)
        .spike(1999)
        .build()
        .unwrap();
    let reserve = limiter.reserve();
    let segment = segment_of(10, 20);
    let received = Segment::new(
        segment.head().clone(),
        segment
            .body_parts()
            .flat_map(|part| part.to_vec())
            .collect::<Vec<u8>>()
            .into(),
        10,
        Moment::from_nanos(0),
        Door::Neighbours,
    );
    let mut filter = FilterProcessor::new(vec![is_odd()]);
    let mut kept = Vec::new();
    let mut used = Vec::new();
    loop {
        match run(&mut filter, received.clone(), &reserve) {
            Ok((segments, ..)) => kept.extend(segments),
            Err(Later(_)) => break,
        }
        let usage = limiter.usage();
        used.push((usage.neighbours.in_use > 1600, usage.reserve.in_use > 0));
    }
    // Five fit the door, past its soft limit of one byte; two the reserve.
    let (door, reserve) = ((false, false), (true, true));
    assert_eq!(
        used,
        [door, door, door, door, (true, false), reserve, reserve]
    );
    assert_eq!(limiter.usage().neighbours.refused, 0);
    drop(kept);
    assert_eq!(limiter.usage().in_use, 0);
}

#[test]
fn a_segment_of_many_records_is_rewritten_whole() {
    let one = segment_of(10, 20);
    let body: Vec<u8> = one.body_parts().flat_map(|part| part.repeat(40)).collect();
    let segment = Segment::new(
        Head::default(),
        Bytes::from(body),
        400,
        Moment::from_nanos(0),
        Door::Own,
    );
    let mut filter = FilterProcessor::new(vec![is_odd()]);
    let (segments, filtered, _) = run(&mut filter, segment, &reserve(1 << 20)).unwrap();
    assert_eq!((segments[0].spans(), filtered), (200, 200));
}
