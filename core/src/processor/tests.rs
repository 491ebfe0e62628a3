use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
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

/// An action, as data, for the naive reference.
#[derive(Clone, Debug)]
enum Act {
    Insert(&'static str, i64),
    Update(&'static str, i64),
    Upsert(&'static str, i64),
    Delete(&'static str),
}

fn any_acts() -> impl Strategy<Value = Vec<Act>> {
    let keys = || select(&["a", "b", "c", "d"]);
    let act = prop_oneof![
        (keys(), 0..3_i64).prop_map(|(key, value)| Act::Insert(key, value)),
        (keys(), 0..3_i64).prop_map(|(key, value)| Act::Update(key, value)),
        (keys(), 0..3_i64).prop_map(|(key, value)| Act::Upsert(key, value)),
        keys().prop_map(Act::Delete),
    ];
    any_vec(act, 0..6)
}

fn actions(acts: &[Act]) -> Actions {
    acts.iter().fold(Actions::new(), |actions, act| match *act {
        Act::Insert(key, value) => actions.insert(key, value),
        Act::Update(key, value) => actions.update(key, value),
        Act::Upsert(key, value) => actions.upsert(key, value),
        Act::Delete(key) => actions.delete(key),
    })
}

/// The actions one after another on decoded attributes.
fn apply(acts: &[Act], attributes: &mut Vec<KeyValue>) {
    for act in acts {
        let (key, value, insert, update) = match *act {
            Act::Insert(key, value) => (key, value, true, false),
            Act::Update(key, value) => (key, value, false, true),
            Act::Upsert(key, value) => (key, value, true, true),
            Act::Delete(key) => {
                attributes.retain(|attribute| attribute.key != key);
                continue;
            }
        };
        let new = attribute(key, any_value::Value::IntValue(value));
        match attributes.iter_mut().find(|attribute| attribute.key == key) {
            Some(old) if update => *old = new,
            None if insert => attributes.push(new),
            _ => {}
        }
    }
}

/// The order of attributes says nothing.
fn sorted(mut flat: Vec<Flat>) -> Vec<Flat> {
    for (resource, _, _, _, span) in &mut flat {
        span.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        if let Some(resource) = resource {
            resource.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        }
    }
    flat
}

fn any_leaf() -> impl Strategy<Value = Condition> {
    let key = || select(&["a", "b", "z"]);
    let pattern = || {
        prop_oneof![
            select(&["", "a", "ab"]).prop_map(Pattern::equals),
            select(&["a*", "*a", "?", "*", "a?", "*b*"]).prop_map(Pattern::glob),
        ]
    };
    let attribute = move || {
        prop_oneof![
            key().prop_map(AttributeCondition::exists),
            (key(), pattern()).prop_map(|(key, pattern)| AttributeCondition::matches(key, pattern)),
            (key(), -2..3_i64).prop_map(|(key, value)| AttributeCondition::equals(key, value)),
            key().prop_map(|key| AttributeCondition::equals(key, 1.0)),
            key().prop_map(|key| AttributeCondition::equals(key, true)),
            key().prop_map(|key| AttributeCondition::equals(key, "ab")),
        ]
    };
    prop_oneof![
        pattern().prop_map(Condition::Name),
        select(&[SpanKind::Internal, SpanKind::Server, SpanKind::Consumer])
            .prop_map(Condition::Kind),
        select(&[StatusCode::Unset, StatusCode::Ok, StatusCode::Error]).prop_map(Condition::Status),
        Just(Condition::Root),
        attribute().prop_map(Condition::Attribute),
        attribute().prop_map(Condition::ResourceAttribute),
        pattern().prop_map(Condition::Scope),
    ]
}

fn any_condition() -> impl Strategy<Value = Condition> {
    any_leaf().prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            any_vec(inner.clone(), 0..3).prop_map(Condition::All),
            any_vec(inner.clone(), 0..3).prop_map(Condition::Any),
            inner.prop_map(Condition::not),
        ]
    })
}

/// The condition, asked of a decoded span.
fn holds(condition: &Condition, flat: &Flat) -> bool {
    let (resource, _, scope, _, span) = flat;
    match condition {
        Condition::Name(pattern) => pattern.matches(&span.name),
        Condition::Kind(kind) => span.kind == *kind as i32,
        Condition::Status(code) => {
            span.status.as_ref().map_or(0, |status| status.code) == *code as i32
        }
        Condition::Root => span.parent_span_id.is_empty(),
        Condition::Attribute(attribute) => attribute_holds(attribute, &span.attributes),
        Condition::ResourceAttribute(attribute) => attribute_holds(
            attribute,
            resource
                .as_ref()
                .map_or(&[], |resource| &resource.attributes),
        ),
        Condition::Scope(pattern) => {
            pattern.matches(scope.as_ref().map_or("", |scope| &scope.name))
        }
        Condition::All(conditions) => conditions.iter().all(|condition| holds(condition, flat)),
        Condition::Any(conditions) => conditions.iter().any(|condition| holds(condition, flat)),
        Condition::Not(condition) => !holds(condition, flat),
    }
}

/// By the debug form, which shows all there is to a condition.
fn attribute_holds(condition: &AttributeCondition, attributes: &[KeyValue]) -> bool {
    let value = |value| Some(AnyValue { value: Some(value) });
    attributes.iter().any(|attribute| {
        let is = |wanted: AttributeCondition| *condition == wanted;
        let key = attribute.key.as_str();
        is(AttributeCondition::exists(key))
            || (-2..3).any(|n| {
                is(AttributeCondition::equals(key, n))
                    && attribute.value == value(any_value::Value::IntValue(n))
            })
            || (is(AttributeCondition::equals(key, 1.0))
                && attribute.value == value(any_value::Value::DoubleValue(1.0)))
            || (is(AttributeCondition::equals(key, true))
                && attribute.value == value(any_value::Value::BoolValue(true)))
            || (is(AttributeCondition::equals(key, "ab"))
                && attribute.value == value(any_value::Value::StringValue("ab".to_string())))
            || ["", "a", "ab"]
                .map(Pattern::equals)
                .into_iter()
                .chain(["a*", "*a", "?", "*", "a?", "*b*"].map(Pattern::glob))
                .any(|pattern| {
                    match attribute
                        .value
                        .as_ref()
                        .and_then(|value| value.value.as_ref())
                    {
                        Some(any_value::Value::StringValue(text)) => {
                            pattern.matches(text) && is(AttributeCondition::matches(key, pattern))
                        }
                        _ => false,
                    }
                })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 64 }))]

    /// Guarantees: as if the resource had been decoded, edited and encoded; the body is the same memory.
    #[test]
    fn resource_edits_are_those_of_a_naive_reference(segment in any_segment(), acts in any_acts()) {
        let reserve = reserve(100_000);
        let mut expected = flatten_segments([&segment]);
        for (resource, ..) in &mut expected {
            let mut edited = resource.clone().unwrap_or_default();
            apply(&acts, &mut edited.attributes);
            if resource.is_some() || edited != Resource::default() {
                *resource = Some(edited);
            }
        }
        let mut processor = ResourceProcessor::new(actions(&acts));
        let (segments, ..) = run(&mut processor, segment.clone(), &reserve).unwrap();
        prop_assert_eq!(sorted(flatten_segments(&segments)), sorted(expected));
        let memory = |segment: &Segment| segment.body_parts().map(|part| part.as_ptr()).collect::<Vec<_>>();
        prop_assert_eq!(memory(&segments[0]), memory(&segment));

        // The same again shares the head; a second pass changes nothing.
        let (again, ..) = run(&mut processor, segment, &reserve).unwrap();
        prop_assert_eq!(again[0].head().as_bytes().as_ptr(), segments[0].head().as_bytes().as_ptr());
    }

    /// Guarantees: as if the spans had been decoded, edited and encoded, whole or after a split.
    #[test]
    fn attribute_edits_are_those_of_a_naive_reference(
        segment in any_segment(),
        acts in any_acts(),
        only in proptest::option::of(any_condition()),
        pieces in 1..4_usize,
    ) {
        let reserve = reserve(1 << 20);
        let mut expected = flatten_segments([&segment]);
        for flat in &mut expected {
            if only.as_ref().is_none_or(|only| holds(only, flat)) {
                apply(&acts, &mut flat.4.attributes);
            }
        }
        let mut processor = AttributesProcessor::new(actions(&acts));
        if let Some(only) = only {
            processor = processor.only(only);
        }
        let mut segments = Vec::new();
        for piece in pieces_of(segment, pieces, &reserve) {
            segments.extend(run(&mut processor, piece, &reserve).unwrap().0);
        }
        prop_assert_eq!(sorted(flatten_segments(&segments)), sorted(expected));
        drop(segments);
        prop_assert_eq!(reserve.in_use(), 0);
    }

    /// Guarantees: what goes on is what a naive reference keeps, in order, whole or after a split.
    #[test]
    fn a_filter_leaves_out_what_a_naive_reference_does(
        segment in any_segment(),
        conditions in any_vec(any_condition(), 0..3),
        pieces in 1..4_usize,
    ) {
        let reserve = reserve(1 << 20);
        let all = flatten_segments([&segment]);
        let expected: Vec<Flat> = all
            .iter()
            .filter(|flat| !conditions.iter().any(|condition| holds(condition, flat)))
            .cloned()
            .collect();
        let mut filter = FilterProcessor::new(conditions);
        let (mut segments, mut filtered) = (Vec::new(), 0);
        for piece in pieces_of(segment, pieces, &reserve) {
            let (kept, left_out, _) = run(&mut filter, piece, &reserve).unwrap();
            segments.extend(kept);
            filtered += left_out;
        }
        prop_assert_eq!(flatten_segments(&segments), &expected[..]);
        prop_assert_eq!(filtered as usize, all.len() - expected.len());
        prop_assert!(segments.iter().all(|segment| segment.spans() > 0));
    }

    /// Guarantees: a glob says what a backtracking reference says.
    #[test]
    fn globs_match_as_a_naive_reference_does(glob in "[aé*?]{0,6}", text in "[aé*]{0,8}") {
        fn naive(glob: &[char], text: &[char]) -> bool {
            match glob {
                [] => text.is_empty(),
                ['*', rest @ ..] => (0..=text.len()).any(|at| naive(rest, &text[at..])),
                ['?', rest @ ..] => !text.is_empty() && naive(rest, &text[1..]),
                [wanted, rest @ ..] => text.first() == Some(wanted) && naive(rest, &text[1..]),
            }
        }
        let expected = naive(&glob.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
        prop_assert_eq!(Pattern::glob(&glob).matches(&text), expected);
    }
}

fn pieces_of(segment: Segment, pieces: usize, reserve: &Account) -> Vec<Segment> {
    let batch = Batch::from_iter([segment]);
    match batch.split(pieces, reserve) {
        Ok(pieces) if pieces.len() > 1 => {
            pieces.into_iter().flat_map(Batch::into_segments).collect()
        }
        _ => batch.into_segments(),
    }
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
