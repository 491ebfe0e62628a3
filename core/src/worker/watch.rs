//! When somebody is told of trouble: seldom, and only where this thread is awake anyway.

use alloc::boxed::Box;
use core::time::Duration;

use crate::clock::Moment;
use crate::engine::{Engine, Report};

/// After it has told, it is silent for so long.
const QUIET: Duration = Duration::from_secs(1);

/// How often it looks at what is counted outside of the engine, by every thread that records.
const ROUND: Duration = Duration::from_millis(100);

/// Is told of trouble.
pub(crate) trait Onlooker: Send {
    /// A number that changes with each span that is lost before it comes to a lane.
    fn trouble(&self) -> u64;

    /// Takes how the lanes stand.
    fn look(&mut self, lanes: Report);
}

/// What has been told.
pub(super) struct Watch {
    onlooker: Box<dyn Onlooker>,
    /// The trouble on the lanes, and before them.
    seen: (u64, u64),
    told: (u64, u64),
    quiet_until: Moment,
    round: Moment,
}

impl Watch {
    pub(super) fn new(onlooker: Box<dyn Onlooker>) -> Self {
        Self {
            onlooker,
            seen: (0, 0),
            told: (0, 0),
            quiet_until: Moment::default(),
            round: Moment::default(),
        }
    }

    /// Tells what has changed, if it is time.
    pub(super) fn tell(&mut self, engine: &Engine, now: Moment) {
        if now < self.quiet_until {
            return;
        }
        self.seen.0 = engine.trouble();
        if now >= self.round {
            self.round = now.saturating_add(ROUND);
            self.seen.1 = self.onlooker.trouble();
        }
        if self.seen != self.told {
            self.told = self.seen;
            self.quiet_until = now.saturating_add(QUIET);
            self.onlooker.look(engine.report());
        }
    }

    /// Tells what has not been told, of an engine that has closed.
    pub(super) fn tell_last(&mut self, engine: &Engine, lanes: &Report) {
        if self.told != (engine.trouble(), self.onlooker.trouble()) {
            self.onlooker.look(lanes.clone());
        }
    }
}
