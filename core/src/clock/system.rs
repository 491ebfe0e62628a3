use core::time::Duration;
use std::time::{Instant, SystemTime};

use super::counter;
use super::{Clock, Moment, Stopwatch, Timestamp};
use anchor::Anchor;

/// The operating system's clock, read through the processor's counter where that is steady.
///
/// Spans are timed by the counter against an *anchor*: a reading of counter, wall clock and monotonic clock together.
/// The first span to start more than a second after the last reading takes a new one, so a step or a drift of the wall
/// clock shows in spans that start a second later at most, and an idle program wakes for nothing. A span keeps the
/// anchor it started with. Until 10 ms have passed since construction, and on processors without a steady counter, the
/// operating system's clocks are read directly: there is no pause to calibrate.
///
/// ```
/// use spanwire_core::clock::{Clock, SystemClock};
///
/// let clock = SystemClock::new();
/// let watch = clock.start();
/// let later = clock.read(&watch);
/// assert!(watch.timestamp(later) >= watch.started());
/// ```
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
    /// The counter at `origin`, if it is steady.
    counter: Option<Mark>,
    anchor: anchor::Shared,
}

/// The counter at the end of a reading of clocks.
#[derive(Clone, Copy, Debug)]
struct Mark {
    ticks: u64,
    /// Ticks since the reading began. A thread may be stopped in the middle of one.
    width: u64,
}

impl Mark {
    /// Reads clocks between two looks at the counter, twice: the reading with the least time between its ends is the
    /// truest.
    fn of<T>(clocks: impl Fn() -> T) -> (Self, T) {
        let read = || {
            let before = counter::ticks();
            let clocks = clocks();
            let ticks = counter::ticks();
            let width = ticks.wrapping_sub(before);
            (Self { ticks, width }, clocks)
        };
        core::cmp::min_by_key(read(), read(), |read| read.0.width)
    }
}

/// How long an anchor holds.
const RENEW: Duration = Duration::from_secs(1);

/// The least time over which the counter's rate is measured.
const CALIBRATE: Duration = Duration::from_millis(10);

/// How many times longer than the readings at its ends that time is at least.
const PRECISION: u64 = 2000;

/// The longest that a reading of the clocks for an anchor may take.
const MOST_WIDTH: Duration = Duration::from_micros(100);

impl SystemClock {
    /// A clock whose moments count from here.
    #[must_use]
    pub fn new() -> Self {
        let is_steady = counter::is_steady();
        let (mark, origin) = Mark::of(Instant::now);
        Self {
            origin,
            counter: is_steady.then_some(mark),
            anchor: anchor::Shared::default(),
        }
    }

    /// Starts a stopwatch from the anchor. `None` when there is none that holds.
    #[inline(always)]
    pub(crate) fn start_anchored(&self) -> Option<Stopwatch> {
        let anchor = self.anchor.load()?;
        let ticks = counter::ticks();
        anchor.holds(ticks).then(|| anchor.at(ticks))
    }

    fn since_origin(&self) -> u64 {
        nanos(self.origin.elapsed())
    }

    /// Starts a stopwatch from the operating system's clocks, and leaves an anchor for those after it.
    #[cold]
    fn start_anew(&self) -> Stopwatch {
        let Some(first) = self.counter else {
            return self.start_without_counter();
        };
        let (Mark { ticks, width }, (wall, moment)) =
            Mark::of(|| (self.now(), self.since_origin()));
        let passed = ticks.wrapping_sub(first.ticks);
        let apart = first.width.saturating_add(width);
        // What was read while the thread was stopped is no measure: the next span may take another.
        let is_short = apart.saturating_mul(PRECISION) > passed;
        if u128::from(moment) < CALIBRATE.as_nanos() || passed == 0 || is_short {
            return self.start_without_counter();
        }
        let scale = ((u128::from(moment) << 32) / u128::from(passed)) as u64;
        if scale == 0 || u128::from(scaled(width, scale)) > MOST_WIDTH.as_nanos() {
            return self.start_without_counter();
        }
        let anchor = Anchor {
            ticks,
            wall: wall.0,
            moment,
            scale,
            lasts: anchor::lasts(RENEW, scale),
        };
        self.anchor.renew(&anchor);
        anchor.at(ticks)
    }

    /// Nanoseconds since the start of a stopwatch.
    #[inline(always)]
    pub(crate) fn elapsed(&self, stopwatch: &Stopwatch) -> u64 {
        if stopwatch.scale == 0 {
            return self.elapsed_without_counter(stopwatch);
        }
        let passed = counter::ticks().wrapping_sub(stopwatch.ticks);
        scaled(passed, stopwatch.scale)
    }

    #[cold]
    fn elapsed_without_counter(&self, stopwatch: &Stopwatch) -> u64 {
        self.moment().0.wrapping_sub(stopwatch.moment.0)
    }

    fn start_without_counter(&self) -> Stopwatch {
        Stopwatch {
            started: self.now(),
            moment: self.moment(),
            ticks: 0,
            scale: 0,
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Timestamp(nanos(since_epoch.unwrap_or_default()))
    }

    fn moment(&self) -> Moment {
        Moment(self.since_origin())
    }

    fn start(&self) -> Stopwatch {
        self.start_anchored().unwrap_or_else(|| self.start_anew())
    }

    fn read(&self, stopwatch: &Stopwatch) -> Moment {
        stopwatch.moment_after(self.elapsed(stopwatch))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[inline]
fn scaled(ticks: u64, scale: u64) -> u64 {
    ((u128::from(ticks) * u128::from(scale)) >> 32) as u64
}

mod anchor {
    //! One reading of all clocks, shared without a lock.

    use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
    use core::time::Duration;

    use super::{Moment, Stopwatch, Timestamp, scaled};

    #[derive(Clone, Copy, Debug)]
    pub(super) struct Anchor {
        pub(super) ticks: u64,
        pub(super) wall: u64,
        pub(super) moment: u64,
        /// Nanoseconds a tick, in units of 2^-32.
        pub(super) scale: u64,
        /// For how many ticks it holds.
        pub(super) lasts: u64,
    }

    /// This time in ticks of `scale` units of 2^-32 nanoseconds; zero for no scale.
    pub(super) fn lasts(time: Duration, scale: u64) -> u64 {
        let ticks = (time.as_nanos() << 32).checked_div(u128::from(scale));
        u64::try_from(ticks.unwrap_or_default()).unwrap_or(u64::MAX)
    }

    impl Anchor {
        #[inline(always)]
        pub(super) fn holds(&self, ticks: u64) -> bool {
            ticks.wrapping_sub(self.ticks) < self.lasts
        }

        #[inline(always)]
        pub(super) fn at(&self, ticks: u64) -> Stopwatch {
            let passed = scaled(ticks.wrapping_sub(self.ticks), self.scale);
            Stopwatch {
                started: Timestamp(self.wall.wrapping_add(passed)),
                moment: Moment(self.moment.wrapping_add(passed)),
                ticks,
                scale: self.scale,
            }
        }
    }

    /// A sequence lock that nobody waits for: a reader that meets a writer goes without.
    #[derive(Debug, Default)]
    #[repr(align(128))]
    pub(super) struct Shared {
        /// Odd while the fields are being written.
        version: AtomicUsize,
        ticks: AtomicU64,
        wall: AtomicU64,
        moment: AtomicU64,
        scale: AtomicU64,
        lasts: AtomicU64,
    }

    impl Shared {
        /// The newest anchor; before the first, one that never holds. `None` while one is being written.
        #[inline(always)]
        pub(super) fn load(&self) -> Option<Anchor> {
            // Pairs with the last store of `renew`: an even version comes with its fields.
            let before = self.version.load(Ordering::Acquire);
            let anchor = Anchor {
                ticks: self.ticks.load(Ordering::Relaxed),
                wall: self.wall.load(Ordering::Relaxed),
                moment: self.moment.load(Ordering::Relaxed),
                scale: self.scale.load(Ordering::Relaxed),
                lasts: self.lasts.load(Ordering::Relaxed),
            };
            // Pairs with the fence of `renew`: fields of a newer anchor come with its odd version.
            fence(Ordering::Acquire);
            let same = self.version.load(Ordering::Relaxed) == before;
            // Before the first renewal it lasts for no tick.
            (same && before.is_multiple_of(2)).then_some(anchor)
        }

        /// Replaces the anchor, unless someone else is doing so.
        pub(super) fn renew(&self, anchor: &Anchor) {
            let version = self.version.load(Ordering::Relaxed);
            let odd = version | 1;
            if version == odd
                || self
                    .version
                    .compare_exchange(version, odd, Ordering::Acquire, Ordering::Relaxed)
                    .is_err()
            {
                return;
            }
            fence(Ordering::Release);
            self.ticks.store(anchor.ticks, Ordering::Relaxed);
            self.wall.store(anchor.wall, Ordering::Relaxed);
            self.moment.store(anchor.moment, Ordering::Relaxed);
            self.scale.store(anchor.scale, Ordering::Relaxed);
            self.lasts.store(anchor.lasts, Ordering::Relaxed);
            self.version.store(odd.wrapping_add(1), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    #[test]
    fn the_counter_agrees_with_the_clocks() {
        let clock = SystemClock::new();
        let first = clock.start();
        sleep(Duration::from_millis(30));
        // Where this thread is stopped while it reads, there is no anchor yet.
        let mut anchored = clock.start();
        while anchored.scale == 0 && clock.counter.is_some() {
            assert!(clock.origin.elapsed() < Duration::from_secs(60));
            sleep(Duration::from_millis(1));
            anchored = clock.start();
        }
        sleep(Duration::from_millis(30));
        for watch in [first, anchored, clock.start()] {
            // However long it takes to read the one clock after the other.
            let (now, moment) = (clock.now(), clock.moment());
            let read = clock.read(&watch);
            let (later, moment_later) = (clock.now(), clock.moment());
            let wall = watch.timestamp(read).as_unix_nanos();
            let range = |from: u64, to: u64| from - 5_000_000..to + 5_000_000;
            assert!(
                range(now.as_unix_nanos(), later.as_unix_nanos()).contains(&wall),
                "{now:?} {wall} {later:?}"
            );
            assert!(
                range(moment.as_nanos(), moment_later.as_nanos()).contains(&read.as_nanos()),
                "{moment:?} {read:?} {moment_later:?}"
            );
        }
    }

    /// Scenario: the thread was stopped in the middle of the first reading.
    /// Guarantees: the rate is not measured by it, before so much time has passed that it makes no difference.
    #[test]
    fn a_reading_that_took_long_is_no_measure() {
        let mut clock = SystemClock::new();
        let Some(mark) = clock.counter else { return };
        sleep(Duration::from_millis(30));
        let passed = counter::ticks().wrapping_sub(mark.ticks);
        for width in [u64::MAX, passed] {
            clock.counter = Some(Mark { width, ..mark });
            assert_eq!(clock.start().scale, 0, "{width} of {passed}");
        }
        clock.counter = Some(mark);
        while clock.start().scale == 0 {
            assert!(clock.origin.elapsed() < Duration::from_secs(60));
            sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn an_anchor_holds_for_a_second() {
        // 2^31 units of 2^-32 ns: two ticks a nanosecond.
        let anchor = Anchor {
            ticks: 100,
            wall: 5_000,
            moment: 7,
            scale: 1 << 31,
            lasts: anchor::lasts(RENEW, 1 << 31),
        };
        assert!(anchor.holds(100 + 1_999_999_999));
        assert!(!anchor.holds(100 + 2_000_000_000));
        // A counter that went backwards asks for a new reading.
        assert!(!anchor.holds(99));
        let watch = anchor.at(120);
        assert_eq!((watch.started.0, watch.moment.0), (5_010, 17));
    }

    #[test]
    fn a_reader_that_meets_a_writer_goes_without() {
        let shared = anchor::Shared::default();
        assert!(!shared.load().unwrap().holds(0));
        shared.renew(&Anchor {
            ticks: 1,
            wall: 2,
            moment: 3,
            scale: 4,
            lasts: 5,
        });
        assert_eq!(shared.load().unwrap().wall, 2);
    }
}
