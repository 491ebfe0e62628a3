use alloc::sync::Arc;
use std::vec::Vec;

use super::Tracer;
use crate::context::{SpanContext, TraceFlags, TraceState};
use crate::id::{SpanId, TraceId};
use crate::recorder::Recorder;
use crate::sampler::{
    AlwaysOff, AlwaysOn, ParentBased, PerMillion, Sampler, Sampling, SamplingInput,
};

/// Asks the sampler within each time: it tells nothing beforehand.
struct Asked<S>(S);

impl<S: Sampler> Sampler for Asked<S> {
    fn sample(
        &self,
        input: &SamplingInput<'_>,
        add: &mut dyn FnMut(crate::attribute::KeyValue<'_>),
    ) -> Sampling {
        self.0.sample(input, add)
    }

    fn description(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.description(f)
    }
}

/// Parents of every kind: flags, remote or not, with a trace state or without, valid or not.
fn parents() -> Vec<SpanContext> {
    let trace = TraceId::from_bytes([7; 16]);
    let (span, state) = (SpanId::from_bytes([9; 8]), "ot=th:8".parse().unwrap());
    let mut parents = Vec::new();
    for flags in (0..4).map(TraceFlags::from_bits) {
        for remote in [false, true] {
            for state in [&TraceState::EMPTY, &state] {
                for (trace, span) in [
                    (trace, span),
                    (TraceId::INVALID, span),
                    (trace, SpanId::INVALID),
                ] {
                    parents.push(SpanContext::new(trace, span, flags, remote, state.clone()));
                }
            }
        }
    }
    parents
}

/// What is the same of two spans with the same parent: all but the new ids, and what is counted.
fn child(
    sampler: impl Sampler + 'static,
    parent: &SpanContext,
    current: bool,
    thread_ids: bool,
) -> (TraceFlags, TraceState, bool, [u64; 3]) {
    let mut builder = Recorder::builder();
    if !thread_ids {
        builder = builder.ids(Arc::new(crate::random::ThreadIds));
    }
    let recorder = Arc::new(builder.build().unwrap());
    let tracer = Tracer::new(recorder.clone(), "tests", Arc::new(sampler));
    let span = if current {
        let _entered = crate::current::enter(parent.clone());
        tracer.start("child")
    } else {
        tracer.span("child").child_of(parent).start()
    };
    let context = span.context().clone();
    assert!(context.is_valid() && !context.is_remote());
    assert_ne!(context.span_id(), parent.span_id());
    assert_eq!(context.trace_id() == parent.trace_id(), parent.is_valid());
    let is_recording = span.is_recording();
    drop(span);
    let account = recorder.account();
    assert_eq!(account.live(), 0);
    let counts = [
        account.started,
        account.not_sampled,
        account.not_sampled_overload,
    ];
    let state = context.trace_state().clone();
    (context.flags(), state, is_recording, counts)
}

#[test]
fn what_is_known_beforehand_is_what_the_sampler_says() {
    for parent in parents() {
        for current in [false, true] {
            macro_rules! agrees {
                ($sampler:expr) => {
                    let asked = child(Asked($sampler), &parent, current, true);
                    for thread_ids in [false, true] {
                        let foreseen = child($sampler, &parent, current, thread_ids);
                        assert_eq!(
                            foreseen, asked,
                            "{parent:?}, current: {current}, {thread_ids}"
                        );
                    }
                };
            }
            agrees!(AlwaysOn);
            agrees!(AlwaysOff);
            agrees!(ParentBased::new(AlwaysOn));
            agrees!(ParentBased::new(AlwaysOff));
            agrees!(PerMillion::new(0).unwrap());
        }
    }
}
