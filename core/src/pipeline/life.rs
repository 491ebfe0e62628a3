//! One life of a pipeline in one process, and the lives it has in forked children.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use super::build::Blueprint;
use super::intake::Arrivals;
use super::report::{Report, Stats};
use super::{InvalidPipeline, wait};
use crate::clock::Moment;
use crate::fork;
use crate::limiter::{MemoryLimiter, Permit};
use crate::recorder::{Origin, Recorder};
use crate::resource::InstrumentationScope;
use crate::sampler::Sampler;
use crate::worker::{self, Answer, Bell, Command, Handle, Settled};

/// How many forks a pipeline follows, one inside the other.
const FORKS: usize = 8;

/// How long `stats` waits for the worker.
const STATS: Duration = Duration::from_secs(1);

/// The lives of a pipeline: one in the process that built it, and one in each forked child that uses it.
///
/// Each process writes a place that none of its ancestors touches, so a lock of such a place is never inherited held.
pub(super) struct Lives {
    blueprint: Blueprint,
    generation: usize,
    first: Arc<Life>,
    children: [OnceLock<Option<Arc<Life>>>; FORKS],
}

impl Lives {
    pub(super) fn begin(blueprint: Blueprint) -> Result<Self, InvalidPipeline> {
        fork::watch();
        let first = Arc::new(blueprint.live()?);
        Ok(Self {
            blueprint,
            generation: fork::generation(),
            first,
            children: [const { OnceLock::new() }; FORKS],
        })
    }

    /// The life in the process that built the pipeline.
    pub(super) fn first(&self) -> &Arc<Life> {
        &self.first
    }

    /// The life in this process, begun if need be. `None` where there can be none.
    pub(super) fn now(&self) -> Option<&Arc<Life>> {
        match fork::generation().wrapping_sub(self.generation) {
            0 => Some(&self.first),
            forks => self
                .children
                .get(forks - 1)?
                .get_or_init(|| self.blueprint.relive().map(Arc::new))
                .as_ref(),
        }
    }

    pub(super) fn sampler(&self) -> Arc<dyn Sampler> {
        self.blueprint.sampler.clone()
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        let forks = fork::generation().wrapping_sub(self.generation);
        let mine = match forks {
            0 => Some(self.first.clone()),
            forks => self
                .children
                .get(forks - 1)
                .and_then(|life| life.get().cloned().flatten()),
        };
        if let Some(life) = mine {
            let _ = life.shutdown(self.blueprint.shutdown_timeout);
        }
        if forks > 0 {
            // What a process inherited is the parent's: dropping it could wait for a lock that some thread of the
            // parent held at the fork.
            core::mem::forget(self.first.clone());
            for life in self.children.iter_mut().take(forks - 1) {
                core::mem::forget(life.take());
            }
        }
    }
}

/// One life of a pipeline.
pub(super) struct Life {
    recorder: Arc<Recorder>,
    limiter: MemoryLimiter,
    worker: Handle,
    bell: Arc<Bell>,
    scopes: Mutex<Vec<(Bytes, Arc<Origin>)>>,
    pub(super) arrivals: Arrivals,
    /// Spans lost at the door, and stranded, that a report has told of.
    told: AtomicU64,
    /// How the life ended.
    last: Arc<OnceLock<Settled>>,
    /// The recorder's memory, granted once.
    _own: Permit,
}

impl Life {
    pub(super) fn new(
        recorder: Arc<Recorder>,
        limiter: MemoryLimiter,
        own: Permit,
        worker: Handle,
        bell: Arc<Bell>,
    ) -> Self {
        Self {
            recorder,
            arrivals: Arrivals::new(&limiter),
            limiter,
            worker,
            bell,
            scopes: Mutex::new(Vec::new()),
            told: AtomicU64::new(0),
            last: Arc::new(OnceLock::new()),
            _own: own,
        }
    }

    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Where spans of a scope come from: the same for all tracers of equal scopes.
    pub(super) fn origin(&self, scope: &InstrumentationScope) -> Arc<Origin> {
        let mut scopes = self.scopes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, origin)) = scopes.iter().find(|(bytes, _)| bytes == scope.bytes()) {
            return origin.clone();
        }
        let number = self.recorder.next_scope();
        let origin = Arc::new(Origin::shared(
            self.recorder.clone(),
            number,
            scope.bytes().clone(),
        ));
        scopes.push((scope.bytes().clone(), origin.clone()));
        origin
    }

    pub(super) fn deadline(&self, timeout: Duration) -> Moment {
        self.recorder.moment().saturating_add(timeout)
    }

    pub(super) fn flush(&self, deadline: Moment, answer: Answer) -> bool {
        self.send(Command::Flush { deadline, answer })
    }

    pub(super) fn close(&self, deadline: Moment, answer: Answer) -> bool {
        let last = self.last.clone();
        let answer: Answer = Box::new(move |settled: Settled| {
            let _ = last.set(settled.clone());
            answer(settled);
        });
        self.send(Command::Close { deadline, answer })
    }

    /// Hands a segment of a neighbour to the worker. `false` when it has ended.
    pub(super) fn offer(&self, segment: crate::batch::Segment) -> bool {
        self.worker.send(Command::Offer(segment)).is_ok()
    }

    fn send(&self, command: Command) -> bool {
        self.worker.send(command).is_ok()
    }

    pub(super) fn shutdown(&self, timeout: Duration) -> Report {
        if worker::is_pipeline_thread() {
            let _ = self.close(self.deadline(timeout), Box::new(|_| {}));
            return self.unanswered();
        }
        let settled = wait::blocking(
            timeout,
            |deadline, answer| self.close(deadline, answer),
            self,
        );
        settled.map_or_else(|| self.unanswered(), |settled| self.report(settled))
    }

    pub(super) fn stats(self: &Arc<Self>) -> Stats {
        let ask = |_, answer| self.send(Command::Account { answer });
        let lanes = if worker::is_pipeline_thread() {
            Vec::new()
        } else {
            wait::blocking(STATS, ask, self)
                .or_else(|| self.last.get().cloned())
                .map_or_else(Vec::new, |settled| settled.lanes.lanes)
        };
        Stats {
            own: self.recorder.account(),
            neighbours: self.arrivals.account(),
            lanes,
            memory: Some(self.limiter.usage()),
            wakes: self.bell.wakes() as u64,
        }
    }

    /// What can be said of an answer.
    pub(super) fn report(&self, settled: Settled) -> Report {
        let own = self.recorder.account();
        let lost = own.dropped.total() + own.overwritten + settled.turned_away;
        let before = self.told.swap(lost, Ordering::Relaxed);
        let mut neighbours = self.arrivals.account();
        neighbours.turned_away = settled.turned_away;
        Report {
            own,
            neighbours,
            lost: lost.saturating_sub(before) + settled.lanes.lost() + settled.stranded,
            stranded: settled.stranded,
            timed_out: settled.lanes.timed_out || settled.stranded > 0,
            lanes: settled.lanes.lanes,
        }
    }

    /// What can be said without the worker's answer: how its life ended, or that it is not known.
    pub(super) fn unanswered(&self) -> Report {
        match self.last.get() {
            Some(settled) => self.report(settled.clone()),
            None => Report {
                own: self.recorder.account(),
                neighbours: self.arrivals.account(),
                timed_out: true,
                ..Report::default()
            },
        }
    }

    /// Whether the worker has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.worker.has_ended()
    }
}
