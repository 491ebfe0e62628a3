//! How long a lane waits before it sends a batch again.

use core::time::Duration;

/// Whether and how often a batch that did not arrive is sent again.
///
/// The wait before attempt *n* is `initial * multiplier^(n-1)`, at most `max`, then moved by the jitter, and never less
/// than what the server asks for. A batch whose next attempt would start later than `max_elapsed` after its first is
/// dropped as [`RetriesExhausted`](crate::stats::DropReason::RetriesExhausted).
///
/// The defaults are those of the kubelet's exporter: 5 s, times 1.5, give or take half, at most 30 s, for 60 s
/// (opentelemetry-go, `otlptracegrpc`).
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::engine::Retry;
///
/// let patient = Retry { max_elapsed: Some(Duration::from_secs(600)), ..Retry::default() };
/// assert_eq!(patient.initial, Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    /// The wait before the second attempt.
    pub initial: Duration,
    /// What each further wait is multiplied by, in percent; less than 100 counts as 100.
    pub multiplier_percent: u32,
    /// How far a wait is moved at most, up or down, in percent of itself; more than 100 counts as 100.
    pub jitter_percent: u32,
    /// The longest wait before jitter.
    pub max: Duration,
    /// How long after the first attempt the last one may start. `None`: for ever. Zero: there is no second attempt.
    pub max_elapsed: Option<Duration>,
}

impl Retry {
    /// No second attempt.
    pub const NEVER: Self = Self {
        initial: Duration::ZERO,
        multiplier_percent: 100,
        jitter_percent: 0,
        max: Duration::ZERO,
        max_elapsed: Some(Duration::ZERO),
    };

    /// The wait after this many failed attempts (at least 1), moved by `random`.
    pub(super) fn wait(&self, failed: u32, random: u64) -> Duration {
        let most = nanos(self.max);
        let multiplier = u64::from(self.multiplier_percent.max(100));
        let mut wait = nanos(self.initial).min(most);
        for _ in 1..failed {
            // A wait that has stopped growing stays what it is.
            let longer = percent(wait, multiplier).min(most);
            if longer == wait {
                break;
            }
            wait = longer;
        }
        let reach = percent(wait, u64::from(self.jitter_percent.min(100)));
        // A fraction, in 2^-64, of the way from the earliest to the latest moment, which are twice the reach apart.
        let moved = (u128::from(reach) * u128::from(random)) >> 63;
        let moved = u64::try_from(moved).unwrap_or(u64::MAX);
        Duration::from_nanos((wait - reach).saturating_add(moved))
    }

    /// The wait before the next attempt, or `None` when it would come too late.
    ///
    /// `elapsed` is the time since the first attempt started, `least` what the server asks for.
    pub(super) fn next(
        &self,
        failed: u32,
        elapsed: Duration,
        least: Option<Duration>,
        random: u64,
    ) -> Option<Duration> {
        let wait = self.wait(failed, random).max(least.unwrap_or_default());
        match self.max_elapsed {
            None => Some(wait),
            Some(max) if max.is_zero() => None,
            Some(max) => (elapsed.saturating_add(wait) <= max).then_some(wait),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(5),
            multiplier_percent: 150,
            jitter_percent: 50,
            max: Duration::from_secs(30),
            max_elapsed: Some(Duration::from_secs(60)),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn percent(of: u64, percent: u64) -> u64 {
    let product = u128::from(of) * u128::from(percent) / 100;
    u64::try_from(product).unwrap_or(u64::MAX)
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough for jitter, and the same numbers for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: u64 = 1 << 63;

    #[test]
    fn the_kubelets_waits() {
        let retry = Retry::default();
        let waits = [5_000, 7_500, 11_250, 16_875, 25_312, 30_000, 30_000];
        for (failed, millis) in (1..).zip(waits) {
            let wait = retry.wait(failed, MIDDLE);
            assert_eq!(wait.as_millis(), millis, "after {failed} failures");
        }
        assert_eq!(retry.wait(u32::MAX, MIDDLE), Duration::from_secs(30));
    }

    #[test]
    fn jitter_moves_a_wait_by_at_most_half() {
        let retry = Retry::default();
        assert_eq!(retry.wait(1, 0), Duration::from_millis(2500));
        let latest = retry.wait(1, u64::MAX);
        assert!(latest <= Duration::from_millis(7500) && latest > Duration::from_millis(7499));
        let mut jitter = Jitter::new(1);
        for failed in 1..1000 {
            let wait = retry.wait(failed, jitter.next());
            assert!(wait >= Duration::from_millis(2500) && wait <= Duration::from_secs(45));
        }
    }

    #[test]
    fn the_server_may_ask_for_more_but_not_for_less() {
        let retry = Retry::default();
        let ask = |seconds| {
            retry.next(
                1,
                Duration::ZERO,
                Some(Duration::from_secs(seconds)),
                MIDDLE,
            )
        };
        assert_eq!(ask(1), Some(Duration::from_secs(5)));
        assert_eq!(ask(20), Some(Duration::from_secs(20)));
        assert_eq!(ask(60), Some(Duration::from_secs(60)));
        assert_eq!(ask(61), None);
    }

    #[test]
    fn retries_end() {
        let retry = Retry::default();
        let after = |millis| retry.next(1, Duration::from_millis(millis), None, MIDDLE);
        assert!(after(55_000).is_some());
        assert!(after(55_001).is_none());
        assert_eq!(Retry::NEVER.next(1, Duration::ZERO, None, 0), None);
        let forever = Retry {
            max_elapsed: None,
            ..retry
        };
        assert!(
            forever
                .next(9, Duration::from_secs(1 << 40), None, 0)
                .is_some()
        );
    }

    #[test]
    fn absurd_settings_do_not_overflow() {
        let retry = Retry {
            initial: Duration::MAX,
            multiplier_percent: u32::MAX,
            jitter_percent: u32::MAX,
            max: Duration::MAX,
            max_elapsed: None,
        };
        assert!(retry.wait(u32::MAX, u64::MAX) > Duration::from_secs(1 << 33));
        let least = retry.next(1, Duration::MAX, Some(Duration::MAX), u64::MAX);
        assert_eq!(least, Some(Duration::MAX));
    }
}
