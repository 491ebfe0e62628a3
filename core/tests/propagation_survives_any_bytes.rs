//! Whatever stands in a header, nothing panics, and what is read can be written and read again.
#![cfg(feature = "std")]

mod propagation_properties;

use propagation_properties as holds;
use proptest::prelude::*;
use spanwire_core::context::{Baggage, SpanContext, TraceFlags, TraceState};
use spanwire_core::id::{SpanId, TraceId};
use spanwire_core::propagation::{Context, Propagator, STANDARD, SamplingRequest, by_name};

/// Text near the grammars: what they allow, what they just don't, and what is far away.
fn near() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        4 => "[a-c][a-z0-9_*/@-]{0,3}=[ -+.-<>-~]{0,6}",
        2 => "[a-c]=[0-9a-f]{1,4}(;[a-c]=[a-c])?",
        2 => Just(",".to_owned()),
        1 => "[ \t]{0,2},[ \t]{0,2}",
        1 => "(%[0-9A-Fa-f]{2}){1,5}",
        1 => "%[0-9a-fg]?",
        1 => "[A-Z;=\"\\\\é\t]",
        1 => Just(format!("k={}", "v".repeat(150))),
        1 => "[a-z]{120}=[a-z]{5,12}",
        1 => Just("80f198ee56343ba864fe8b2a57d3eff7".to_owned()),
        1 => Just("e457b5a2e4d86bd1".to_owned()),
        2 => "[:-]",
        1 => "[01d]",
        1 => Just("00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01".to_owned()),
        1 => "\n[\\x00-\\x0a]",
    ];
    prop::collection::vec(fragment, 0..40).prop_map(|parts| parts.concat().into_bytes())
}

/// Well-formed ids with one byte changed, in each format.
fn bent() -> impl Strategy<Value = Vec<u8>> {
    const TEXTS: [&str; 6] = [
        "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01",
        "cc-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-03-x",
        "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-d-e457b5a2e4d86bd1",
        "463ac35c9f6413ad-a2fb4a1d1a96d312-1",
        "80f198ee56343ba864fe8b2a57d3eff7:e457b5a2e4d86bd1:0:3",
        "abc%3A1%3A0%3A1",
    ];
    let edit = (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8);
    (prop::sample::select(&TEXTS[..]), prop::option::of(edit)).prop_map(|(text, edit)| {
        let mut bytes = text.as_bytes().to_vec();
        if let Some((at, byte, kind)) = edit {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        bytes
    })
}

fn span_context() -> impl Strategy<Value = SpanContext> {
    let state = prop::collection::vec("[a-z][a-z0-9@]{0,8}=[!-+.-<>-~]{1,20}", 0..12);
    (any::<u128>(), any::<u64>(), any::<u8>(), state).prop_map(|(trace, span, flags, state)| {
        SpanContext::new(
            TraceId::from_bytes(trace.max(1).to_be_bytes()),
            SpanId::from_bytes(span.max(1).to_be_bytes()),
            TraceFlags::from_bits(flags),
            true,
            state.join(",").parse().unwrap(),
        )
    })
}

fn there_and_back(propagator: &dyn Propagator, context: &Context) -> Context {
    let mut carrier = Vec::<(String, String)>::new();
    propagator.inject(context, &mut carrier);
    let mut back = Context::EMPTY;
    propagator.extract(&carrier, &mut back);
    back
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
        holds::any_bytes_are_survived(&data);
    }

    #[test]
    fn text_near_the_grammars(data in near()) {
        holds::any_bytes_are_survived(&data);
    }

    #[test]
    fn ids_with_a_fault(data in bent()) {
        holds::any_bytes_are_survived(&data);
    }

    #[test]
    fn names_of_variables(name in any::<String>()) {
        holds::environment(&name);
    }

    #[test]
    fn contexts_go_there_and_back(span in span_context(), values in prop::collection::vec(any::<String>(), 0..5)) {
        let mut baggage = Baggage::EMPTY;
        for (at, value) in values.iter().enumerate() {
            baggage = baggage.insert(&format!("k{at}"), value).unwrap();
        }
        let context = Context::new(span.clone()).with_baggage(baggage.clone());
        prop_assert_eq!(&there_and_back(&STANDARD, &context), &context);

        // B3 and Jaeger know neither the random flag nor a trace state; B3 knows no baggage.
        let plain = span
            .clone()
            .with_flags(span.flags().with_random(false))
            .with_trace_state(TraceState::EMPTY);
        for name in ["b3", "b3multi"] {
            let back = there_and_back(by_name(name).unwrap(), &context);
            prop_assert_eq!(back, Context::new(plain.clone()));
        }
        let back = there_and_back(by_name("jaeger").unwrap(), &context);
        prop_assert_eq!(back.span_context(), &plain);
        prop_assert_eq!(back.baggage(), &baggage);

        let debug = Context::new(plain.with_flags(TraceFlags::SAMPLED))
            .with_sampling_request(SamplingRequest::Debug);
        for name in ["b3", "b3multi", "jaeger"] {
            prop_assert_eq!(&there_and_back(by_name(name).unwrap(), &debug), &debug);
        }
    }
}
