//! What time it is.

use core::time::Duration;

/// A wall-clock time: nanoseconds since the Unix epoch, good until the year 2554.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The time this many nanoseconds after the Unix epoch.
    #[must_use]
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix_nanos(self) -> u64 {
        self.0
    }
}

/// A point on a clock that never steps: nanoseconds since an origin of that clock's choosing.
///
/// Deadlines, ages and back-off are told in moments, so that a step of the wall clock moves none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// The moment this many nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to here; zero when `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This much later; stays at the end of time when it would pass it.
    #[must_use]
    pub const fn saturating_add(self, duration: Duration) -> Self {
        let nanos = duration.as_nanos();
        if nanos > u64::MAX as u128 {
            Self(u64::MAX)
        } else {
            Self(self.0.saturating_add(nanos as u64))
        }
    }
}

/// Tells the time. The core reads no other clock.
///
/// ```
/// use core::sync::atomic::{AtomicU32, Ordering};
/// use spanwire_core::clock::{Clock, Moment, Timestamp};
///
/// /// A board's millisecond counter, started at a known time.
/// struct Board(&'static AtomicU32);
///
/// impl Clock for Board {
///     fn now(&self) -> Timestamp {
///         Timestamp::from_unix_nanos(1_700_000_000_000_000_000 + self.moment().as_nanos())
///     }
///
///     fn moment(&self) -> Moment {
///         Moment::from_nanos(u64::from(self.0.load(Ordering::Relaxed)) * 1_000_000)
///     }
/// }
/// ```
pub trait Clock: Send + Sync {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;

    /// The moment: never earlier than one read before, and not moved by steps of the wall clock.
    fn moment(&self) -> Moment;

    /// Starts a stopwatch: one reading of the wall clock from which later times of the same span are told, so that
    /// no duration jumps when the wall clock does.
    #[inline]
    fn start(&self) -> Stopwatch {
        Stopwatch {
            started: self.now(),
            moment: self.moment(),
            ticks: 0,
            scale: 0,
        }
    }

    /// The moment on a stopwatch that this clock started.
    #[inline]
    fn read(&self, stopwatch: &Stopwatch) -> Moment {
        let _ = stopwatch;
        self.moment()
    }
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn moment(&self) -> Moment {
        (**self).moment()
    }

    fn start(&self) -> Stopwatch {
        (**self).start()
    }

    fn read(&self, stopwatch: &Stopwatch) -> Moment {
        (**self).read(stopwatch)
    }
}

/// When a span started, and how to tell its later times from there.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    started: Timestamp,
    moment: Moment,
    /// The fast counter at the start, and nanoseconds a tick in units of 2^-32; scale 0 where there is none.
    ticks: u64,
    scale: u64,
}

impl Stopwatch {
    /// The wall-clock time of the start.
    #[must_use]
    #[inline]
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// The moment of the start.
    #[must_use]
    #[inline]
    pub const fn moment(&self) -> Moment {
        self.moment
    }

    /// The wall-clock time of a moment, as this stopwatch tells it.
    #[must_use]
    #[inline]
    pub const fn timestamp(&self, moment: Moment) -> Timestamp {
        self.timestamp_after(moment.0.wrapping_sub(self.moment.0))
    }

    /// The wall-clock time so many nanoseconds after the start.
    #[inline(always)]
    pub(crate) const fn timestamp_after(&self, elapsed: u64) -> Timestamp {
        Timestamp(self.started.0.wrapping_add(elapsed))
    }

    /// The moment so many nanoseconds after the start.
    #[inline(always)]
    pub(crate) const fn moment_after(&self, elapsed: u64) -> Moment {
        Moment(self.moment.0.wrapping_add(elapsed))
    }
}

#[cfg(feature = "std")]
mod counter;

#[cfg(feature = "std")]
mod system;

#[cfg(feature = "std")]
pub use self::system::SystemClock;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_stay_at_the_ends_of_time() {
        let end = Moment::from_nanos(u64::MAX);
        assert_eq!(end.saturating_add(Duration::MAX), end);
        assert_eq!(Moment::from_nanos(1).saturating_since(end), Duration::ZERO);
        assert_eq!(
            Moment::from_nanos(7).saturating_since(Moment::from_nanos(3)),
            Duration::from_nanos(4)
        );
    }
}
