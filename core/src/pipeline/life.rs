//! One life of a pipeline in one process, and the lives it has in forked children.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};

use bytes::Bytes;

use super::InvalidPipeline;
use super::branch::Names;
use super::build::Blueprint;
use super::intake::Arrivals;
use super::report::{Report, Stats};
use super::wait::{self, Waiting};
use crate::batch::Segment;
use crate::clock::Moment;
use crate::engine::PipelineId;
use crate::fork;
use crate::limiter::{MemoryLimiter, Permit};
use crate::recorder::{Origin, Recorder, RecorderAccount};
use crate::resource::InstrumentationScope;
use crate::sampler::Sampler;
use crate::stats::DropReason;
use crate::worker::{self, Answer, Bell, Command, Handle, Offered, Settled};

/// How many forks a pipeline follows, one inside the other.
const FORKS: usize = 8;

/// How often a call for the end tries to close shards that other threads are writing to, before the worker alone does.
const CLOSE_TRIES: usize = 8;

/// How long `stats` waits for the worker.
const STATS: Duration = Duration::from_secs(1);

/// The lives of a pipeline: one in the process that built it, and one in each forked child that uses it.
///
/// Each process writes a place that none of its ancestors touches, so a lock of such a place is never inherited held.
pub(super) struct Lives {
    blueprint: Arc<Blueprint>,
    generation: usize,
    first: Arc<Life>,
    children: [OnceLock<Option<Arc<Life>>>; FORKS],
}

impl Lives {
    pub(super) fn begin(blueprint: Blueprint) -> Result<Self, InvalidPipeline> {
        fork::watch();
        let first = Arc::new(blueprint.live(Vec::new())?);
        Ok(Self {
            blueprint: Arc::new(blueprint),
            generation: fork::generation(),
            first,
            children: [const { OnceLock::new() }; FORKS],
        })
    }

    fn forks(&self) -> usize {
        fork::generation().wrapping_sub(self.generation)
    }

    /// The life in this process, begun if need be. `None` where there can be none.
    pub(super) fn now(&self) -> Option<&Arc<Life>> {
        match self.forks() {
            0 => Some(&self.first),
            forks => self
                .children
                .get(forks - 1)?
                .get_or_init(|| self.blueprint.relive(self.ancestors(forks)).map(Arc::new))
                .as_ref(),
        }
    }

    /// The life in this process, if it has begun.
    pub(super) fn begun(&self) -> Option<&Arc<Life>> {
        match self.forks() {
            0 => Some(&self.first),
            forks => self.children.get(forks - 1)?.get()?.as_ref(),
        }
    }

    /// The recorders of the processes that this one was forked from, as they were then.
    fn ancestors(&self, forks: usize) -> Vec<Arc<Recorder>> {
        let children = self.children.iter().take(forks - 1);
        let between = children.filter_map(|life| life.get()?.as_ref());
        core::iter::once(&self.first)
            .chain(between)
            .map(|life| life.recorder.clone())
            .collect()
    }

    /// Where the spans of a scope come from in this process; from nowhere, where there is no life.
    pub(super) fn origin(&self, scope: &InstrumentationScope) -> Arc<Origin> {
        match self.now() {
            Some(life) => life.origin(scope),
            None => Arc::new(self.first.new_origin(scope)),
        }
    }

    /// Which receiver has this name.
    pub(super) fn receiver(&self, name: &str) -> Option<usize> {
        let mut receivers = self.blueprint.chart.receivers.iter();
        receivers.position(|known| known == name)
    }

    pub(super) fn sampler(&self) -> Arc<dyn Sampler> {
        self.blueprint.sampler.clone()
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        if let Some(life) = self.begun() {
            let _ = life.shutdown(self.blueprint.shutdown_timeout);
        }
        let forks = self.forks();
        if forks > 0 {
            // What a process inherited is the parent's: dropping it could wait for a lock that some thread of the
            // parent held at the fork, or for a thread that is not there.
            core::mem::forget((self.first.clone(), self.blueprint.clone()));
            for life in self.children.iter_mut().take(forks - 1) {
                core::mem::forget(life.take());
            }
        }
    }
}

/// What a caller knew before it asked.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// Spans lost that a report had told of.
    lost: u64,
}

/// The pipelines that what neighbours send goes to.
pub(super) struct Routes {
    /// From the intake without a name.
    pub(super) any: Arc<[PipelineId]>,
    /// From each receiver.
    pub(super) receivers: Vec<Arc<[PipelineId]>>,
}

/// One life of a pipeline.
pub(super) struct Life {
    recorder: Arc<Recorder>,
    limiter: MemoryLimiter,
    worker: Handle,
    bell: Arc<Bell>,
    /// The origins that tracers hold; others are forgotten when the next is made.
    scopes: Mutex<Vec<(Bytes, Weak<Origin>)>>,
    pub(super) arrivals: Arc<Arrivals>,
    routes: Routes,
    names: Arc<Names>,
    /// Held, shared, while a neighbour's request is sent to the worker, and alone while its end is: all that is admitted
    /// comes before the end.
    door: RwLock<()>,
    /// Spans lost, anywhere, that a report has told of.
    told: AtomicU64,
    /// Of these, those that reports before the first call for the end have told of.
    told_before_end: OnceLock<u64>,
    /// How the life ended.
    last: Arc<OnceLock<Settled>>,
    /// The recorders of the processes that this one was forked from.
    ancestors: Vec<Arc<Recorder>>,
    /// The recorder's memory, granted once.
    _own: Permit,
}

/// What a life is made of.
pub(super) struct Organs {
    pub(super) recorder: Arc<Recorder>,
    pub(super) limiter: MemoryLimiter,
    pub(super) own: Permit,
    pub(super) arrivals: Arc<Arrivals>,
    pub(super) worker: Handle,
    pub(super) bell: Arc<Bell>,
    pub(super) last: Arc<OnceLock<Settled>>,
    pub(super) routes: Routes,
    pub(super) names: Arc<Names>,
    pub(super) ancestors: Vec<Arc<Recorder>>,
}

impl Life {
    pub(super) fn new(organs: Organs) -> Self {
        Self {
            recorder: organs.recorder,
            arrivals: organs.arrivals,
            limiter: organs.limiter,
            worker: organs.worker,
            bell: organs.bell,
            routes: organs.routes,
            names: organs.names,
            door: RwLock::new(()),
            scopes: Mutex::new(Vec::new()),
            told: AtomicU64::new(0),
            told_before_end: OnceLock::new(),
            last: organs.last,
            ancestors: organs.ancestors,
            _own: organs.own,
        }
    }

    /// Where spans of a scope come from: the same for all tracers of equal scopes.
    pub(super) fn origin(&self, scope: &InstrumentationScope) -> Arc<Origin> {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        let known = scopes.iter().find(|(bytes, _)| bytes == scope.bytes());
        if let Some(origin) = known.and_then(|(_, origin)| origin.upgrade()) {
            return origin;
        }
        let origin = Arc::new(self.new_origin(scope));
        scopes.retain(|(_, origin)| origin.strong_count() > 0);
        scopes.push((scope.bytes().clone(), Arc::downgrade(&origin)));
        origin
    }

    fn new_origin(&self, scope: &InstrumentationScope) -> Origin {
        let number = self.recorder.next_scope();
        Origin::shared(self.recorder.clone(), number, scope.bytes().clone())
    }

    pub(super) fn moment(&self) -> Moment {
        self.recorder.moment()
    }

    /// The deadline of a call that starts now. Where the clock, which is the caller's, panics there is none; the caller
    /// is not kept waiting by that.
    pub(super) fn deadline(&self, timeout: Duration) -> Moment {
        worker::contained(|| self.recorder.moment().saturating_add(timeout))
            .unwrap_or(Moment::from_nanos(u64::MAX))
    }

    pub(super) fn flush(&self, timeout: Duration) -> Report {
        let known = self.known();
        let settled = wait::blocking(self, timeout, |deadline, answer| {
            self.send(Command::Flush { deadline, answer })
        });
        self.report(settled, known)
    }

    pub(super) fn flush_async(self: &Arc<Self>, timeout: Duration) -> Waiting {
        wait::future(self, timeout, |deadline, answer| {
            self.send(Command::Flush { deadline, answer })
        })
    }

    pub(super) fn shutdown(&self, timeout: Duration) -> Report {
        let known = self.known();
        let settled = wait::blocking(self, timeout, |deadline, answer| {
            self.close(deadline, answer)
        });
        self.report(settled, known)
    }

    pub(super) fn shutdown_async(self: &Arc<Self>, timeout: Duration) -> Waiting {
        wait::future(self, timeout, |deadline, answer| {
            self.close(deadline, answer)
        })
    }

    fn close(&self, deadline: Moment, answer: Answer) -> bool {
        let sent = {
            let _closed = self.door.write().unwrap_or_else(PoisonError::into_inner);
            self.told_before_end.get_or_init(|| self.known().lost);
            self.send(Command::Close { deadline, answer })
        };
        // The worker closes the ring too, and waits for threads that are writing to it. But it may be held up, and
        // what ends after this call is to be counted as such all the same.
        for _ in 0..CLOSE_TRIES {
            if self.recorder.ring().close() == 0 {
                break;
            }
            std::thread::yield_now();
        }
        sent
    }

    /// The pipelines behind a receiver, or behind the intake without a name.
    pub(super) fn route(&self, receiver: Option<usize>) -> Option<Arc<[PipelineId]>> {
        let route = match receiver {
            Some(receiver) => self.routes.receivers.get(receiver)?,
            None => &self.routes.any,
        };
        Some(route.clone()).filter(|route| !route.is_empty())
    }

    /// Hands a neighbour's request to the worker. `false` when the end has been called for: nothing of it was kept then.
    pub(super) fn offer(&self, segments: Vec<Segment>, route: Arc<[PipelineId]>) -> bool {
        let _open = self.door.read().unwrap_or_else(PoisonError::into_inner);
        if self.is_ending() {
            return false;
        }
        let spans: usize = segments.iter().map(Segment::spans).sum();
        let admitted = &self.arrivals.admitted;
        // Counted before the worker has it, and so before any report on the end.
        admitted.fetch_add(spans as u64, Ordering::Relaxed);
        let offered = Offered::new(segments, route, self.arrivals.turned_away.clone());
        let Err(back) = self.worker.send(Command::Offer(offered)) else {
            return true;
        };
        admitted.fetch_sub(spans as u64, Ordering::Relaxed);
        if let Command::Offer(offered) = *back {
            offered.recall();
        }
        false
    }

    /// Whether the end has been called for, or the worker is gone.
    pub(super) fn is_ending(&self) -> bool {
        self.told_before_end.get().is_some() || self.worker.has_ended()
    }

    fn send(&self, command: Command) -> bool {
        self.worker.send(command).is_ok()
    }

    pub(super) fn stats(&self) -> Stats {
        let settled = if worker::is_pipeline_thread() {
            None
        } else {
            wait::blocking(self, STATS, |_, answer| {
                self.send(Command::Account { answer })
            })
        };
        let settled = settled.or_else(|| self.last.get().cloned());
        Stats {
            own: self.account(),
            neighbours: self.arrivals.account(),
            lanes: settled.map_or_else(Vec::new, |settled| settled.lanes.lanes),
            memory: Some(self.limiter.usage()),
            wakes: self.bell.wakes() as u64,
        }
    }

    /// This program's own spans in this process. Those that were alive when it was forked off count as started here.
    pub(super) fn account(&self) -> RecorderAccount {
        let mut own = self.recorder.account();
        for ancestor in &self.ancestors {
            let forked = ancestor.account().dropped.get(DropReason::Forked);
            own.started = own.started.wrapping_add(forked);
            own.dropped.add(DropReason::Forked, forked);
        }
        own
    }

    /// What is known before a call.
    pub(super) fn known(&self) -> Known {
        Known {
            lost: self.told.load(Ordering::Relaxed),
        }
    }

    /// What can be said of an answer; without one, how the life ended, or that it is not known.
    pub(super) fn report(&self, settled: Option<Settled>, known: Known) -> Report {
        let Some(settled) = settled.or_else(|| self.last.get().cloned()) else {
            return Report {
                own: self.account(),
                neighbours: self.arrivals.account(),
                timed_out: true,
                names: self.names.clone(),
                ..Report::nothing()
            };
        };
        let own = self.account();
        let neighbours = self.arrivals.account();
        let stranded = if settled.is_last {
            let admitted = own.admitted.saturating_sub(own.overwritten);
            admitted.saturating_sub(settled.taken)
        } else {
            0
        };
        let lanes = settled.lanes.lanes.iter();
        let lost = own.dropped.total()
            + own.overwritten
            + neighbours.turned_away
            + stranded
            + lanes.map(|lane| lane.account.dropped.total()).sum::<u64>();
        let told = if settled.is_last {
            // Whoever asks for the end, and however often, is told the same.
            self.told_before_end.get().copied().unwrap_or(known.lost)
        } else {
            self.told.fetch_max(lost, Ordering::Relaxed);
            known.lost
        };
        Report {
            own,
            neighbours,
            lost: lost.saturating_sub(told),
            stranded,
            timed_out: settled.lanes.timed_out || stranded > 0,
            lanes: settled.lanes.lanes,
            names: self.names.clone(),
        }
    }
}
