//! One pipeline: doors, stages, log and lanes, and what gives way when the log is full.

use alloc::vec::Vec;

use super::allowance::Allowance;
use super::chain::{Chain, Run, Stage, Yield, load_of};
use super::inlet::Inlet;
use super::lane::{Lane, Terms};
use super::log::{Load, Log};
use super::report::{ExporterId, LaneAccount};
use super::retry::Jitter;
use super::settings::{Overload, PipelineSettings, door_index};
use crate::batch::Segment;
use crate::clock::Moment;
use crate::limiter::Door;
use crate::stats::{DropReason, Dropped};

/// How far a flush or a close reaches into one pipeline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    /// The ends of the doors' queues at the call.
    inlet: [u64; 2],
    /// The end of the log when all of that had left the stages.
    log: Option<u64>,
}

pub(super) struct Pipe {
    limit: Allowance,
    /// Admission stops here, so that what processors make larger finds room.
    admits: Allowance,
    own_charge: usize,
    overload: Overload,
    doors: [bool; 2],
    inlet: Inlet,
    chain: Chain,
    pub(super) log: Log<Segment>,
    pub(super) lanes: Vec<Lane>,
    /// By door, in spans.
    admitted: [u64; 2],
    filtered: u64,
    /// Lost before they reached the lanes.
    dropped: Dropped,
}

impl Pipe {
    pub(super) fn new(settings: PipelineSettings, jitter: &mut Jitter) -> Self {
        let PipelineSettings {
            log_bytes,
            neighbours,
            own_charge,
            overload,
            doors,
            stages,
            lanes,
        } = settings;
        // In flight and waiting to be sent again: a quarter of the log, divided among the lanes so that none of them
        // can take the share of another.
        let edits = stages
            .iter()
            .any(|stage| matches!(stage, Stage::Processor(_)));
        let below = |bytes: usize| if edits { bytes - bytes / 8 } else { bytes };
        let (limit, admits) = match neighbours.map(|bytes| bytes.min(log_bytes)) {
            None => (
                Allowance::Whole(log_bytes),
                Allowance::Whole(below(log_bytes)),
            ),
            // What the neighbours' memory has granted finds room: their edits take the memory of what they replace.
            Some(bytes) => {
                let own = log_bytes - bytes;
                (
                    Allowance::Split([own, bytes]),
                    Allowance::Split([below(own), bytes]),
                )
            }
        };
        let share = limit.divided(4 * lanes.len());
        let log = Log::new(lanes.len());
        let lanes = lanes
            .into_iter()
            .enumerate()
            .map(|(cursor, lane)| Lane::new(lane, cursor, share, jitter.next()));
        Self {
            limit,
            admits,
            own_charge,
            overload,
            doors,
            inlet: Inlet::default(),
            chain: Chain::new(stages),
            log,
            lanes: lanes.collect(),
            admitted: [0; 2],
            filtered: 0,
            dropped: Dropped::default(),
        }
    }

    /// Whether what is admitted goes to the lanes as it is.
    pub(super) fn is_direct(&self) -> bool {
        self.chain.is_empty()
    }

    pub(super) fn serves(&self, door: Door) -> bool {
        self.doors[door_index(door)]
    }

    fn run<'a>(&self, terms: &Terms<'a>) -> Run<'a> {
        Run {
            now: terms.now,
            reserve: terms.reserve,
            own_charge: self.own_charge,
            lanes: self.lanes.len(),
        }
    }

    /// By door: the bytes kept, in flight and waiting to be sent again included.
    fn bytes_by_door(&self) -> [usize; 2] {
        let mut bytes = self.log.bytes();
        let held = self.chain.held();
        for (bytes, (held, waiting)) in bytes.iter_mut().zip(held.iter().zip(self.inlet.waiting()))
        {
            *bytes = bytes
                .saturating_add(held.bytes)
                .saturating_add(waiting.bytes);
        }
        bytes
    }

    /// The bytes kept, never more than the limit.
    pub(super) fn bytes(&self) -> usize {
        let [own, neighbours] = self.bytes_by_door();
        own.saturating_add(neighbours)
    }

    /// The account of a lane: its own part, and what it shares with the others.
    pub(super) fn account(&self, lane: &Lane, cursor: usize) -> LaneAccount {
        let mut account = lane.account();
        let spans = |loads: [Load; 2]| loads.iter().map(|load| load.spans).sum::<u64>();
        account.admitted = self.admitted.iter().sum();
        account.filtered = self.filtered;
        account.dropped.merge(&self.dropped);
        account.buffered =
            spans(self.inlet.waiting()) + spans(self.chain.held()) + self.log.backlog(cursor).spans;
        account
    }

    /// A number that changes when spans are lost or an attempt fails, and when a lane that failed does well again.
    pub(super) fn trouble(&self) -> u64 {
        let turn = |lane: &Lane| lane.trouble.turns().wrapping_add(lane.dropped());
        let turns = self.lanes.iter().map(turn);
        turns.fold(self.dropped.total(), u64::wrapping_add)
    }

    pub(super) fn admitted(&self, door: Door) -> u64 {
        self.admitted[door_index(door)]
    }

    /// The bytes this segment will count.
    pub(super) fn charge(&self, segment: &Segment) -> usize {
        load_of(segment, self.own_charge).bytes
    }

    /// Whether there is room for so many bytes more from this door, after lanes that lag and, if so configured, the
    /// oldest spans have given way.
    pub(super) fn has_room(&mut self, door: Door, charge: usize) -> bool {
        if !self.could_admit(door, charge) {
            return false;
        }
        if door == Door::Neighbours {
            // A lane that lags must not keep so much of the neighbours' memory that there is none for the others.
            while !self.is_at_ease(charge) {
                if self.skip_laggard() {
                    continue;
                }
                if let Allowance::Whole(_) = self.limit {
                    return false;
                }
                break;
            }
        }
        let last = match self.overload {
            Overload::DropNewest => None,
            Overload::DropOldest => Some(DropReason::Overwritten),
        };
        self.make_room(door, charge, self.admits, last)
    }

    /// Whether so many bytes from this door would find room if nothing else were there.
    pub(super) fn could_admit(&self, door: Door, charge: usize) -> bool {
        charge <= self.admits.most(door)
    }

    /// Whether neighbours would fill no more than half of what they may, with so many bytes more.
    pub(super) fn is_at_ease(&self, charge: usize) -> bool {
        if self.doors[0] || matches!(self.limit, Allowance::Split(_)) {
            let [_, backlog] = self.bytes_by_door();
            return backlog.saturating_add(charge) <= self.limit.most(Door::Neighbours) / 2;
        }
        true
    }

    /// Lets neighbours have so many bytes more at the cost of the oldest spans: another pipeline has come further, and
    /// both keep the same memory.
    pub(super) fn ease(&mut self, charge: usize) {
        // What lanes have in flight does not give way, and where it fills more than half nothing would be won.
        let held = self.lanes.iter().map(|lane| lane.held(Door::Neighbours));
        if held.sum::<usize>() > self.limit.most(Door::Neighbours) / 2 {
            return;
        }
        while !self.is_at_ease(charge) && self.drop_oldest(DropReason::LaneLag) {}
    }

    /// Makes room under `limit` by skipping what lags, then, with a reason for it, by dropping the oldest. What is in
    /// flight or waits to be sent again is never taken.
    fn make_room(
        &mut self,
        door: Door,
        charge: usize,
        limit: Allowance,
        last: Option<DropReason>,
    ) -> bool {
        while limit.left(door, self.bytes_by_door()) < charge {
            if self.skip_laggard() {
                continue;
            }
            let Some(reason) = last else {
                return false;
            };
            if !self.drop_oldest(reason) {
                return false;
            }
        }
        true
    }

    fn skip_laggard(&mut self) -> bool {
        let Some(cursor) = self.log.laggard() else {
            return false;
        };
        self.skip(cursor, DropReason::LaneLag)
    }

    fn skip(&mut self, cursor: usize, reason: DropReason) -> bool {
        let Some(load) = self.log.skip(cursor) else {
            return false;
        };
        if let Some(lane) = self.lanes.get_mut(cursor) {
            lane.drop_uncut(reason, load.spans);
        }
        true
    }

    fn drop_oldest(&mut self, reason: DropReason) -> bool {
        if self.log.has_backlog() {
            let lanes = 0..self.lanes.len();
            let oldest = lanes.clone().map(|lane| self.log.cursor(lane)).min();
            for lane in lanes {
                if Some(self.log.cursor(lane)) == oldest {
                    self.skip(lane, reason);
                }
            }
            return true;
        }
        let held: u64 = self.chain.held().iter().map(|held| held.spans).sum();
        if held > 0 {
            self.dropped.add(reason, self.chain.clear());
            return true;
        }
        match self.inlet.pop_largest() {
            Some((_, load)) => {
                self.dropped.add(reason, load.spans);
                true
            }
            None => false,
        }
    }

    /// Takes a segment. `has_room` has said yes, or this pipeline is the one that gives way to others.
    pub(super) fn admit(&mut self, segment: Segment) {
        let load = load_of(&segment, self.own_charge);
        let door = segment.door();
        self.admitted[door_index(door)] += load.spans;
        if let Some(ack) = segment.ack() {
            ack.expect(segment.spans().saturating_mul(self.lanes.len()));
        }
        if self.make_room(door, load.bytes, self.admits, Some(DropReason::LaneLag)) {
            self.inlet.push(segment, load);
        } else {
            self.dropped.add(DropReason::LaneLag, load.spans);
        }
    }

    /// Moves segments through the stages into the log, as far as lanes that may start a batch have use for them.
    pub(super) fn pump<'t>(
        &mut self,
        has_slot: &dyn Fn(ExporterId) -> bool,
        mut targets: impl Iterator<Item = &'t Target>,
        terms: &Terms<'_>,
    ) {
        let run = self.run(terms);
        let mut out = self.yields();
        self.chain.tick(&run, &mut out);
        self.absorb(&mut out);
        // A lane that is stuck must not keep edited segments, and with them the reserve, from one that is not.
        while self.chain.is_stalled() && self.skip_laggard() {
            self.chain.tick(&run, &mut out);
            self.absorb(&mut out);
        }
        while !self.chain.is_stalled() && self.is_hungry(has_slot) {
            let Some((segment, load)) = self.inlet.pop() else {
                break;
            };
            out.room.give(segment.door(), load.bytes);
            self.chain.feed(segment, &run, &mut out);
            self.absorb(&mut out);
        }
        if targets.any(|target| self.must_force(target)) || self.is_crowded() {
            self.chain.force(&run, &mut out);
            self.absorb(&mut out);
        }
    }

    /// Half a log is backlog enough: waiting for fuller batches would only fill it up.
    fn is_crowded(&self) -> bool {
        self.bytes() > self.limit.total() / 2
    }

    /// The terms for lanes of this pipeline.
    pub(super) fn terms<'a>(&self, terms: Terms<'a>) -> Terms<'a> {
        let hurry = terms.hurry || self.is_crowded();
        Terms { hurry, ..terms }
    }

    /// An empty yield; stages may come to hold what is left of the log.
    fn yields(&self) -> Yield {
        Yield::with_room(self.limit.after(self.bytes_by_door()))
    }

    fn is_hungry(&self, has_slot: &dyn Fn(ExporterId) -> bool) -> bool {
        self.lanes.iter().enumerate().any(|(cursor, lane)| {
            has_slot(lane.settings.exporter)
                && lane.has_share()
                && self.log.backlog(cursor).len < lane.max_bytes()
        })
    }

    fn absorb(&mut self, out: &mut Yield) {
        self.filtered += out.filtered;
        self.dropped.merge(&out.dropped);
        let last = match self.overload {
            Overload::DropNewest => None,
            Overload::DropOldest => Some(DropReason::Overwritten),
        };
        for segment in out.segments.drain(..) {
            let load = load_of(&segment, self.own_charge);
            // An edit may have made it larger.
            let door = segment.door();
            if self.make_room(door, load.bytes, self.limit, last) {
                self.log.push(segment, load, door);
            } else {
                self.dropped.add(DropReason::NoRoom, load.spans);
            }
        }
        *out = self.yields();
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.chain.is_stalled()
    }

    /// Gives up on a segment for which the reserve has no room though nothing is left that could be sent.
    pub(super) fn give_up_stalled(&mut self, terms: &Terms<'_>) {
        let run = self.run(terms);
        let mut out = self.yields();
        self.chain.give_up(&run, &mut out);
        self.absorb(&mut out);
    }

    /// When a batcher lets go of what it holds back.
    pub(super) fn due(&self) -> Option<Moment> {
        self.chain.due()
    }

    /// Everything offered until now.
    pub(super) fn target(&self) -> Target {
        Target {
            inlet: self.inlet.end(),
            log: None,
        }
    }

    /// Whether batchers must let go for the sake of this target: all of it has come in, and some has not gone on.
    fn must_force(&self, target: &Target) -> bool {
        target.log.is_none() && self.inlet.is_past(target.inlet)
    }

    /// Whether nothing the target covers is left to do.
    pub(super) fn has_settled(&self, target: &mut Target) -> bool {
        if target.log.is_none() {
            let held: u64 = self.chain.held().iter().map(|held| held.spans).sum();
            if !self.inlet.is_past(target.inlet) || held > 0 {
                return false;
            }
            target.log = Some(self.log.end());
        }
        target.log.is_some_and(|end| {
            self.lanes
                .iter()
                .all(|lane| lane.has_settled(&self.log, end))
        })
    }

    /// Whether this lane has nothing left to do that the target covers.
    pub(super) fn lane_has_settled(&self, lane: &Lane, target: &Target) -> bool {
        target
            .log
            .is_some_and(|end| lane.has_settled(&self.log, end))
    }

    /// Ends all back-off.
    pub(super) fn hurry(&mut self) {
        for lane in &mut self.lanes {
            lane.hurry(u64::MAX);
        }
    }

    pub(super) fn begin_close(&mut self, deadline: Moment) {
        for lane in &mut self.lanes {
            lane.begin_close(&mut self.log, deadline);
        }
    }

    /// The deadline of the close has passed: whatever is left is lost.
    pub(super) fn abandon(&mut self) {
        let mut spans = self.chain.clear();
        while let Some((_, load)) = self.inlet.pop() {
            spans += load.spans;
        }
        self.dropped.add(DropReason::ShutdownDeadline, spans);
        for lane in &mut self.lanes {
            lane.abandon(&mut self.log);
        }
    }
}

/// Whether the reserve could serve anyone: nothing that was edited is on its way.
pub(super) fn is_idle(pipes: &[Pipe]) -> bool {
    pipes.iter().all(|pipe| pipe.log.bytes() == [0; 2])
}
