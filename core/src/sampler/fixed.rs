//! Samplers that answer without looking.

use core::fmt;

use super::{Case, Decision, Foresight, Sampler, Sampling, SamplingInput};
use crate::attribute::KeyValue;

/// Keeps every span. OpenTelemetry trace SDK specification, "AlwaysOn".
///
/// ```
/// use spanwire_core::id::TraceId;
/// use spanwire_core::sampler::{AlwaysOn, Sampler, Sampling, SamplingInput};
///
/// let input = SamplingInput::root(TraceId::INVALID, "x");
/// assert_eq!(AlwaysOn.sample(&input, &mut |_| ()), Sampling::SAMPLE);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlwaysOn;

/// Drops every span. OpenTelemetry trace SDK specification, "AlwaysOff".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlwaysOff;

/// Records what another sampler drops, without exporting it. OpenTelemetry trace SDK specification, "AlwaysRecord".
///
/// The inner sampler's attributes and trace state stand.
///
/// ```
/// use spanwire_core::id::TraceId;
/// use spanwire_core::sampler::{AlwaysOff, AlwaysRecord, Decision, Sampler, SamplingInput};
///
/// let input = SamplingInput::root(TraceId::INVALID, "x");
/// assert_eq!(AlwaysRecord::new(AlwaysOff).sample(&input, &mut |_| ()).decision, Decision::RecordOnly);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlwaysRecord<S>(S);

impl<S> AlwaysRecord<S> {
    /// Asks `inner`, and records what it drops.
    pub const fn new(inner: S) -> Self {
        Self(inner)
    }
}

impl Sampler for AlwaysOn {
    #[inline]
    fn sample(&self, _: &SamplingInput<'_>, _: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        Sampling::SAMPLE
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlwaysOnSampler")
    }

    fn foresee(&self, _: Case) -> Foresight {
        Foresight::KEEP
    }
}

impl Sampler for AlwaysOff {
    #[inline]
    fn sample(&self, _: &SamplingInput<'_>, _: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        Sampling::DROP
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlwaysOffSampler")
    }

    fn foresee(&self, _: Case) -> Foresight {
        Foresight::DROP
    }
}

impl<S: Sampler> Sampler for AlwaysRecord<S> {
    #[inline]
    fn sample(&self, input: &SamplingInput<'_>, add: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        let mut sampling = self.0.sample(input, add);
        if sampling.decision == Decision::Drop {
            sampling.decision = Decision::RecordOnly;
        }
        sampling
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AlwaysRecordSampler{")?;
        self.0.description(f)?;
        f.write_str("}")
    }

    fn needs_moment(&self) -> bool {
        self.0.needs_moment()
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;
    use crate::id::TraceId;
    use crate::sampler::Description;

    #[test]
    fn fixed_samplers_have_fixed_answers() {
        let input = SamplingInput::root(TraceId::INVALID, "x");
        let cases: [(&dyn Sampler, Decision, &str); 4] = [
            (&AlwaysOn, Decision::RecordAndSample, "AlwaysOnSampler"),
            (&AlwaysOff, Decision::Drop, "AlwaysOffSampler"),
            (
                &AlwaysRecord::new(AlwaysOff),
                Decision::RecordOnly,
                "AlwaysRecordSampler{AlwaysOffSampler}",
            ),
            (
                &AlwaysRecord::new(AlwaysOn),
                Decision::RecordAndSample,
                "AlwaysRecordSampler{AlwaysOnSampler}",
            ),
        ];
        for (sampler, decision, description) in cases {
            assert_eq!(sampler.sample(&input, &mut |_| ()), Sampling::new(decision));
            assert_eq!(format!("{}", Description(sampler)), description);
            assert!(!sampler.needs_moment());
        }
    }
}
