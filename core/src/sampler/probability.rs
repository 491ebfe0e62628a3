//! A share of all traces, written into their trace state.

use core::fmt;

use super::ot::{self, Entry};
use super::threshold::DEFAULT_PRECISION;
use super::{Sampler, Sampling, SamplingInput, Threshold, TraceStateChange};
use crate::attribute::KeyValue;
use crate::context::{SpanContext, TraceState};

/// Keeps a share of the traces, consistently: every sampler of this kind compares the same 56 random bits of a trace
/// with a threshold, so what is kept at a lower ratio is kept at a higher one too, in any process and any language.
///
/// The bits are the `rv` item of the parent's trace state, or the lowest 56 of the trace id, which are presumed random.
/// A kept span carries the threshold as the `th` item, from which readers know how many spans it speaks for. A dropped
/// span carries none, not even the parent's. `rv` and the items of others stay as they are; where the `ot` member
/// would grow beyond 256 characters no threshold is written.
///
/// It looks at no parent's sampled flag: wrap it into [`ParentBased`](super::ParentBased), or use it with
/// [`ParentThreshold`](super::ParentThreshold) in a [`CompositeSampler`](super::CompositeSampler). It keeps *high*
/// values where [`PerMillion`](super::PerMillion) keeps low ones: don't mix them within a trace.
///
/// A root allocates nothing; rewriting a trace state longer than 30 bytes does. OpenTelemetry trace SDK specification,
/// "ProbabilitySampler".
///
/// ```
/// use spanwire_core::context::TraceState;
/// use spanwire_core::sampler::{Decision, Probability, Sampler, SamplingInput, TraceStateChange};
///
/// let sampler = Probability::new(0.25)?;
/// let input = SamplingInput::root("000000000000000000c0000000000000".parse()?, "GET /");
/// let sampling = sampler.sample(&input, &mut |_| ());
/// assert_eq!(sampling.decision, Decision::RecordAndSample);
/// assert_eq!(sampling.trace_state, TraceStateChange::Replace(TraceState::parse("ot=th:c")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Probability {
    ratio: f64,
    /// `None` keeps nothing.
    threshold: Option<Threshold>,
    /// The trace state of a kept root.
    root: TraceState,
}

impl Probability {
    /// Keeps this share of the traces: 0, or `2^-56` to 1.
    ///
    /// The threshold has 4 significant hexadecimal digits, as the specification recommends.
    ///
    /// # Errors
    /// The ratio is not in that range, or not a number.
    pub fn new(ratio: f64) -> Result<Self, InvalidRatio> {
        Self::with_precision(ratio, DEFAULT_PRECISION)
    }

    /// The same with another number of significant hexadecimal digits: 1 to 14, clamped to it.
    ///
    /// # Errors
    /// The ratio is not 0 or `2^-56` to 1.
    pub fn with_precision(ratio: f64, precision: u8) -> Result<Self, InvalidRatio> {
        let threshold = Threshold::from_ratio(ratio, precision);
        if threshold.is_none() && ratio != 0.0 {
            return Err(InvalidRatio(ratio));
        }
        let empty = TraceState::EMPTY;
        let root = match ot::set_threshold(&empty, &empty, threshold) {
            TraceStateChange::Keep => empty,
            TraceStateChange::Replace(state) => state,
        };
        Ok(Self {
            ratio,
            threshold,
            root,
        })
    }

    /// The share asked for: 0 to 1.
    #[must_use]
    pub const fn ratio(&self) -> f64 {
        self.ratio
    }

    /// The threshold in use; `None` when nothing is kept.
    #[must_use]
    pub const fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }
}

impl Sampler for Probability {
    fn sample(&self, input: &SamplingInput<'_>, _: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        let state = input
            .parent
            .map(SpanContext::trace_state)
            .filter(|state| !state.is_empty());
        let randomness = randomness(input);
        let kept = self
            .threshold
            .filter(|threshold| threshold.keeps(randomness));
        let trace_state = match (state, kept) {
            (Some(state), _) => ot::set_threshold(state, state, kept),
            (None, Some(_)) => TraceStateChange::Replace(self.root.clone()),
            (None, None) => TraceStateChange::Keep,
        };
        Sampling {
            trace_state,
            ..Sampling::sample_if(kept.is_some())
        }
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProbabilitySampler{{{}}}", self.ratio)
    }
}

/// The 56 random bits of a trace: the `rv` item of its trace state, or the lowest of its id.
pub(super) fn randomness(input: &SamplingInput<'_>) -> u64 {
    input
        .parent
        .and_then(|parent| Entry::of(parent.trace_state()).randomness)
        .unwrap_or_else(|| input.trace_id.randomness())
}

/// A ratio that is neither 0 nor between `2^-56` and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InvalidRatio(pub f64);

impl fmt::Display for InvalidRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sampling ratio {} is neither 0 nor between 2^-56 and 1",
            self.0
        )
    }
}

impl core::error::Error for InvalidRatio {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;
    use crate::context::TraceFlags;
    use crate::id::{SpanId, TraceId};
    use crate::sampler::{Decision, Description, ParentBased};

    fn child_of(trace: TraceId, state: &str) -> SpanContext {
        let state = TraceState::parse(state).unwrap();
        SpanContext::new(
            trace,
            SpanId::from_bytes([1; 8]),
            TraceFlags::NONE,
            true,
            state,
        )
    }

    fn state_after(parent: &SpanContext, sampling: &Sampling) -> TraceState {
        match &sampling.trace_state {
            TraceStateChange::Keep => parent.trace_state().clone(),
            TraceStateChange::Replace(state) => state.clone(),
        }
    }

    /// "Decision vectors": id, `rv`, and who keeps it of the thresholds 0, 8, c, e, fd70a.
    #[test]
    fn decisions_by_table() {
        let samplers = [1.0, 0.5, 0.25, 0.125, 0.01].map(|ratio| Probability::new(ratio).unwrap());
        for (sampler, text) in samplers.iter().zip(["0", "8", "c", "e", "fd70a"]) {
            assert_eq!(sampler.threshold().unwrap().to_string(), text);
        }
        for (id, rv, kept) in [
            ("4bf92f3577b34da6a3ce929d0e0e4736", "", [1, 1, 1, 0, 0]),
            ("0af7651916cd43dd8448eb211c80319c", "", [1, 0, 0, 0, 0]),
            ("ffffffffffffffffff00000000000000", "", [1, 0, 0, 0, 0]),
            ("00000000000000000080000000000000", "", [1, 1, 0, 0, 0]),
            ("0000000000000000007fffffffffffff", "", [1, 0, 0, 0, 0]),
            (
                "ffffffffffffffffffffffffffffffff",
                "rv:00000000000000",
                [1, 0, 0, 0, 0],
            ),
            (
                "00000000000000000000000000000001",
                "rv:ffffffffffffff",
                [1, 1, 1, 1, 1],
            ),
            // An `rv` that breaks the grammar counts as absent.
            (
                "00000000000000000080000000000000",
                "rv:FFFFFFFFFFFFFF",
                [1, 1, 0, 0, 0],
            ),
        ] {
            let id: TraceId = id.parse().unwrap();
            for (sampler, kept) in samplers.iter().zip(kept) {
                let threshold = sampler.threshold().unwrap().to_string();
                let root = sampler.sample(&SamplingInput::root(id, "x"), &mut |_| ());
                if rv.is_empty() {
                    assert_eq!(root.decision.is_sampled(), kept == 1, "{id} at {threshold}");
                    let state = state_after(&SpanContext::INVALID, &root);
                    let expected = std::format!("ot=th:{threshold}");
                    assert_eq!(state.as_str(), if kept == 1 { &*expected } else { "" });
                    continue;
                }
                let parent = child_of(id, &std::format!("ot={rv}"));
                let child = sampler.sample(&SamplingInput::child(&parent, "x"), &mut |_| ());
                assert_eq!(
                    child.decision.is_sampled(),
                    kept == 1,
                    "{id} with {rv} at {threshold}"
                );
            }
        }
    }

    /// Checks that follow directly, (7) and (11): `rv` stays, a stale `th` goes, other members and items stay.
    #[test]
    fn the_trace_state_tells_the_truth() {
        let id = "00000000000000000000000000000080".parse().unwrap();
        for (ratio, before, after) in [
            (0.5, "ot=rv:7fffffffffffff", "ot=rv:7fffffffffffff"),
            (0.5, "ot=rv:80000000000000", "ot=th:8;rv:80000000000000"),
            (
                1.0,
                "ot=th:8;rv:80000000000000",
                "ot=th:0;rv:80000000000000",
            ),
            (0.0, "ot=th:8;rv:80000000000000", "ot=rv:80000000000000"),
            (0.0, "ot=th:8", ""),
            (0.0, "ot=th:8,a=1", "a=1"),
            (0.0, "a=1", "a=1"),
            (1.0, "a=1,ot=th:0", "a=1,ot=th:0"),
            (0.5, "ot=th:8;x:1,a=1", "ot=x:1,a=1"),
        ] {
            let parent = child_of(id, before);
            let sampling = Probability::new(ratio)
                .unwrap()
                .sample(&SamplingInput::child(&parent, "x"), &mut |_| ());
            assert_eq!(
                state_after(&parent, &sampling).as_str(),
                after,
                "{ratio} after {before:?}"
            );
        }
    }

    #[test]
    fn ratios_are_checked() {
        for ratio in [-0.1, 1.1, f64::NAN, f64::INFINITY, 1e-300] {
            let error = Probability::new(ratio).unwrap_err();
            assert!(error.to_string().starts_with("sampling ratio "), "{error}");
        }
        let never = Probability::new(0.0).unwrap();
        let input = SamplingInput::root(TraceId::from_bytes([255; 16]), "x");
        assert_eq!(never.sample(&input, &mut |_| ()), Sampling::DROP);
        assert_eq!(
            Description(&Probability::new(0.1).unwrap()).to_string(),
            "ProbabilitySampler{0.1}"
        );
        assert_eq!(
            Probability::with_precision(0.1, 14)
                .unwrap()
                .threshold()
                .unwrap()
                .to_string(),
            "e6666666666666"
        );
    }

    /// A sampled parent's threshold passes to the child unchanged: both were decided by the root.
    #[test]
    fn under_a_parent_the_roots_threshold_stays() {
        let sampler = ParentBased::new(Probability::new(0.5).unwrap());
        let parent =
            child_of(TraceId::from_bytes([9; 16]), "ot=th:c").with_flags(TraceFlags::SAMPLED);
        let sampling = sampler.sample(&SamplingInput::child(&parent, "x"), &mut |_| ());
        assert_eq!(sampling, Sampling::SAMPLE);
    }

    proptest! {
        /// The padded text of `th`, compared byte by byte with the last 14 digits of the id.
        #[test]
        fn agrees_with_comparing_text(ratio in 1e-9..=1.0, id: [u8; 16]) {
            let sampler = Probability::new(ratio).unwrap();
            let id = TraceId::from_bytes(id);
            let padded = std::format!("{:0<14}", sampler.threshold().unwrap().to_string());
            let keeps = id.to_string()[18..] >= *padded;
            let sampling = sampler.sample(&SamplingInput::root(id, "x"), &mut |_| ());
            prop_assert_eq!(sampling.decision, if keeps { Decision::RecordAndSample } else { Decision::Drop });
        }
    }
}
