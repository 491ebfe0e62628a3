//! Which batches are shown. Time is an argument.

use core::time::Duration;
use std::time::Instant;

/// What the counting starts again after.
const TICK: Duration = Duration::from_secs(1);

/// The first few of a second, and every so many-th thereafter.
#[derive(Clone, Debug)]
pub(super) struct Sampling {
    pub(super) initial: u32,
    pub(super) thereafter: u32,
    tick: Option<Instant>,
    /// Batches since the tick.
    seen: u32,
    not_shown: u64,
}

impl Sampling {
    pub(super) const fn new(initial: u32, thereafter: u32) -> Self {
        Self {
            initial,
            thereafter,
            tick: None,
            seen: 0,
            not_shown: 0,
        }
    }

    /// Whether the next batch is shown.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        if self
            .tick
            .is_none_or(|tick| now.saturating_duration_since(tick) >= TICK)
        {
            self.tick = Some(now);
            self.seen = 0;
        }
        self.seen = self.seen.saturating_add(1);
        let admits = match self.seen.checked_sub(self.initial) {
            None | Some(0) => true,
            Some(after) => self.thereafter != 0 && after % self.thereafter == 0,
        };
        if !admits {
            self.not_shown += 1;
        }
        admits
    }

    /// How many were not shown since this was last asked.
    pub(super) fn not_shown(&mut self) -> u64 {
        core::mem::take(&mut self.not_shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_second_are_shown_and_then_every_so_many() {
        let start = Instant::now();
        for (initial, thereafter, expected) in [
            (2, 1, "1111111111"),
            (2, 3, "1100100100"),
            (2, 0, "1100000000"),
            (0, 0, "0000000000"),
            (0, 5, "0000100001"),
            (20, 1, "1111111111"),
        ] {
            let mut sampling = Sampling::new(initial, thereafter);
            for second in 0..2 {
                let shown: String = (0..10)
                    .map(|n| start + Duration::from_millis(second * 1000 + n))
                    .map(|now| if sampling.admits(now) { '1' } else { '0' })
                    .collect();
                assert_eq!(shown, expected, "{initial} {thereafter}");
            }
            let missing = expected.matches('0').count() as u64;
            assert_eq!(sampling.not_shown(), 2 * missing);
            assert_eq!(sampling.not_shown(), 0);
        }
    }
}
