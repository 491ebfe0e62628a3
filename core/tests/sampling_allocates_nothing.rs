//! Deciding allocates nothing: every allocation of this thread is counted.
#![cfg(feature = "std")]

use spanwire_core::attribute::KeyValue;
use spanwire_core::clock::Moment;
use spanwire_core::context::{SpanContext, TraceFlags, TraceState};
use spanwire_core::id::{SpanId, TraceId};
use spanwire_core::sampler::{
    AlwaysOn, Annotating, AnyOf, AttributePatterns, ComposableSampler, CompositeSampler, Condition,
    OwnedCondition, ParentBased, ParentThreshold, PerMillion, Probability, RateLimiting, Rule,
    RuleBased, Sampler, SamplingInput,
};

mod allocations;
use allocations::allocations;

fn context(state: &str, sampled: bool) -> SpanContext {
    let flags = TraceFlags::NONE.with_sampled(sampled);
    let state = TraceState::parse(state).unwrap();
    SpanContext::new(
        TraceId::from_bytes([1; 16]),
        SpanId::from_bytes([1; 8]),
        flags,
        true,
        state,
    )
}

fn samplers() -> Vec<Box<dyn Sampler>> {
    let per_million = PerMillion::new(500_000).unwrap();
    let half = || Probability::new(0.5).unwrap();
    let limit = || RateLimiting::new(5.0).unwrap();
    let patterns = Condition {
        names: &["POST *", "*/pods"],
        attribute_patterns: &[AttributePatterns {
            key: "status",
            included: &["2??"],
            excluded: &[],
        }],
        ..Condition::ANY
    };
    let borrowed = [Rule {
        when: patterns,
        then: per_million,
    }];
    let owned = vec![
        Rule {
            when: OwnedCondition::new()
                .name("GET *")
                .attribute_values("status", ["200"]),
            then: half(),
        },
        Rule {
            when: OwnedCondition::new(),
            then: Probability::new(1.0).unwrap(),
        },
    ];
    let both: [Box<dyn ComposableSampler>; 2] =
        [Box::new(ParentThreshold::new(half())), Box::new(limit())];
    vec![
        Box::new(ParentBased::new(per_million)),
        Box::new(half()),
        Box::new(ParentBased::new(limit())),
        Box::new(RuleBased::new(Vec::from(borrowed))),
        Box::new(CompositeSampler::new(RuleBased::new(owned))),
        Box::new(CompositeSampler::new(AnyOf::new(Vec::from(both)))),
        Box::new(Annotating::new(AlwaysOn, |add| {
            add(KeyValue::new("tier", 1))
        })),
    ]
}

#[test]
fn deciding_allocates_nothing() {
    let parents = [
        context("", false),
        context("", true),
        context("ot=th:8", true),
        context("ot=rv:ffffffffffffff,a=1", true),
        // Longer than 30 bytes, and left as it is.
        context("a=1234567890,b=1234567890,c=1234567890", true),
    ];
    let attributes = [KeyValue::new("status", 200)];
    for (at, sampler) in samplers().iter().enumerate() {
        for parent in [None].into_iter().chain(parents.iter().map(Some)) {
            for id in [[1; 16], [255; 16]] {
                let trace_id = parent.map_or(TraceId::from_bytes(id), SpanContext::trace_id);
                let input = SamplingInput {
                    parent,
                    attributes: &attributes,
                    moment: Moment::from_nanos(7),
                    ..SamplingInput::root(trace_id, "GET /pods")
                };
                // A kept span whose long trace state takes a threshold is the one case that allocates.
                let long = parent.is_some_and(|parent| parent.trace_state().as_str().len() > 20);
                if !long || at == 0 || at == 2 || at == 3 || at == 6 {
                    let count = allocations(|| sampler.sample(&input, &mut |_| ()));
                    assert_eq!(count, 0, "sampler {at} with {parent:?}");
                }
            }
        }
    }
}
