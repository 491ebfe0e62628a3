//! The state machine of export: what is exported when, what is tried again, and what gives way. No thread, no clock, no I/O.
//!
//! The engine has no thread, reads no clock and does no I/O. Time is an argument; work comes out as a [`Step`]; what
//! became of it goes back in through a [`Reply`]. A worker thread, a superloop and a simulation drive the same code.
//!
//! ```text
//!  offer --> inlet (a queue for each door) --> stages --> log --+--> lane --> Step::Export --> exporter
//!              they take turns by bytes                         +--> lane --> Step::Export --> exporter
//! ```
//!
//! - What is admitted stays until every lane has settled it; memory is counted once, however many lanes there are.
//! - The log never keeps more than its bytes. When it is full, what lags gives way, and what is in flight does not.
//! - A lane that is stuck costs the others nothing.
//! - Every span is counted out exactly once, on every lane: see [`LaneAccount`].

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::iter;
use core::mem;
use core::task::Waker;
use core::time::Duration;

use crate::batch::{Batch, Segment};
use crate::clock::Moment;
use crate::exporter::{Outcome, Reply, Ticket};
use crate::limiter::{Account, Door, MemoryLimiter};

mod allowance;
mod chain;
mod guard;
mod inlet;
mod lane;
mod log;
mod offer;
mod pipe;
mod report;
mod retry;
mod settings;
mod trouble;

pub use chain::Stage;
pub use offer::{OfferError, Refusal};
pub use report::{ExporterId, FlushId, LaneAccount, LaneId, LaneReport, PipelineId, Report};
pub use retry::Retry;
pub use settings::{
    BuildError, EngineBuilder, ExporterSettings, LaneSettings, Overload, PipelineSettings,
};

pub(crate) use lane::Slack;
use lane::Terms;
use pipe::{Pipe, Target};
use retry::Jitter;

/// How often a segment that waits for the working reserve is offered again: bytes may outlive the batch they were in,
/// and nobody says when they go.
const STALL_TICK: Duration = Duration::from_millis(50);

/// Several pipelines and the exporters they share.
///
/// Its methods are of four kinds:
///
/// - **input**, what happens outside: [`offer`](Self::offer) a segment, [`complete`](Self::complete) an attempt whose
///   reply cannot speak for itself. Replies need no call: [`poll`](Self::poll) reads them.
/// - **commands**: [`flush`](Self::flush) and [`close`](Self::close). They return at once; how they ended comes out of
///   `poll`.
/// - **output**: [`poll`](Self::poll) says what to do next. Do it, and poll again until it says [`Step::Wait`].
/// - **getters**: [`account`](Self::account), [`admitted`](Self::admitted), [`bytes`](Self::bytes). They change nothing.
///
/// The rhythm: after every input and command, when the waker is woken, and at the moment that `Step::Wait` named, poll
/// until it says `Wait` again. `now` is the pipeline's monotonic clock and never goes back; polling too often costs
/// time and nothing else, polling late makes things late and loses nothing.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::batch::{Batcher, BatchLimits, Head, Segment};
/// use spanwire_core::clock::Moment;
/// use spanwire_core::engine::{Engine, ExporterSettings, LaneSettings, PipelineSettings, Step};
/// use spanwire_core::exporter::Outcome;
/// use spanwire_core::limiter::{Door, MemoryLimiter};
///
/// let limiter = MemoryLimiter::builder(32 << 20).build()?;
/// let mut builder = Engine::builder(&limiter);
/// let exporter = builder.exporter(ExporterSettings::default());
/// builder.pipeline(
///     PipelineSettings::new(16 << 20)
///         .door(Door::Own)
///         .stage(Batcher::new(BatchLimits::default()))
///         .lane(LaneSettings::new(exporter)),
/// );
/// let mut engine = builder.build()?;
///
/// // One span has ended at second 1.
/// let ended = Moment::from_nanos(1_000_000_000);
/// let body = [0x12, 2, 0x12, 0].as_slice().into();
/// engine.offer(Segment::new(Head::default(), body, 1, ended, Door::Own))?;
///
/// // The batcher waits until it is five seconds old.
/// let due = ended.saturating_add(Duration::from_secs(5));
/// assert!(matches!(engine.poll(ended), Step::Wait(Some(at)) if at == due));
///
/// let Step::Export { batch, reply, lane, .. } = engine.poll(due) else {
///     return Err("nothing to export".into());
/// };
/// assert_eq!(batch.spans(), 1);
/// drop(batch);
/// reply.done(Outcome::Exported);
///
/// assert!(matches!(engine.poll(due), Step::Wait(None)));
/// let account = engine.account(lane).ok_or("no such lane")?;
/// assert_eq!((account.admitted, account.exported), (1, 1));
/// assert!(account.balances());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Engine {
    pipes: Vec<Pipe>,
    outlets: Vec<Outlet>,
    /// Where each lane is: its pipeline, and its cursor there.
    lanes: Vec<(usize, usize)>,
    /// The lane that is asked first.
    turn: usize,
    reserve: Account,
    waker: Waker,
    tickets: u64,
    flushes: Vec<Call>,
    flush_count: usize,
    phase: Phase,
    /// What is to be said at the next polls.
    news: VecDeque<Step>,
    /// Answers for attempts of which nothing is known any more.
    late_replies: u64,
}

/// One exporter, as far as the engine knows it.
struct Outlet {
    settings: ExporterSettings,
    busy: usize,
}

impl Outlet {
    fn has_slot(&self) -> bool {
        self.busy < self.settings.concurrency.max(1)
    }
}

enum Phase {
    Open,
    Closing(Call),
    /// Closed at this deadline, or before it.
    Closed(Moment),
}

/// A flush or a close that has not ended.
struct Call {
    id: FlushId,
    deadline: Moment,
    targets: Vec<Target>,
    /// The spans that each lane had dropped when the call came.
    dropped: Vec<u64>,
}

/// What [`Engine::poll`] asks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// Hand this batch to this exporter, then poll again.
    ///
    /// If the exporter panics, say so through [`Engine::complete`].
    Export {
        /// The lane it was cut for.
        lane: LaneId,
        /// Where it goes.
        exporter: ExporterId,
        /// The name of the attempt.
        ticket: Ticket,
        /// What to export.
        batch: Batch,
        /// Where to say what became of it.
        reply: Reply,
    },
    /// A flush has ended.
    Flushed {
        /// What [`Engine::flush`] returned.
        flush: FlushId,
        /// How it ended.
        report: Report,
    },
    /// The close has ended. Exporters may be shut down now. Said once.
    Closed(Report),
    /// There is nothing to do before this moment; `None`: before the next call or wake-up.
    Wait(Option<Moment>),
}

impl Engine {
    /// Starts to make an engine. Edits and splits take their memory from the working reserve of `limiter`.
    #[must_use]
    pub fn builder(limiter: &MemoryLimiter) -> EngineBuilder {
        EngineBuilder::new(limiter.clone())
    }

    fn from_parts(parts: EngineBuilder) -> Self {
        let mut jitter = Jitter::new(parts.seed);
        let pipes: Vec<Pipe> = parts
            .pipelines
            .into_iter()
            .map(|settings| Pipe::new(settings, &mut jitter))
            .collect();
        let lanes = pipes
            .iter()
            .enumerate()
            .flat_map(|(pipe, each)| (0..each.lanes.len()).map(move |cursor| (pipe, cursor)));
        let outlets = parts
            .exporters
            .into_iter()
            .map(|settings| Outlet { settings, busy: 0 });
        Self {
            lanes: lanes.collect(),
            outlets: outlets.collect(),
            pipes,
            turn: 0,
            reserve: parts.limiter.reserve(),
            waker: parts.waker,
            tickets: 0,
            flushes: Vec::new(),
            flush_count: 0,
            phase: Phase::Open,
            news: VecDeque::new(),
            late_replies: 0,
        }
    }

    /// Offers a segment to every pipeline that its door leads to.
    ///
    /// It is admitted by all of them or by none. While one pipeline has room, those that have none let go of their
    /// oldest spans; only when none has room is the segment refused.
    ///
    /// # Errors
    ///
    /// [`OfferError`] hands the segment back, and says whether it is worth offering again.
    #[allow(clippy::result_large_err, reason = "the error hands the segment back")]
    pub fn offer(&mut self, segment: Segment) -> Result<(), OfferError> {
        self.offer_where(segment, |_| true)
    }

    /// As [`offer`](Self::offer), to those of these pipelines that its door leads to: what came through one of several
    /// receivers goes to the pipelines behind it.
    ///
    /// # Errors
    ///
    /// As of `offer`.
    #[allow(clippy::result_large_err, reason = "the error hands the segment back")]
    pub fn offer_to(
        &mut self,
        pipelines: &[PipelineId],
        segment: Segment,
    ) -> Result<(), OfferError> {
        self.offer_where(segment, |pipeline| pipelines.contains(&pipeline))
    }

    #[allow(clippy::result_large_err, reason = "the error hands the segment back")]
    fn offer_where(
        &mut self,
        segment: Segment,
        leads_to: impl Fn(PipelineId) -> bool,
    ) -> Result<(), OfferError> {
        if !matches!(self.phase, Phase::Open) {
            return Err(OfferError::new(segment, Refusal::Closed));
        }
        let door = segment.door();
        let takes = |(index, pipe): &(usize, &mut Pipe)| {
            pipe.serves(door) && leads_to(PipelineId::new(*index))
        };
        let mut refusal = Refusal::NoPipeline;
        let mut has_room = false;
        let mut at_ease = false;
        for (_, pipe) in self.pipes.iter_mut().enumerate().filter(takes) {
            let charge = pipe.charge(&segment);
            let room = pipe.has_room(door, charge);
            has_room |= room;
            at_ease |= room && pipe.is_at_ease(charge);
            if pipe.could_admit(door, charge) {
                refusal = Refusal::Full;
            } else if refusal == Refusal::NoPipeline {
                refusal = Refusal::TooLarge;
            }
        }
        if !has_room {
            return Err(OfferError::new(segment, refusal));
        }
        for (_, pipe) in self.pipes.iter_mut().enumerate().filter(takes) {
            if door == Door::Neighbours && at_ease {
                pipe.ease(pipe.charge(&segment));
            }
            pipe.admit(segment.clone());
        }
        Ok(())
    }

    /// Says what became of an attempt, for a reply that cannot: its exporter panicked, say.
    ///
    /// `false` when the attempt is settled already, or not known: the outcome is counted as a late reply then.
    pub fn complete(&mut self, ticket: Ticket, outcome: Outcome, now: Moment) -> bool {
        let closing = self.closing();
        let terms = Terms {
            now,
            closing,
            hurry: false,
            reserve: &self.reserve,
        };
        let mut lanes = self.pipes.iter_mut().flat_map(|pipe| &mut pipe.lanes);
        let known = lanes.find_map(|lane| lane.complete(ticket, outcome.clone(), &terms));
        if known.is_none() {
            self.late_replies += 1;
        }
        known.unwrap_or(false)
    }

    /// Starts to flush: batchers let go, back-off ends (what a server asked for stands), and what was offered before
    /// this call is exported.
    ///
    /// [`Step::Flushed`] comes when all of it is settled, or when `deadline` passes. Back-off ends once, for batches
    /// that wait when the flush is called; a batch that fails after that backs off as ever.
    pub fn flush(&mut self, deadline: Moment) -> FlushId {
        let id = FlushId::new(self.flush_count);
        self.flush_count += 1;
        let call = self.call(id, deadline);
        for pipe in &mut self.pipes {
            pipe.hurry();
        }
        self.flushes.push(call);
        id
    }

    /// Starts to close: nothing more is admitted, and every batch has one last attempt.
    ///
    /// [`Step::Closed`] comes when everything is settled, or when `deadline` passes; what is left then counts as
    /// [`ShutdownDeadline`](crate::stats::DropReason::ShutdownDeadline). A second call does nothing.
    pub fn close(&mut self, deadline: Moment) {
        if matches!(self.phase, Phase::Open) {
            let call = self.call(FlushId::new(self.flush_count), deadline);
            for pipe in &mut self.pipes {
                pipe.begin_close(deadline);
            }
            self.phase = Phase::Closing(call);
        }
    }

    /// What to do next, at `now`.
    pub fn poll(&mut self, now: Moment) -> Step {
        if let Some(step) = self.news.pop_front() {
            return step;
        }
        self.sweep(now);
        self.pump(now);
        self.end_calls(now);
        if let Some(step) = self.news.pop_front() {
            return step;
        }
        if let Some(step) = self.start(now) {
            return step;
        }
        Step::Wait(self.next_moment(now))
    }

    /// How much of this program's spans may come before there is anything to do with it. `first` is when the first span of
    /// what comes has ended, at the earliest; `None` where that is not known.
    pub(crate) fn slack(&self, now: Moment, first: Option<Moment>) -> Slack {
        let terms = Terms {
            now,
            closing: self.closing(),
            hurry: !self.flushes.is_empty(),
            reserve: &self.reserve,
        };
        let pipes = self.pipes.iter().filter(|pipe| pipe.serves(Door::Own));
        let slacks = pipes.flat_map(|pipe| {
            let terms = pipe.terms(terms);
            // Stages want to see what comes.
            let first = first.filter(|_| pipe.is_direct());
            let lanes = pipe.lanes.iter();
            lanes.map(move |lane| {
                let outlet = self.outlets.get(lane.settings.exporter.index());
                let has_slot = outlet.is_some_and(Outlet::has_slot);
                lane.slack(has_slot, &pipe.log, first, &terms)
            })
        });
        slacks.reduce(Slack::and).unwrap_or(Slack::NONE)
    }

    /// The account of a lane; `None` if another engine made the id.
    #[must_use]
    pub fn account(&self, lane: LaneId) -> Option<LaneAccount> {
        let (pipe, cursor) = *self.lanes.get(lane.index())?;
        let pipe = self.pipes.get(pipe)?;
        Some(pipe.account(pipe.lanes.get(cursor)?, cursor))
    }

    /// All lanes, in the order in which they were added.
    pub fn lanes(&self) -> impl Iterator<Item = LaneId> + use<> {
        (0..self.lanes.len()).map(LaneId::new)
    }

    /// The spans that a pipeline has admitted through a door.
    #[must_use]
    pub fn admitted(&self, pipeline: PipelineId, door: Door) -> u64 {
        self.pipes
            .get(pipeline.index())
            .map_or(0, |pipe| pipe.admitted(door))
    }

    /// The bytes in the log of a pipeline, with what is in front of it, in its stages, in flight and waiting to be sent
    /// again. Never more than the log was given.
    #[must_use]
    pub fn bytes(&self, pipeline: PipelineId) -> usize {
        self.pipes.get(pipeline.index()).map_or(0, Pipe::bytes)
    }

    /// Answers, in batches, for attempts of which the engine knows nothing any more. Answers that came too late for
    /// attempts it still knows are counted by their lanes.
    #[must_use]
    pub fn late_replies(&self) -> u64 {
        self.late_replies
    }

    /// Whether [`Step::Closed`] has been decided.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed(_))
    }

    /// A number that changes when spans are lost or an attempt fails, and when a lane that failed does well again.
    pub(crate) fn trouble(&self) -> u64 {
        self.pipes
            .iter()
            .fold(0, |sum, pipe| sum.wrapping_add(pipe.trouble()))
    }

    /// All accounts as they are now: nothing counts as lost, and whatever is left as not settled.
    #[must_use]
    pub fn report(&self) -> Report {
        self.report_on(
            &self.call(FlushId::new(self.flush_count), Moment::default()),
            false,
        )
    }

    fn closing(&self) -> Option<Moment> {
        match &self.phase {
            Phase::Open => None,
            Phase::Closing(call) => Some(call.deadline),
            Phase::Closed(deadline) => Some(*deadline),
        }
    }

    fn call(&self, id: FlushId, deadline: Moment) -> Call {
        let dropped = self.lanes().filter_map(|lane| self.account(lane));
        Call {
            id,
            deadline,
            targets: self.pipes.iter().map(Pipe::target).collect(),
            dropped: dropped.map(|account| account.dropped.total()).collect(),
        }
    }

    /// Reads what exporters have said and let go of.
    fn sweep(&mut self, now: Moment) {
        let terms = Terms {
            now,
            closing: self.closing(),
            hurry: !self.flushes.is_empty(),
            reserve: &self.reserve,
        };
        for pipe in &mut self.pipes {
            for lane in &mut pipe.lanes {
                let freed = lane.sweep(&mut pipe.log, &terms);
                if let Some(outlet) = self.outlets.get_mut(lane.settings.exporter.index()) {
                    outlet.busy = outlet.busy.saturating_sub(freed);
                }
            }
        }
    }

    /// Moves segments through the stages.
    fn pump(&mut self, now: Moment) {
        let terms = Terms {
            now,
            closing: self.closing(),
            hurry: !self.flushes.is_empty(),
            reserve: &self.reserve,
        };
        let outlets = &self.outlets;
        let has_slot =
            |exporter: ExporterId| outlets.get(exporter.index()).is_some_and(Outlet::has_slot);
        let closing = match &self.phase {
            Phase::Closing(call) => Some(call),
            _ => None,
        };
        for (index, pipe) in self.pipes.iter_mut().enumerate() {
            let calls = self.flushes.iter().chain(closing);
            let targets = calls.filter_map(|call| call.targets.get(index));
            pipe.pump(&has_slot, targets, &terms);
        }
        while pipe::is_idle(&self.pipes)
            && let Some(pipe) = self.pipes.iter_mut().find(|pipe| pipe.is_stalled())
        {
            pipe.give_up_stalled(&terms);
            pipe.pump(&has_slot, iter::empty(), &terms);
        }
    }

    /// Ends the close and the flushes that have come to their end.
    fn end_calls(&mut self, now: Moment) {
        if let Phase::Closing(call) = &mut self.phase {
            let done = settle(&self.pipes, call);
            if done || call.deadline <= now {
                let closed = Phase::Closed(call.deadline);
                if let Phase::Closing(call) = mem::replace(&mut self.phase, closed) {
                    self.end_close(&call, !done);
                }
            }
        }
        let mut index = 0;
        while let Some(call) = self.flushes.get_mut(index) {
            let done = settle(&self.pipes, call);
            if !done && call.deadline > now {
                index += 1;
                continue;
            }
            let call = self.flushes.remove(index);
            let report = self.report_on(&call, !done);
            self.news.push_back(Step::Flushed {
                flush: call.id,
                report,
            });
        }
    }

    /// Whatever is left now is lost. Flushes end before the close does.
    fn end_close(&mut self, call: &Call, timed_out: bool) {
        for pipe in &mut self.pipes {
            pipe.abandon();
        }
        for flush in mem::take(&mut self.flushes) {
            let report = self.report_on(&flush, timed_out);
            self.news.push_back(Step::Flushed {
                flush: flush.id,
                report,
            });
        }
        let report = self.report_on(call, timed_out);
        self.news.push_back(Step::Closed(report));
    }

    fn report_on(&self, call: &Call, timed_out: bool) -> Report {
        let lanes = self
            .lanes
            .iter()
            .enumerate()
            .filter_map(|(index, &(pipe, cursor))| {
                let each = self.pipes.get(pipe)?;
                let lane = each.lanes.get(cursor)?;
                let account = each.account(lane, cursor);
                let before = call.dropped.get(index).copied().unwrap_or_default();
                let settled = call
                    .targets
                    .get(pipe)
                    .is_some_and(|target| each.lane_has_settled(lane, target));
                Some(LaneReport {
                    lane: LaneId::new(index),
                    pipeline: PipelineId::new(pipe),
                    exporter: lane.settings.exporter,
                    lost: account.dropped.total().wrapping_sub(before),
                    unsettled: if settled {
                        0
                    } else {
                        account.buffered + account.in_flight
                    },
                    failing: lane.trouble.fails(),
                    last_failure: lane.trouble.said().cloned(),
                    account,
                })
            });
        Report {
            lanes: lanes.collect(),
            timed_out,
        }
    }

    /// Starts one attempt, on the next lane that has a batch and a slot.
    fn start(&mut self, now: Moment) -> Option<Step> {
        let terms = Terms {
            now,
            closing: self.closing(),
            hurry: !self.flushes.is_empty(),
            reserve: &self.reserve,
        };
        if matches!(self.phase, Phase::Closed(_)) {
            return None;
        }
        let count = self.lanes.len();
        for index in (self.turn..count).chain(0..self.turn.min(count)) {
            let Some(&(pipe, cursor)) = self.lanes.get(index) else {
                continue;
            };
            let Some(pipe) = self.pipes.get_mut(pipe) else {
                continue;
            };
            let terms = pipe.terms(terms);
            let Pipe { lanes, log, .. } = pipe;
            let Some(lane) = lanes.get_mut(cursor) else {
                continue;
            };
            let exporter = lane.settings.exporter;
            let Some(outlet) = self.outlets.get_mut(exporter.index()) else {
                continue;
            };
            if !outlet.has_slot() {
                continue;
            }
            let ticket = Ticket::from_number(self.tickets);
            let started = lane.start(log, ticket, outlet.settings.timeout, &self.waker, &terms);
            if let Some((batch, reply)) = started {
                self.tickets += 1;
                self.turn = (index + 1) % count;
                outlet.busy += 1;
                return Some(Step::Export {
                    lane: LaneId::new(index),
                    exporter,
                    ticket,
                    batch,
                    reply,
                });
            }
        }
        None
    }

    /// When something is to be done without being told.
    fn next_moment(&self, now: Moment) -> Option<Moment> {
        let mut next: Option<Moment> = None;
        let mut at = |moment: Option<Moment>| {
            next = match (next, moment) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        };
        let terms = Terms {
            now,
            closing: self.closing(),
            hurry: !self.flushes.is_empty(),
            reserve: &self.reserve,
        };
        for pipe in &self.pipes {
            let terms = pipe.terms(terms);
            at(pipe.due());
            if pipe.is_stalled() {
                at(Some(now.saturating_add(STALL_TICK)));
            }
            for lane in &pipe.lanes {
                let outlet = self.outlets.get(lane.settings.exporter.index());
                at(lane.next_moment(outlet.is_some_and(Outlet::has_slot), &pipe.log, &terms));
            }
        }
        for call in &self.flushes {
            at(Some(call.deadline));
        }
        if let Phase::Closing(call) = &self.phase {
            at(Some(call.deadline));
        }
        next
    }
}

/// Whether nothing the call covers is left to do.
fn settle(pipes: &[Pipe], call: &mut Call) -> bool {
    let mut done = true;
    for (pipe, target) in pipes.iter().zip(&mut call.targets) {
        done &= pipe.has_settled(target);
    }
    done
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accounts = self.lanes().filter_map(|lane| self.account(lane));
        f.debug_struct("Engine")
            .field("lanes", &accounts.collect::<Vec<_>>())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
