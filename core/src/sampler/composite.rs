//! Samplers that first agree on a threshold, and then decide once.
//!
//! OpenTelemetry trace SDK specification, "CompositeSampler"; OTEP 250.

use core::fmt;
use core::ops::Deref;

use super::ot::{self, Entry};
use super::probability::randomness;
use super::{
    AlwaysOff, AlwaysOn, Probability, RateLimiting, Sampler, Sampling, SamplingInput, Threshold,
    TraceStateChange,
};
use crate::attribute::KeyValue;
use crate::context::{SpanContext, TraceState};
use crate::sync::{AtomicUsize, Ordering};

/// A sampler that names a threshold instead of deciding. A [`CompositeSampler`] decides.
pub trait ComposableSampler: Send + Sync {
    /// The threshold by which this sampler would keep the span.
    ///
    /// `add` takes attributes for the span; they are kept only if the span is. The answer must not depend on the
    /// parent's sampled flag, except in [`ParentThreshold`], nor on the lowest 56 bits of the trace id.
    fn intent(
        &self,
        input: &SamplingInput<'_>,
        add: &mut dyn FnMut(KeyValue<'_>),
    ) -> SamplingIntent;

    /// Changes members of the trace state other than `ot`; a change to that one is overruled. Asked once, after
    /// [`intent`](Self::intent), whatever the decision. Default: changes nothing.
    fn update_trace_state(
        &self,
        _input: &SamplingInput<'_>,
        _state: &TraceState,
    ) -> TraceStateChange {
        TraceStateChange::Keep
    }

    /// Writes what the sampler does, as [`Sampler::description`] does.
    ///
    /// # Errors
    /// Those of the formatter.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Whether [`SamplingInput::moment`] is looked at. Default: `false`.
    fn reads_moment(&self) -> bool {
        false
    }
}

/// What a [`ComposableSampler`] would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplingIntent {
    /// The span is kept when its randomness reaches this; `None` drops it.
    pub threshold: Option<Threshold>,
    /// Whether the threshold says how many spans a kept one speaks for.
    pub adjusted_count_reliable: bool,
}

impl SamplingIntent {
    /// Drops the span.
    pub const DROP: Self = Self {
        threshold: None,
        adjusted_count_reliable: false,
    };

    /// Keeps the span, for reasons that say nothing about others.
    pub const KEEP: Self = Self {
        threshold: Some(Threshold::ALWAYS),
        adjusted_count_reliable: false,
    };

    /// Keeps the span with the probability of this threshold.
    #[must_use]
    pub const fn reliable(threshold: Threshold) -> Self {
        Self {
            threshold: Some(threshold),
            adjusted_count_reliable: true,
        }
    }
}

/// Turns the intent of a [`ComposableSampler`] into a decision, and keeps the `ot` member of the trace state true.
///
/// A reliable threshold is compared with the randomness of the trace, and written as `th` when the span is kept.
/// An unreliable one is compared with a fresh number. In all other cases `th` is removed.
///
/// OpenTelemetry trace SDK specification, "CompositeSampler".
///
/// ```
/// use spanwire_core::sampler::{CompositeSampler, Decision, ParentThreshold, Probability, Sampler, SamplingInput};
///
/// let sampler = CompositeSampler::new(ParentThreshold::new(Probability::new(0.5)?));
/// let input = SamplingInput::root("00000000000000000080000000000000".parse()?, "GET /");
/// assert_eq!(sampler.sample(&input, &mut |_| ()).decision, Decision::RecordAndSample);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CompositeSampler<S> {
    delegate: S,
    seed: u64,
    drawn: AtomicUsize,
}

impl<S: ComposableSampler> CompositeSampler<S> {
    /// Decides by the intent of `delegate`.
    pub fn new(delegate: S) -> Self {
        Self {
            delegate,
            seed: 0,
            drawn: AtomicUsize::new(0),
        }
    }

    /// Seeds the numbers with which unreliable thresholds are compared. Default: 0.
    ///
    /// They also depend on the trace id and on how many were drawn before, so a seed only matters where ids are
    /// predictable.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// 56 bits that tell nothing about those of the trace.
    fn fresh(&self, input: &SamplingInput<'_>) -> u64 {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed) as u64;
        let high = (u128::from_be_bytes(input.trace_id.to_bytes()) >> 64) as u64;
        mix(mix(mix(self.seed ^ high) ^ input.trace_id.low64()).wrapping_add(drawn)) >> 8
    }
}

/// The finalizer of SplitMix64: each bit of the result depends on all of the argument.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

impl<S: ComposableSampler> Sampler for CompositeSampler<S> {
    fn sample(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        let intent = self.delegate.intent(input, add);
        let kept = intent.threshold.filter(|threshold| {
            threshold.keeps(if intent.adjusted_count_reliable {
                randomness(input)
            } else {
                self.fresh(input)
            })
        });
        let written = kept.filter(|_| intent.adjusted_count_reliable);
        let original = input
            .parent
            .map_or(&TraceState::EMPTY, SpanContext::trace_state);
        let trace_state = match self.delegate.update_trace_state(input, original) {
            TraceStateChange::Keep => ot::set_threshold(original, original, written),
            TraceStateChange::Replace(state) => {
                match ot::set_threshold(&state, original, written) {
                    TraceStateChange::Keep => TraceStateChange::Replace(state),
                    changed => changed,
                }
            }
        };
        Sampling {
            trace_state,
            ..Sampling::sample_if(kept.is_some())
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompositeSampler{")?;
        self.delegate.describe(f)?;
        f.write_str("}")
    }

    fn needs_moment(&self) -> bool {
        self.delegate.reads_moment()
    }
}

/// Follows the parent's threshold; asks another sampler about roots.
///
/// A sampled parent without a threshold has kept children without one.
/// OpenTelemetry trace SDK specification, "ComposableParentThreshold".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParentThreshold<S>(S);

impl<S: ComposableSampler> ParentThreshold<S> {
    /// Asks `root` about roots.
    pub const fn new(root: S) -> Self {
        Self(root)
    }
}

impl<S: ComposableSampler> ComposableSampler for ParentThreshold<S> {
    fn intent(
        &self,
        input: &SamplingInput<'_>,
        add: &mut dyn FnMut(KeyValue<'_>),
    ) -> SamplingIntent {
        let Some(parent) = input.parent else {
            return self.0.intent(input, add);
        };
        match Entry::of(parent.trace_state()).threshold {
            Some(threshold) => SamplingIntent::reliable(threshold),
            None if parent.is_sampled() => SamplingIntent::KEEP,
            None => SamplingIntent::DROP,
        }
    }

    fn update_trace_state(
        &self,
        input: &SamplingInput<'_>,
        state: &TraceState,
    ) -> TraceStateChange {
        match input.parent {
            Some(_) => TraceStateChange::Keep,
            None => self.0.update_trace_state(input, state),
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ParentThreshold{root:")?;
        self.0.describe(f)?;
        f.write_str("}")
    }

    fn reads_moment(&self) -> bool {
        self.0.reads_moment()
    }
}

/// Keeps what any of several samplers would keep: the lowest of their thresholds.
///
/// All of them are asked, and all their attributes are added, in order. The count is reliable if any of those with
/// that threshold says so. OTEP 250, "ConsistentAnyOf".
///
/// ```
/// use spanwire_core::sampler::{AnyOf, ComposableSampler, CompositeSampler, Probability, RateLimiting};
///
/// // One in a hundred, and at least one a second.
/// let (share, floor) = (Probability::new(0.01)?, RateLimiting::new(1.0)?);
/// let both: [&dyn ComposableSampler; 2] = [&share, &floor];
/// let sampler = CompositeSampler::new(AnyOf::new(&both[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnyOf<L>(L);

impl<L, S> AnyOf<L>
where
    L: Deref<Target = [S]>,
{
    /// Asks these samplers: a slice, a `Vec`, a `Box<[S]>`.
    pub const fn new(samplers: L) -> Self {
        Self(samplers)
    }
}

impl<L, S> ComposableSampler for AnyOf<L>
where
    L: Deref<Target = [S]> + Send + Sync,
    S: ComposableSampler,
{
    fn intent(
        &self,
        input: &SamplingInput<'_>,
        add: &mut dyn FnMut(KeyValue<'_>),
    ) -> SamplingIntent {
        self.0.iter().fold(SamplingIntent::DROP, |lowest, sampler| {
            let intent = sampler.intent(input, add);
            match (lowest.threshold, intent.threshold) {
                (_, None) => lowest,
                (Some(lower), Some(threshold)) if lower < threshold => lowest,
                (Some(same), Some(threshold)) if same == threshold => SamplingIntent {
                    adjusted_count_reliable: lowest.adjusted_count_reliable
                        || intent.adjusted_count_reliable,
                    ..intent
                },
                _ => intent,
            }
        })
    }

    fn update_trace_state(
        &self,
        input: &SamplingInput<'_>,
        state: &TraceState,
    ) -> TraceStateChange {
        self.0
            .iter()
            .fold(TraceStateChange::Keep, |change, sampler| {
                let now = match &change {
                    TraceStateChange::Keep => state,
                    TraceStateChange::Replace(state) => state,
                };
                match sampler.update_trace_state(input, now) {
                    TraceStateChange::Keep => change,
                    changed => changed,
                }
            })
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyOf{")?;
        for (at, sampler) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            sampler.describe(f)?;
        }
        f.write_str("}")
    }

    fn reads_moment(&self) -> bool {
        self.0.iter().any(ComposableSampler::reads_moment)
    }
}

impl ComposableSampler for AlwaysOn {
    fn intent(&self, _: &SamplingInput<'_>, _: &mut dyn FnMut(KeyValue<'_>)) -> SamplingIntent {
        SamplingIntent::reliable(Threshold::ALWAYS)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.description(f)
    }
}

impl ComposableSampler for AlwaysOff {
    fn intent(&self, _: &SamplingInput<'_>, _: &mut dyn FnMut(KeyValue<'_>)) -> SamplingIntent {
        SamplingIntent::DROP
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.description(f)
    }
}

impl ComposableSampler for Probability {
    fn intent(&self, _: &SamplingInput<'_>, _: &mut dyn FnMut(KeyValue<'_>)) -> SamplingIntent {
        self.threshold()
            .map_or(SamplingIntent::DROP, SamplingIntent::reliable)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.description(f)
    }
}

/// A kept span speaks for an unknown number of others.
impl ComposableSampler for RateLimiting {
    fn intent(&self, input: &SamplingInput<'_>, _: &mut dyn FnMut(KeyValue<'_>)) -> SamplingIntent {
        if self.take(input.moment) {
            SamplingIntent::KEEP
        } else {
            SamplingIntent::DROP
        }
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.description(f)
    }

    fn reads_moment(&self) -> bool {
        true
    }
}

macro_rules! forward {
    ($($(#[$gate:meta])? $pointer:ty),+ $(,)?) => {
        $($(#[$gate])? impl<S: ComposableSampler + ?Sized> ComposableSampler for $pointer {
            fn intent(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> SamplingIntent {
                (**self).intent(input, add)
            }

            fn update_trace_state(&self, input: &SamplingInput<'_>, state: &TraceState) -> TraceStateChange {
                (**self).update_trace_state(input, state)
            }

            fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).describe(f)
            }

            fn reads_moment(&self) -> bool {
                (**self).reads_moment()
            }
        })+
    };
}

forward! {
    &S,
    #[cfg(feature = "alloc")] alloc::boxed::Box<S>,
    #[cfg(feature = "alloc")] alloc::sync::Arc<S>,
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;
    use crate::context::TraceFlags;
    use crate::id::{SpanId, TraceId};
    use crate::sampler::{Decision, Description};

    fn parent(sampled: bool, state: &str) -> SpanContext {
        SpanContext::new(
            "00112233445566778800000000000000".parse().unwrap(),
            SpanId::from_bytes([1; 8]),
            TraceFlags::NONE.with_sampled(sampled),
            true,
            TraceState::parse(state).unwrap(),
        )
    }

    fn ask(delegate: impl ComposableSampler, parent: &SpanContext) -> (bool, String) {
        let sampling =
            CompositeSampler::new(delegate).sample(&SamplingInput::child(parent, "x"), &mut |_| ());
        let state = match sampling.trace_state {
            TraceStateChange::Keep => parent.trace_state().to_string(),
            TraceStateChange::Replace(state) => state.to_string(),
        };
        (sampling.decision == Decision::RecordAndSample, state)
    }

    /// "Vectors", shared by the Python and JavaScript tests, and the stale `th` they leave behind. Two of the trace
    /// states are longer than those kept without a heap.
    #[cfg(feature = "alloc")]
    #[test]
    fn the_shared_vectors() {
        let same = "ot=th:7f99aa40c02744;rv:7f99aa40c02744";
        let half = || Probability::new(0.5).unwrap();
        let cases: [(&dyn ComposableSampler, bool, &str, bool, &str); 14] = [
            (&AlwaysOn, false, "", true, "ot=th:0"),
            (&AlwaysOff, false, "", false, ""),
            (&AlwaysOff, true, "ot=th:8", false, ""),
            (&AlwaysOff, true, "ot=th:8,a=1", false, "a=1"),
            (&ParentThreshold::new(AlwaysOn), true, same, true, same),
            (&ParentThreshold::new(AlwaysOn), false, same, true, same),
            (&ParentThreshold::new(AlwaysOff), true, "", true, ""),
            (&ParentThreshold::new(AlwaysOn), false, "", false, ""),
            (
                &ParentThreshold::new(AlwaysOff),
                true,
                "ot=x:1",
                true,
                "ot=x:1",
            ),
            (
                &half(),
                false,
                "ot=rv:7fffffffffffff",
                false,
                "ot=rv:7fffffffffffff",
            ),
            (
                &half(),
                false,
                "ot=rv:80000000000000",
                true,
                "ot=th:8;rv:80000000000000",
            ),
            (
                &Probability::new(1.0).unwrap(),
                true,
                "ot=th:8;rv:80000000000000",
                true,
                "ot=th:0;rv:80000000000000",
            ),
            // The trace id's own randomness is zero.
            (&ParentThreshold::new(AlwaysOn), true, "ot=th:8", false, ""),
            (&Probability::new(0.0).unwrap(), true, "ot=th:8", false, ""),
        ];
        for (at, (delegate, sampled, before, keep, after)) in cases.into_iter().enumerate() {
            assert_eq!(
                ask(delegate, &parent(sampled, before)),
                (keep, after.to_string()),
                "case {at}"
            );
        }
    }

    #[test]
    fn a_root_asks_the_root_sampler() {
        let low = SamplingInput::root(TraceId::from_bytes([0; 16]), "x");
        let high = SamplingInput::root(TraceId::from_bytes([255; 16]), "x");
        let sampler = CompositeSampler::new(ParentThreshold::new(Probability::new(0.5).unwrap()));
        assert_eq!(sampler.sample(&low, &mut |_| ()), Sampling::DROP);
        let kept = TraceStateChange::Replace(TraceState::parse("ot=th:8").unwrap());
        assert_eq!(
            sampler.sample(&high, &mut |_| ()),
            Sampling {
                decision: Decision::RecordAndSample,
                trace_state: kept
            }
        );
    }

    struct Fixed(&'static str, Option<&'static str>, bool);

    impl ComposableSampler for Fixed {
        fn intent(
            &self,
            _: &SamplingInput<'_>,
            add: &mut dyn FnMut(KeyValue<'_>),
        ) -> SamplingIntent {
            add(KeyValue::new(self.0, 1));
            SamplingIntent {
                threshold: self.1.and_then(Threshold::from_text),
                adjusted_count_reliable: self.2,
            }
        }

        fn update_trace_state(
            &self,
            _: &SamplingInput<'_>,
            state: &TraceState,
        ) -> TraceStateChange {
            let state = state.insert(self.0, "1").unwrap();
            TraceStateChange::Replace(state.insert("ot", "th:1").unwrap())
        }

        fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    /// OTEP 250, "ConsistentAnyOf": lowest threshold, reliable if anyone there is, attributes of all.
    #[test]
    fn any_of_takes_the_lowest_threshold() {
        for (delegates, threshold, reliable) in [
            (
                &[Fixed("a", Some("8"), true), Fixed("b", Some("4"), false)][..],
                Some("4"),
                false,
            ),
            (
                &[Fixed("a", Some("4"), true), Fixed("b", Some("8"), false)],
                Some("4"),
                true,
            ),
            (
                &[Fixed("a", Some("8"), true), Fixed("b", Some("8"), false)],
                Some("8"),
                true,
            ),
            (
                &[Fixed("a", Some("8"), false), Fixed("b", Some("8"), true)],
                Some("8"),
                true,
            ),
            (
                &[Fixed("a", None, true), Fixed("b", Some("c"), true)],
                Some("c"),
                true,
            ),
            (
                &[Fixed("a", Some("c"), false), Fixed("b", None, true)],
                Some("c"),
                false,
            ),
            (
                &[Fixed("a", None, true), Fixed("b", None, true)],
                None,
                false,
            ),
        ] {
            let mut added = Vec::new();
            let input = SamplingInput::root(TraceId::INVALID, "x");
            let intent = AnyOf::new(delegates).intent(&input, &mut |attribute| {
                added.push(attribute.key.to_string())
            });
            assert_eq!(intent.threshold, threshold.and_then(Threshold::from_text));
            assert_eq!(intent.adjusted_count_reliable, reliable);
            assert_eq!(added, ["a", "b"]);
        }
        assert_eq!(
            ask(AnyOf::new(&[] as &[AlwaysOn]), &parent(true, "")),
            (false, String::new())
        );
    }

    #[test]
    fn trace_states_are_updated_in_turn_and_keep_their_ot_member() {
        let delegates = [Fixed("a", Some("0"), true), Fixed("b", None, true)];
        let (kept, state) = ask(AnyOf::new(&delegates[..]), &parent(true, "ot=x:1,c=1"));
        assert!(kept);
        assert_eq!(state, "ot=th:0;x:1,b=1,a=1,c=1");
        let (kept, state) = ask(AnyOf::new(&delegates[1..]), &parent(true, "c=1"));
        assert!(!kept);
        assert_eq!(state, "b=1,c=1");
    }

    /// Half of what has a fair but unreliable threshold is kept, whatever the randomness of the trace.
    #[test]
    fn an_unreliable_threshold_meets_fresh_numbers() {
        let sampler = CompositeSampler::new(Fixed("a", Some("8"), false)).with_seed(7);
        for id in [TraceId::from_bytes([0; 16]), TraceId::from_bytes([255; 16])] {
            let input = SamplingInput::root(id, "x");
            let kept = (0..4000)
                .filter(|_| {
                    sampler.sample(&input, &mut |_| ()).decision == Decision::RecordAndSample
                })
                .count();
            assert!((1850..2150).contains(&kept), "{kept}");
        }
    }

    #[test]
    fn descriptions_nest() {
        let half = Probability::new(0.5).unwrap();
        let limit = RateLimiting::new(1.0).unwrap();
        let both: [&dyn ComposableSampler; 2] = [&ParentThreshold::new(half), &limit];
        let sampler = CompositeSampler::new(AnyOf::new(&both[..]));
        assert_eq!(
            Description(&sampler).to_string(),
            "CompositeSampler{AnyOf{ParentThreshold{root:ProbabilitySampler{0.5}},RateLimitingSampler{1}}}"
        );
        assert!(sampler.needs_moment());
    }
}
