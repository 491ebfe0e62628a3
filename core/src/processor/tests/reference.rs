//! Edits of bytes against edits of structs.

use super::*;

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
        pattern().prop_map(Condition::ScopeVersion),
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
        Condition::ScopeVersion(pattern) => {
            pattern.matches(scope.as_ref().map_or("", |scope| &scope.version))
        }
        Condition::Ottl(_) => unreachable!("has a reference of its own"),
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
