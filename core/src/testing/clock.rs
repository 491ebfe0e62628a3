//! A clock that goes when it is told to.

use alloc::sync::Arc;
use core::time::Duration;

use std::sync::{Mutex, PoisonError};

use crate::clock::{Clock, Moment, Timestamp};

/// A clock that stands still until it is moved. Clones show the same time.
///
/// It starts at 2026-01-01 00:00:00 UTC, and at one second after the origin of its moments.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::clock::{Clock, Timestamp};
/// use spanwire_core::testing::ManualClock;
///
/// let clock = ManualClock::new();
/// let (now, moment) = (clock.now(), clock.moment());
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.now().as_unix_nanos(), now.as_unix_nanos() + 2_000_000_000);
///
/// // An administrator sets the wall clock back: moments do not notice.
/// clock.step_wall(now);
/// assert_eq!(clock.now(), now);
/// assert_eq!(clock.moment().saturating_since(moment), Duration::from_secs(2));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Hands>>);

#[derive(Debug)]
struct Hands {
    wall: Timestamp,
    moment: Moment,
}

impl ManualClock {
    /// A clock that stands still.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Hands {
            wall: Timestamp::from_unix_nanos(1_767_225_600_000_000_000),
            moment: Moment::from_nanos(1_000_000_000),
        })))
    }

    /// Lets time pass, on the wall and in moments.
    pub fn advance(&self, duration: Duration) {
        let mut hands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let wall = hands.wall.as_unix_nanos().saturating_add(nanos);
        hands.wall = Timestamp::from_unix_nanos(wall);
        hands.moment = hands.moment.saturating_add(duration);
    }

    /// Sets the wall clock, forwards or back. Moments go on as if nothing had happened.
    pub fn step_wall(&self, to: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wall = to;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wall
    }

    fn moment(&self) -> Moment {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).moment
    }
}
