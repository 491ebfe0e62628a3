//! Who is told when spans are lost.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::intake::Arrivals;
use super::report::Stats;
use crate::engine::Report as LanesReport;
use crate::limiter::MemoryLimiter;
use crate::recorder::Recorder;
use crate::worker::{Bell, Onlooker, contained};

/// Learns how the pipeline stands.
pub(super) type Observer = Box<dyn FnMut(&Stats) + Send>;

/// Makes one for each life of the pipeline.
pub(super) type MakeObserver = Box<dyn Fn() -> Observer + Send + Sync>;

/// The observers of one life, and what they are told of beside the lanes.
pub(super) struct Onlookers {
    pub(super) observers: Vec<Observer>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) arrivals: Arc<Arrivals>,
    pub(super) limiter: MemoryLimiter,
    pub(super) bell: Arc<Bell>,
}

impl Onlooker for Onlookers {
    fn trouble(&self) -> u64 {
        let own = self.recorder.account();
        own.dropped
            .total()
            .wrapping_add(own.overwritten)
            .wrapping_add(self.arrivals.turned_away.load(Ordering::Relaxed))
    }

    fn look(&mut self, lanes: LanesReport) {
        let stats = Stats {
            own: self.recorder.account(),
            neighbours: self.arrivals.account(),
            lanes: lanes.lanes,
            memory: Some(self.limiter.usage()),
            wakes: self.bell.wakes() as u64,
        };
        for observer in &mut self.observers {
            contained(|| observer(&stats));
        }
    }
}
