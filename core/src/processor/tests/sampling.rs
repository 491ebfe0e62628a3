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
