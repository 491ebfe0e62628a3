//! Consistent decisions, and the thresholds that tell of them.

use super::*;

/// A span of this trace, with this trace state.
fn traced(trace_id: &str, trace_state: &str) -> Segment {
    let trace_id: crate::id::TraceId = trace_id.parse().unwrap();
    let span = Span {
        trace_id: trace_id.to_bytes().to_vec(),
        trace_state: trace_state.to_string(),
        name: "n".to_string(),
        ..Span::default()
    };
    let message = ResourceSpans {
        scope_spans: vec![ScopeSpans {
            spans: vec![span],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    let body = Bytes::from(prost::Message::encode_to_vec(&message));
    Segment::new(Head::default(), body, 1, Moment::from_nanos(0), Door::Own)
}

/// The trace state of the span if it is kept; the rest of it never changes.
fn sampled(sampler: &ProbabilisticSampler, trace_id: &str, trace_state: &str) -> Option<String> {
    let segment = traced(trace_id, trace_state);
    let (_, _, _, _, mut expected) = flatten_segments([&segment]).pop().unwrap();
    let (segments, filtered, _) = run(&mut sampler.clone(), segment, &reserve(1000)).unwrap();
    let Some((_, _, _, _, span)) = flatten_segments(&segments).pop() else {
        assert_eq!(filtered, 1);
        return None;
    };
    expected.trace_state.clone_from(&span.trace_state);
    assert_eq!(span, expected);
    Some(span.trace_state)
}

/// OpenTelemetry Collector, `pkg/sampling`: 1 in the last columns means kept.
#[test]
fn decisions_are_those_of_the_consistent_samplers() {
    for (trace_id, rv, kept) in [
        ("4bf92f3577b34da6a3ce929d0e0e4736", "", [1, 1, 1, 0, 0]),
        ("0af7651916cd43dd8448eb211c80319c", "", [1, 0, 0, 0, 0]),
        ("ffffffffffffffffff00000000000000", "", [1, 0, 0, 0, 0]),
        ("00000000000000000080000000000000", "", [1, 1, 0, 0, 0]),
        ("0000000000000000007fffffffffffff", "", [1, 0, 0, 0, 0]),
        (
            "ffffffffffffffffffffffffffffffff",
            "00000000000000",
            [1, 0, 0, 0, 0],
        ),
        (
            "00000000000000000000000000000001",
            "ffffffffffffff",
            [1, 1, 1, 1, 1],
        ),
    ] {
        let before = if rv.is_empty() {
            String::new()
        } else {
            ["ot=rv:", rv].concat()
        };
        for ((ratio, th), kept) in [
            (1.0, "0"),
            (0.5, "8"),
            (0.25, "c"),
            (0.125, "e"),
            (0.01, "fd70a"),
        ]
        .into_iter()
        .zip(kept)
        {
            let rest = if rv.is_empty() {
                String::new()
            } else {
                [";rv:", rv].concat()
            };
            let after = (kept == 1).then(|| ["ot=th:", th, &rest].concat());
            for sampler in [
                ProbabilisticSampler::equalizing(ratio),
                ProbabilisticSampler::proportional(ratio),
            ] {
                assert_eq!(
                    sampled(&sampler.unwrap(), trace_id, &before),
                    after,
                    "{trace_id} {ratio}"
                );
            }
        }
    }
}

#[test]
fn later_stages_never_lower_a_threshold() {
    let most = "000000000000000000ffffffffffffff";
    let equalizing = |ratio| ProbabilisticSampler::equalizing(ratio).unwrap();
    let proportional = |ratio| ProbabilisticSampler::proportional(ratio).unwrap();
    for (sampler, before, after) in [
        (equalizing(0.5), "ot=th:c", Some("ot=th:c")),
        (equalizing(0.25), "ot=th:8", Some("ot=th:c")),
        (equalizing(0.0), "ot=th:8", None),
        (proportional(0.5), "ot=th:8", Some("ot=th:c")),
        (proportional(1.0), "ot=th:e666", Some("ot=th:e666")),
        (proportional(0.0), "ot=th:8", None),
        (
            proportional(0.1).with_precision(14),
            "ot=th:0",
            Some("ot=th:e6666666666666"),
        ),
        (
            proportional(0.1).with_precision(14),
            "ot=th:e6666666666666",
            Some("ot=th:fd70a3d70a3d7"),
        ),
        // Others' members and items stay; a state that is not well-formed stays whole.
        (
            equalizing(0.5),
            "a=1,ot=x:y;th:4,b=2",
            Some("ot=th:8;x:y,a=1,b=2"),
        ),
        (equalizing(0.5), "A=1,,;", Some("A=1,,;")),
    ] {
        assert_eq!(
            sampled(&sampler, most, before).as_deref(),
            after,
            "{sampler:?} {before}"
        );
    }
    // Thinned further on its way: passes whatever its randomness.
    assert!(
        sampled(
            &equalizing(0.5),
            "00000000000000000000000000000001",
            "ot=th:c"
        )
        .is_some()
    );
}

/// The decision of the mode that hashes, as the Collector documents it, by hand: FNV-1a of 32 bits over the seed and the id.
fn is_kept_by_hash(percentage: f32, seed: u32, trace_id: [u8; 16]) -> bool {
    let mut hash: u32 = 2_166_136_261;
    for byte in seed.to_le_bytes().iter().chain(&trace_id) {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(16_777_619);
    }
    hash & 0x3fff < (percentage * 163.84) as u32
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 }))]

    /// Guarantees: hashing keeps what the formula keeps, and what it writes makes a consistent sampler of the same share, or of
    /// a greater one, keep the span too.
    #[test]
    fn hashing_keeps_what_the_formula_does(
        trace_id: [u8; 16],
        seed: u32,
        percentage in prop_oneof![Just(0.0_f32), Just(100.0), Just(0.001), 0.0..100.0_f32],
    ) {
        prop_assume!(trace_id != [0; 16]);
        let id = crate::id::TraceId::from_bytes(trace_id).to_string();
        let sampler = ProbabilisticSampler::hashing(percentage, seed).unwrap();
        let after = sampled(&sampler, &id, "a=1");
        prop_assert_eq!(after.is_some(), is_kept_by_hash(percentage, seed, trace_id));
        if let Some(after) = after {
            prop_assert!(after.starts_with("ot=th:") && after.contains(";rv:") && after.ends_with(",a=1"), "{}", after);
            let share = (percentage * 163.84).trunc() / 16384.0;
            let later = ProbabilisticSampler::equalizing(f64::from(share)).unwrap().with_precision(14).fail_closed(true);
            prop_assert_eq!(sampled(&later, &id, &after), Some(after));
        }
    }
}

/// The bits as the Collector lays them out, computed here from the hash alone.
#[test]
fn a_hashed_decision_is_told_by_randomness_and_threshold() {
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let bytes: crate::id::TraceId = id.parse().unwrap();
    let mut hash: u32 = 2_166_136_261;
    for byte in [0; 4].iter().chain(&bytes.to_bytes()) {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(16_777_619);
    }
    let (low, high) = (u64::from(hash & 0x3fff), u64::from(hash >> 18));
    let rv = (0x3fff - low) << 42 | (high ^ high << 10) << 14 | low;
    let all = ProbabilisticSampler::hashing(100.0, 0).unwrap();
    assert_eq!(
        sampled(&all, id, "ot=x:y").unwrap(),
        format!("ot=th:0;rv:{rv:014x};x:y")
    );
}

/// Scenario: trace states that contradict a decision, of hashing in which they are told already.
/// Guarantees: closed leaves out, open keeps as it is; unasked, only hashing leaves out.
#[test]
fn what_cannot_be_decided_is_left_out_or_kept_as_it_is() {
    let id = "0000000000000000000000000000ffff";
    let equalizing = || ProbabilisticSampler::equalizing(1.0).unwrap();
    let hashing = || ProbabilisticSampler::hashing(100.0, 7).unwrap();
    for (sampler, trace_id, state, unasked) in [
        (
            equalizing as fn() -> ProbabilisticSampler,
            id,
            "A=1,,;",
            true,
        ),
        (equalizing, id, "ot=th:8", true),
        (equalizing, "00000000000000000000000000000000", "a=b", true),
        (hashing, id, "A=1,,;", true),
        (hashing, id, "ot=th:0", false),
        (hashing, id, "ot=rv:ffffffffffffff", false),
        (hashing, "00000000000000000000000000000000", "", false),
    ] {
        let closed = sampler().fail_closed(true);
        assert_eq!(
            sampled(&closed, trace_id, state),
            None,
            "{closed:?} {state}"
        );
        let open = sampler().fail_closed(false);
        assert_eq!(sampled(&open, trace_id, state).as_deref(), Some(state));
        assert_eq!(
            sampled(&sampler(), trace_id, state).is_some(),
            unasked,
            "{:?} {state}",
            sampler()
        );
    }
}

#[test]
fn a_priority_goes_before_every_share() {
    use any_value::Value::{BoolValue, DoubleValue, IntValue, StringValue};
    let none = || ProbabilisticSampler::equalizing(0.0).unwrap();
    let all = || ProbabilisticSampler::equalizing(1.0).unwrap();
    for (priority, by_none, by_all) in [
        (IntValue(1), 1, 1),
        (DoubleValue(0.5), 1, 1),
        (StringValue("2".into()), 1, 1),
        (IntValue(0), 0, 0),
        (StringValue("0.0".into()), 0, 0),
        (IntValue(-1), 0, 1),
        (StringValue("high".into()), 0, 1),
        (BoolValue(true), 0, 1),
    ] {
        for (mut sampler, kept) in [
            (none(), by_none),
            (all(), by_all),
            (ProbabilisticSampler::hashing(0.0, 0).unwrap(), by_none),
        ] {
            let segment = edited(&traced("000000000000000000000000000000ff", ""), |span| {
                span.attributes = vec![attribute("sampling.priority", priority.clone())];
            });
            let (segments, ..) = run(&mut sampler, segment, &reserve(1000)).unwrap();
            assert_eq!(segments.len(), kept, "{priority:?} {sampler:?}");
        }
    }
}

fn edited(segment: &Segment, edit: impl Fn(&mut Span)) -> Segment {
    let (.., mut span) = flatten_segments([segment]).pop().unwrap();
    edit(&mut span);
    let message = ResourceSpans {
        scope_spans: vec![ScopeSpans {
            spans: vec![span],
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    };
    let body = Bytes::from(prost::Message::encode_to_vec(&message));
    Segment::new(Head::default(), body, 1, Moment::from_nanos(0), Door::Own)
}
