//! So many traces a second.

use core::fmt;

use super::meter::Meter;
use super::{Sampler, Sampling, SamplingInput};
use crate::attribute::KeyValue;
use crate::clock::Moment;

const SECOND: u64 = 1_000_000_000;

/// Keeps at most so many spans a second: a token bucket that starts full.
///
/// The bucket holds the tokens of one second, but at least one; each kept span takes one. In any stretch of `t`
/// seconds at most `rate * t + max(rate, 1)` spans are kept. The time between two tokens is rounded up to whole
/// nanoseconds, so high rates are kept a little below: by at most one part in ten thousand at 100,000 a second.
///
/// It is exact with any number of threads where a word has 64 bits. Elsewhere a thread that finds another one in the
/// middle of a decision for long (an interrupt handler, say) does not wait: its span is dropped, and the limit holds.
///
/// Use it for roots: [`ParentBased<RateLimiting>`](super::ParentBased). It leaves the trace state alone. Jaeger client
/// libraries, "rate limiting sampler"; they refill only when the bucket runs dry, and may keep twice the burst.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::id::TraceId;
/// use spanwire_core::sampler::{RateLimiting, Sampler, Sampling, SamplingInput};
///
/// let sampler = RateLimiting::new(2.0)?;
/// let mut input = SamplingInput::root(TraceId::from_bytes([1; 16]), "x");
/// let decisions = [0; 3].map(|_| sampler.sample(&input, &mut |_| ()));
/// assert_eq!(decisions, [Sampling::SAMPLE, Sampling::SAMPLE, Sampling::DROP]);
/// input.moment = input.moment.saturating_add(Duration::from_millis(500));
/// assert_eq!(sampler.sample(&input, &mut |_| ()), Sampling::SAMPLE);
/// # Ok::<(), spanwire_core::sampler::InvalidRateLimit>(())
/// ```
#[derive(Debug)]
pub struct RateLimiting {
    rate: f64,
    /// Nanoseconds that refill one token; `None` keeps nothing.
    interval: Option<u64>,
    /// When the bucket is full again, in nanoseconds: each kept span moves it by one interval.
    full: Meter,
}

impl RateLimiting {
    /// Keeps at most `rate` spans a second; 0 keeps nothing, 0.1 one in ten seconds, starting with the first.
    ///
    /// # Errors
    /// The rate is negative, infinite or not a number.
    pub fn new(rate: f64) -> Result<Self, InvalidRateLimit> {
        if !rate.is_finite() || rate < 0.0 {
            return Err(InvalidRateLimit(rate));
        }
        let interval = SECOND as f64 / rate;
        let whole = interval as u64;
        let rounded_up = whole.saturating_add(u64::from(whole as f64 != interval));
        Ok(Self {
            rate,
            interval: (rate > 0.0).then_some(rounded_up),
            full: Meter::new(),
        })
    }

    /// Spans a second.
    #[must_use]
    pub const fn rate(&self) -> f64 {
        self.rate
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&self, now: Moment) -> bool {
        let Some(interval) = self.interval else {
            return false;
        };
        // The bucket holds what this long refills.
        let burst = interval.max(SECOND);
        let now = now.as_nanos();
        self.full.advance(|full| {
            let full = full.max(now).saturating_add(interval);
            (full - now <= burst).then_some(full)
        })
    }
}

impl Sampler for RateLimiting {
    fn sample(&self, input: &SamplingInput<'_>, _: &mut dyn FnMut(KeyValue<'_>)) -> Sampling {
        Sampling::sample_if(self.take(input.moment))
    }

    /// `RateLimitingSampler{2.5}`.
    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RateLimitingSampler{{{}}}", self.rate)
    }

    fn needs_moment(&self) -> bool {
        true
    }
}

/// A rate that is negative, infinite or not a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InvalidRateLimit(pub f64);

impl fmt::Display for InvalidRateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rate limit {} is not a number of spans a second", self.0)
    }
}

impl core::error::Error for InvalidRateLimit {}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::sampler::Description;

    fn kept(rate: f64, millis: &[u64]) -> Vec<bool> {
        let sampler = RateLimiting::new(rate).unwrap();
        millis
            .iter()
            .map(|millis| sampler.take(Moment::from_nanos(millis * 1_000_000)))
            .collect()
    }

    /// Checks that follow directly, (12).
    #[test]
    fn the_bucket_by_table() {
        assert_eq!(
            kept(1.0, &[0, 0, 999, 1000, 1000, 2000]),
            [true, false, false, true, false, true]
        );
        assert_eq!(kept(0.0, &[0, 1000, u64::MAX / 1_000_000]), [false; 3]);
        assert_eq!(
            kept(0.1, &[0, 1, 9_999, 10_000, 19_999, 20_000]),
            [true, false, false, true, false, true]
        );
        // Two and a half tokens at the start.
        assert_eq!(
            kept(2.5, &[0, 0, 0, 200, 200]),
            [true, true, false, true, false]
        );
        // Idle time fills the bucket, and no more; so does a clock that starts late.
        assert_eq!(kept(2.0, &[1_000_000; 3]), [true, true, false]);
        // Moments may arrive out of order.
        assert_eq!(
            kept(1.0, &[5000, 4000, 5999, 6000]),
            [true, false, false, true]
        );
    }

    #[test]
    fn extreme_rates_and_moments_are_answered() {
        for rate in [f64::MIN_POSITIVE, 1e-9, 1e9, 1e18, f64::MAX] {
            let sampler = RateLimiting::new(rate).unwrap();
            for nanos in [0, 1, u64::MAX / 2, u64::MAX, u64::MAX] {
                let _ = sampler.take(Moment::from_nanos(nanos));
            }
            assert!(
                RateLimiting::new(rate).unwrap().take(Moment::from_nanos(0)),
                "{rate}"
            );
        }
        for rate in [-1.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(
                RateLimiting::new(rate)
                    .unwrap_err()
                    .to_string()
                    .starts_with("rate limit ")
            );
        }
        assert!(RateLimiting::new(1.0).unwrap().needs_moment());
        assert_eq!(
            Description(&RateLimiting::new(2.5).unwrap()).to_string(),
            "RateLimitingSampler{2.5}"
        );
    }

    proptest! {
        /// The naive bucket, in tokens. Intervals are whole nanoseconds, steps whole fractions of them.
        #[test]
        fn agrees_with_counting_tokens(
            interval in prop::sample::select(std::vec![1_000, 250_000, 1_000_000, 500_000_000, 4_000_000_000_u64]),
            steps in prop::collection::vec((0..16_u64, any::<bool>()), 1..200),
        ) {
            let sampler = RateLimiting::new(1e9 / interval as f64).unwrap();
            let capacity = u128::from(interval.max(SECOND));
            // In units of the time that refills them.
            let (mut tokens, mut now) = (capacity, 0);
            for (step, large) in steps {
                let elapsed = if large { step * interval * 300 } else { step * interval / 4 };
                now += elapsed;
                tokens = (tokens + u128::from(elapsed)).min(capacity);
                let expected = tokens >= u128::from(interval);
                if expected {
                    tokens -= u128::from(interval);
                }
                prop_assert_eq!(sampler.take(Moment::from_nanos(now)), expected);
            }
        }

        #[test]
        fn no_stretch_keeps_more_than_its_share(rate in 0.1..5000.0, gaps in prop::collection::vec(0..2_000_000_u64, 1..300)) {
            let sampler = RateLimiting::new(rate).unwrap();
            let mut now = 0;
            let kept: Vec<u64> = gaps.into_iter().filter_map(|gap| {
                now += gap;
                sampler.take(Moment::from_nanos(now)).then_some(now)
            }).collect();
            for (at, first) in kept.iter().enumerate() {
                for (count, last) in (1..).zip(&kept[at..]) {
                    let seconds = (last - first) as f64 / 1e9;
                    prop_assert!(f64::from(count) <= rate * seconds + rate.max(1.0) + 1e-6);
                }
            }
        }
    }
}
