//! Changes whose values come from other attributes, against changes of decoded attributes one after another.

use super::*;
use any_value::Value::{BoolValue, BytesValue, DoubleValue, IntValue, StringValue};

#[derive(Clone, Debug)]
enum Act {
    Literal(u8, &'static str, i64),
    Copy(u8, &'static str, &'static str),
    Delete(&'static str),
    DeleteMatching(&'static str),
    Hash(&'static str),
    HashMatching(&'static str),
    Extract(&'static str),
    Convert(&'static str, ConvertTo),
}

const GROUPS: &str = "(?P<a>[ab])(?P<n>[0-9])?";

fn any_acts() -> impl Strategy<Value = Vec<Act>> {
    let key = || select(&["a", "b", "c", "n"]);
    let keys = || select(&["a*", "*", "b", "?", "z*"]);
    let act = prop_oneof![
        (0..3_u8, key(), 0..3_i64).prop_map(|(when, key, value)| Act::Literal(when, key, value)),
        (0..3_u8, key(), key()).prop_map(|(when, key, from)| Act::Copy(when, key, from)),
        key().prop_map(Act::Delete),
        keys().prop_map(Act::DeleteMatching),
        key().prop_map(Act::Hash),
        keys().prop_map(Act::HashMatching),
        key().prop_map(Act::Extract),
        (
            key(),
            select(&[ConvertTo::Int, ConvertTo::Double, ConvertTo::String])
        )
            .prop_map(|(key, to)| Act::Convert(key, to)),
    ];
    any_vec(act, 0..6)
}

fn actions(acts: &[Act]) -> Actions {
    acts.iter().fold(Actions::new(), |actions, act| match *act {
        Act::Literal(0, key, value) => actions.insert(key, value),
        Act::Literal(1, key, value) => actions.update(key, value),
        Act::Literal(_, key, value) => actions.upsert(key, value),
        Act::Copy(0, key, from) => actions.insert_from(key, from),
        Act::Copy(1, key, from) => actions.update_from(key, from),
        Act::Copy(_, key, from) => actions.upsert_from(key, from),
        Act::Delete(key) => actions.delete(key),
        Act::DeleteMatching(keys) => actions.delete_matching(Pattern::glob(keys)),
        Act::Hash(key) => actions.hash(key),
        Act::HashMatching(keys) => actions.hash_matching(Pattern::glob(keys)),
        Act::Extract(key) => actions.extract(key, Extraction::new(GROUPS).unwrap()),
        Act::Convert(key, to) => actions.convert(key, to),
    })
}

fn get(attributes: &[KeyValue], key: &str) -> Option<any_value::Value> {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    found.and_then(|found| found.value.clone()?.value)
}

fn set(attributes: &mut Vec<KeyValue>, when: u8, key: &str, value: any_value::Value) {
    let new = attribute(key, value);
    match attributes.iter_mut().find(|attribute| attribute.key == key) {
        Some(old) if when != 0 => *old = new,
        None if when != 1 => attributes.push(new),
        _ => {}
    }
}

/// The digest of the same bytes by the same crate, of whose correctness the vectors below are the proof.
fn digest(value: &any_value::Value) -> any_value::Value {
    let bytes = match value {
        StringValue(text) => text.clone().into_bytes(),
        BoolValue(value) => vec![u8::from(*value)],
        IntValue(value) => value.to_le_bytes().to_vec(),
        DoubleValue(value) => value.to_le_bytes().to_vec(),
        _ => Vec::new(),
    };
    if bytes.is_empty() {
        return StringValue(String::new());
    }
    let hex = hmac_sha256::Hash::hash(&bytes).map(|byte| format!("{byte:02x}"));
    StringValue(hex.concat())
}

fn convert(value: &any_value::Value, to: ConvertTo) -> Option<any_value::Value> {
    Some(match (to, value) {
        (ConvertTo::Int, DoubleValue(value)) => IntValue(*value as i64),
        (ConvertTo::Int, BoolValue(value)) => IntValue((*value).into()),
        (ConvertTo::Int, StringValue(text)) => IntValue(text.parse().ok()?),
        (ConvertTo::Double, IntValue(value)) => DoubleValue(*value as f64),
        (ConvertTo::Double, BoolValue(value)) => DoubleValue(f64::from(u8::from(*value))),
        (ConvertTo::Double, StringValue(text)) => DoubleValue(text.parse().ok()?),
        (ConvertTo::String, IntValue(value)) => StringValue(value.to_string()),
        (ConvertTo::String, BoolValue(value)) => StringValue(value.to_string()),
        (ConvertTo::String, DoubleValue(value)) => StringValue(value.to_string()),
        _ => return None,
    })
}

fn apply(acts: &[Act], attributes: &mut Vec<KeyValue>) {
    for act in acts {
        match *act {
            Act::Literal(when, key, value) => set(attributes, when, key, IntValue(value)),
            Act::Copy(when, key, from) => {
                if let Some(value) = get(attributes, from) {
                    set(attributes, when, key, value);
                }
            }
            Act::Delete(key) => attributes.retain(|attribute| attribute.key != key),
            Act::DeleteMatching(keys) => {
                attributes.retain(|attribute| !Pattern::glob(keys).matches(&attribute.key));
            }
            Act::Hash(key) => {
                if let Some(value) = get(attributes, key) {
                    set(attributes, 1, key, digest(&value));
                }
            }
            Act::HashMatching(keys) => {
                for attribute in attributes.iter_mut() {
                    if Pattern::glob(keys).matches(&attribute.key) {
                        let value = attribute.value.as_mut().and_then(|any| any.value.as_mut());
                        let value = value.unwrap();
                        *value = digest(value);
                    }
                }
            }
            Act::Extract(key) => {
                let Some(StringValue(text)) = get(attributes, key) else {
                    continue;
                };
                let found = text.char_indices().find(|(_, c)| "ab".contains(*c));
                if let Some((at, _)) = found {
                    set(attributes, 2, "a", StringValue(text[at..=at].into()));
                    let next = text[at + 1..].chars().next();
                    let digit: String = next.into_iter().filter(char::is_ascii_digit).collect();
                    set(attributes, 2, "n", StringValue(digit));
                }
            }
            Act::Convert(key, to) => {
                if let Some(new) = get(attributes, key).and_then(|value| convert(&value, to)) {
                    set(attributes, 1, key, new);
                }
            }
        }
    }
}

fn sorted(mut flat: Vec<Flat>) -> Vec<Flat> {
    for (resource, _, _, _, span) in &mut flat {
        span.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        if let Some(resource) = resource {
            resource.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        }
    }
    flat
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 200 }))]

    #[test]
    fn steps_are_those_of_a_naive_reference(segment in any_segment(), acts in any_acts()) {
        let reserve = reserve(1 << 20);
        let (mut spans, mut resources) = (flatten_segments([&segment]), flatten_segments([&segment]));
        for flat in &mut spans {
            apply(&acts, &mut flat.4.attributes);
        }
        for (resource, ..) in &mut resources {
            let mut edited = resource.clone().unwrap_or_default();
            apply(&acts, &mut edited.attributes);
            if resource.is_some() || edited != Resource::default() {
                *resource = Some(edited);
            }
        }
        let mut processor = AttributesProcessor::new(actions(&acts));
        let (segments, ..) = run(&mut processor, segment.clone(), &reserve).unwrap();
        prop_assert_eq!(sorted(flatten_segments(&segments)), sorted(spans));

        let mut processor = ResourceProcessor::new(actions(&acts));
        let (segments, ..) = run(&mut processor, segment, &reserve).unwrap();
        prop_assert_eq!(sorted(flatten_segments(&segments)), sorted(resources));
    }

    /// Guarantees: of a segment in which one span changes, all others keep their bytes, whatever is done to that one.
    #[test]
    fn spans_that_do_not_change_keep_their_bytes(segment in any_segment(), acts in any_acts()) {
        let reserve = reserve(1 << 20);
        let bytes = |segments: &[Segment]| {
            let spans = segments.iter().flat_map(|segment| segment.records().collect::<Vec<_>>());
            let fields = spans.flat_map(|record| record.all().collect::<Vec<_>>());
            let spans = fields.filter(|field| crate::batch::payload_of(field, 2).is_some()).map(|field| field.record.to_vec());
            spans.collect::<Vec<Vec<u8>>>()
        };
        let before = bytes(core::slice::from_ref(&segment));
        let decoded = flatten_segments([&segment]);
        let memory = segment.body_parts().map(|part| part.as_ptr()).collect::<Vec<_>>();
        let mut processor = AttributesProcessor::new(actions(&acts));
        let (segments, ..) = run(&mut processor, segment, &reserve).unwrap();
        let after = bytes(&segments);
        let mut any_changed = false;
        for ((before, after), flat) in before.iter().zip(&after).zip(decoded) {
            let mut attributes = flat.4.attributes.clone();
            apply(&acts, &mut attributes);
            let changes = attributes != flat.4.attributes;
            any_changed |= changes;
            prop_assert!(changes || before == after);
        }
        if !any_changed {
            prop_assert!(segments.iter().flat_map(Segment::body_parts).map(|part| part.as_ptr()).eq(memory));
        }
    }
}

/// One attribute `k` of a resource, and what becomes of it and of others.
fn after(value: any_value::Value, actions: Actions) -> Vec<(String, any_value::Value)> {
    let resource = prost::Message::encode_to_vec(&Resource {
        attributes: vec![attribute("k", value)],
        ..Resource::default()
    });
    let segment = segment_of(1, 1).with_head(Head::from_resource(&resource, ""));
    let mut processor = ResourceProcessor::new(actions);
    let (segments, ..) = run(&mut processor, segment, &reserve(10_000)).unwrap();
    let resource = flatten_segments(&segments)[0].0.clone().unwrap();
    let pairs = resource.attributes.into_iter();
    pairs
        .map(|pair| (pair.key, pair.value.unwrap().value.unwrap()))
        .collect()
}

/// FIPS 180-4's vector for "abc"; the others are `printf ... | sha256sum`.
#[test]
fn digests_are_sha256() {
    let hash = || Actions::new().hash("k");
    for (value, digest) in [
        (
            StringValue("abc".into()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (StringValue(String::new()), ""),
        (BytesValue(vec![1]), ""),
        (
            BoolValue(true),
            "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a",
        ),
        (
            IntValue(1),
            "7c9fa136d4413fa6173637e883b6998d32e1d675f88cddff9dcbcf331820f4b8",
        ),
    ] {
        assert_eq!(
            after(value, hash()),
            [("k".to_string(), StringValue(digest.into()))]
        );
    }
}

#[test]
fn every_group_is_an_attribute() {
    let extraction = || Extraction::new("^/(?P<version>v[0-9]+)/(?P<kind>[a-z]+)(/(?P<name>.*))?$");
    assert_eq!(extraction().unwrap_err(), InvalidExtraction::Unnamed);
    let extraction = Extraction::new("^/(?P<version>v[0-9]+)/(?P<kind>[a-z]+)(?:/(?P<name>.*))?$");
    let actions = Actions::new().extract("k", extraction.unwrap());
    let text = |text: &str| StringValue(text.into());
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, any_value::Value)> {
        let pair = |(key, value): &(&str, &str)| ((*key).into(), text(value));
        pairs.iter().map(pair).collect()
    };
    assert_eq!(
        after(text("/v1/pods/web"), actions.clone()),
        pairs(&[
            ("k", "/v1/pods/web"),
            ("version", "v1"),
            ("kind", "pods"),
            ("name", "web")
        ])
    );
    assert_eq!(
        after(text("/v1/pods"), actions.clone()),
        pairs(&[
            ("k", "/v1/pods"),
            ("version", "v1"),
            ("kind", "pods"),
            ("name", "")
        ])
    );
    assert_eq!(after(text("/"), actions.clone()), pairs(&[("k", "/")]));
    assert_eq!(after(IntValue(1), actions), [("k".into(), IntValue(1))]);
}

#[test]
fn what_cannot_be_converted_stays() {
    let to = |to| Actions::new().convert("k", to);
    for (value, target, expected) in [
        (StringValue("12".into()), ConvertTo::Int, IntValue(12)),
        (
            StringValue("12x".into()),
            ConvertTo::Int,
            StringValue("12x".into()),
        ),
        (DoubleValue(-1.9), ConvertTo::Int, IntValue(-1)),
        (
            DoubleValue(f64::INFINITY),
            ConvertTo::Int,
            DoubleValue(f64::INFINITY),
        ),
        (
            StringValue("1e3".into()),
            ConvertTo::Double,
            DoubleValue(1000.0),
        ),
        (BoolValue(true), ConvertTo::Double, DoubleValue(1.0)),
        (
            BoolValue(false),
            ConvertTo::String,
            StringValue("false".into()),
        ),
        (BytesValue(vec![1]), ConvertTo::String, BytesValue(vec![1])),
    ] {
        assert_eq!(after(value, to(target)), [("k".into(), expected)]);
    }
}
