//! A sampler that adds attributes to what another one keeps.

use core::fmt;

use super::composite::{ComposableSampler, SamplingIntent};
use super::{Sampler, Sampling, SamplingInput, TraceStateChange};
use crate::attribute::KeyValue;
use crate::context::TraceState;

/// Adds attributes to the spans that another sampler keeps.
///
/// The attributes come from a closure, which may borrow what it likes.
/// OpenTelemetry trace SDK specification, "ComposableAnnotating".
///
/// ```
/// use spanwire_core::attribute::KeyValue;
/// use spanwire_core::sampler::{Annotating, ParentBased, RateLimiting};
///
/// let root = Annotating::new(RateLimiting::new(2.0)?, |add| {
///     add(KeyValue::new("sampler.type", "ratelimiting"));
///     add(KeyValue::new("sampler.param", 2.0));
/// });
/// let sampler = ParentBased::new(root);
/// # Ok::<(), spanwire_core::sampler::InvalidRateLimit>(())
/// ```
#[derive(Clone, Copy)]
pub struct Annotating<S, F> {
    delegate: S,
    attributes: F,
}

impl<S, F> Annotating<S, F>
where
    F: Fn(&mut dyn FnMut(KeyValue<'_>)) + Send + Sync,
{
    /// Asks `delegate`, and adds what `attributes` hands out.
    pub const fn new(delegate: S, attributes: F) -> Self {
        Self {
            delegate,
            attributes,
        }
    }
}

impl<S: fmt::Debug, F> fmt::Debug for Annotating<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Annotating")
            .field(&self.delegate)
            .finish_non_exhaustive()
    }
}

impl<S, F> Sampler for Annotating<S, F>
where
    S: Sampler,
    F: Fn(&mut dyn FnMut(KeyValue<'_>)) + Send + Sync,
{
    fn sample(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        let sampling = self.delegate.sample(input, add);
        if sampling.decision.is_recorded() {
            (self.attributes)(add);
        }
        sampling
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Annotating{")?;
        self.delegate.description(f)?;
        f.write_str("}")
    }

    fn needs_moment(&self) -> bool {
        self.delegate.needs_moment()
    }
}

impl<S, F> ComposableSampler for Annotating<S, F>
where
    S: ComposableSampler,
    F: Fn(&mut dyn FnMut(KeyValue<'_>)) + Send + Sync,
{
    fn intent(
        &self,
        input: &SamplingInput<'_>,
        add: &mut dyn FnMut(KeyValue<'_>),
    ) -> SamplingIntent {
        let intent = self.delegate.intent(input, add);
        if intent.threshold.is_some() {
            (self.attributes)(add);
        }
        intent
    }

    fn update_trace_state(
        &self,
        input: &SamplingInput<'_>,
        state: &TraceState,
    ) -> TraceStateChange {
        self.delegate.update_trace_state(input, state)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Annotating{")?;
        self.delegate.describe(f)?;
        f.write_str("}")
    }

    fn reads_moment(&self) -> bool {
        self.delegate.reads_moment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TraceId;
    use crate::sampler::{AlwaysOff, AlwaysOn, CompositeSampler};

    #[test]
    fn annotations_follow_the_decision() {
        let annotate = |add: &mut dyn FnMut(KeyValue<'_>)| add(KeyValue::new("tier", "gold"));
        let input = SamplingInput::root(TraceId::INVALID, "x");
        let count = |sampler: &dyn Sampler| {
            let mut added = 0;
            sampler.sample(&input, &mut |_| added += 1);
            added
        };
        assert_eq!(count(&Annotating::new(AlwaysOn, annotate)), 1);
        assert_eq!(count(&Annotating::new(AlwaysOff, annotate)), 0);
        assert_eq!(
            count(&CompositeSampler::new(Annotating::new(AlwaysOn, annotate))),
            1
        );
        assert_eq!(
            count(&CompositeSampler::new(Annotating::new(AlwaysOff, annotate))),
            0
        );
    }
}
