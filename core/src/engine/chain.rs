//! The stages of a pipeline, in order.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use super::allowance::Allowance;
use super::guard::{Panicked, guarded};
use super::log::Load;
use super::settings::door_index;
use crate::batch::{Batcher, Segment};
use crate::clock::Moment;
use crate::limiter::{Account, Door, OVERHEAD};
use crate::processor::{Edit, Later, Processor};
use crate::stats::{DropReason, Dropped};

/// One stage of a pipeline: what changes segments, or what waits until there are enough of them.
#[non_exhaustive]
pub enum Stage {
    /// Holds segments back until they make a batch.
    Batcher(Batcher),
    /// Changes or drops segments.
    Processor(Box<dyn Processor>),
}

impl From<Batcher> for Stage {
    fn from(batcher: Batcher) -> Self {
        Self::Batcher(batcher)
    }
}

impl From<Box<dyn Processor>> for Stage {
    fn from(processor: Box<dyn Processor>) -> Self {
        Self::Processor(processor)
    }
}

impl<P: Processor + 'static> From<P> for Stage {
    fn from(processor: P) -> Self {
        Self::Processor(Box::new(processor))
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batcher(batcher) => f.debug_tuple("Batcher").field(batcher.limits()).finish(),
            Self::Processor(processor) => {
                f.debug_tuple("Processor").field(&processor.name()).finish()
            }
        }
    }
}

/// What stages need to know of the world.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) now: Moment,
    pub(super) reserve: &'a Account,
    /// See [`PipelineSettings::own_charge`](super::PipelineSettings::own_charge).
    pub(super) own_charge: usize,
    /// How many lanes are behind the stages.
    pub(super) lanes: usize,
}

/// What left the last stage, and what did not.
pub(super) struct Yield {
    /// The bytes that stages may come to hold beyond what they hold; what they let go is added, what left is taken off.
    pub(super) room: Allowance,
    pub(super) segments: Vec<Segment>,
    pub(super) filtered: u64,
    pub(super) dropped: Dropped,
}

impl Yield {
    /// Nothing yet, with room for so much.
    pub(super) fn with_room(room: Allowance) -> Self {
        Self {
            room,
            segments: Vec::new(),
            filtered: 0,
            dropped: Dropped::default(),
        }
    }
}

/// The bytes of memory and the spans that a segment stands for.
pub(super) fn load_of(segment: &Segment, own_charge: usize) -> Load {
    let least = match segment.door() {
        Door::Own => own_charge,
        Door::Neighbours => 0,
    };
    Load {
        bytes: segment.body_len().max(least).saturating_add(OVERHEAD),
        len: segment.body_len(),
        spans: segment.spans() as u64,
    }
}

/// The stages of one pipeline.
pub(super) struct Chain {
    stages: Vec<Room>,
}

/// One stage, and what is in it.
struct Room {
    stage: Stage,
    /// Segments that wait for the working reserve; what comes after them waits behind them.
    stalled: VecDeque<Segment>,
    /// What a batcher holds back, segment by segment. It lets them go in order, some of them in pieces.
    queue: VecDeque<(Door, Load)>,
    /// By door: what is stalled or held back.
    held: [Load; 2],
}

impl Room {
    /// Whether there is room for a segment, which then counts as held.
    fn hold(&mut self, door: Door, load: Load, out: &mut Yield) -> bool {
        if !out.room.take(door, load.bytes) {
            // An edit has made it larger, or a cut has made two of one.
            out.dropped.add(DropReason::NoRoom, load.spans);
            return false;
        }
        self.held[door_index(door)] += load;
        true
    }

    fn let_go(&mut self, door: Door, load: Load, out: &mut Yield) {
        self.held[door_index(door)] -= load;
        out.room.give(door, load.bytes);
    }

    /// The batcher has let go of so many spans: what they were when they came in is held no more. A piece takes its own
    /// bytes along, the last one whatever is left.
    fn let_go_first(&mut self, piece: Load, out: &mut Yield) {
        let mut spans = piece.spans;
        while let Some((door, load)) = self.queue.front_mut() {
            let part = if load.spans <= spans {
                *load
            } else {
                Load {
                    bytes: load.bytes.min(piece.bytes),
                    len: load.len.min(piece.len),
                    spans,
                }
            };
            *load -= part;
            spans -= part.spans;
            let (door, is_gone) = (*door, load.spans == 0);
            self.let_go(door, part, out);
            if !is_gone {
                return;
            }
            self.queue.pop_front();
            if spans == 0 {
                return;
            }
        }
    }
}

impl Chain {
    pub(super) fn new(stages: Vec<Stage>) -> Self {
        let stages = stages.into_iter().map(|stage| Room {
            stage,
            stalled: VecDeque::new(),
            queue: VecDeque::new(),
            held: [Load::default(); 2],
        });
        Self {
            stages: stages.collect(),
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// What is inside the stages, by door.
    pub(super) fn held(&self) -> [Load; 2] {
        let mut sum = [Load::default(); 2];
        for room in &self.stages {
            for (sum, held) in sum.iter_mut().zip(room.held) {
                *sum += held;
            }
        }
        sum
    }

    /// Whether a segment waits for the working reserve.
    pub(super) fn is_stalled(&self) -> bool {
        self.stages.iter().any(|room| !room.stalled.is_empty())
    }

    /// When a batcher lets go of what it holds back.
    pub(super) fn due(&self) -> Option<Moment> {
        let due = |room: &Room| match &room.stage {
            Stage::Batcher(batcher) => batcher.due(),
            Stage::Processor(_) => None,
        };
        self.stages.iter().filter_map(due).min()
    }

    /// Sends a segment through all stages.
    pub(super) fn feed(&mut self, segment: Segment, run: &Run<'_>, out: &mut Yield) {
        self.enter(0, segment, run, out);
    }

    /// Lets batchers look at the time, and stalled segments at the reserve.
    pub(super) fn tick(&mut self, run: &Run<'_>, out: &mut Yield) {
        for at in 0..self.stages.len() {
            self.resume(at, run, out);
            self.drain(at, false, run, out);
        }
    }

    /// Lets go of everything but stalled segments, ready or not.
    pub(super) fn force(&mut self, run: &Run<'_>, out: &mut Yield) {
        for at in 0..self.stages.len() {
            self.resume(at, run, out);
            self.drain(at, true, run, out);
        }
    }

    /// Gives up on the first stalled segment.
    pub(super) fn give_up(&mut self, run: &Run<'_>, out: &mut Yield) {
        let stalled = self.stages.iter_mut().find(|room| !room.stalled.is_empty());
        if let Some(room) = stalled
            && let Some(segment) = room.stalled.pop_front()
        {
            room.let_go(segment.door(), load_of(&segment, run.own_charge), out);
            out.dropped.add(DropReason::NoRoom, segment.spans() as u64);
        }
    }

    /// Drops everything inside; returns the spans.
    pub(super) fn clear(&mut self) -> u64 {
        let mut spans = 0;
        for room in &mut self.stages {
            spans += room.held.iter().map(|held| held.spans).sum::<u64>();
            room.stalled.clear();
            room.queue.clear();
            room.held = [Load::default(); 2];
            if let Stage::Batcher(batcher) = &mut room.stage {
                *batcher = Batcher::new(*batcher.limits());
            }
        }
        spans
    }

    /// A segment arrives at a stage; past the last one it is out.
    fn enter(&mut self, at: usize, segment: Segment, run: &Run<'_>, out: &mut Yield) {
        let (door, load) = (segment.door(), load_of(&segment, run.own_charge));
        let Some(room) = self.stages.get_mut(at) else {
            // It is counted, or dropped, where it is taken in.
            if !out.room.take(door, load.bytes) {
                out.room.take(door, out.room.most(door));
            }
            out.segments.push(segment.passed(run.lanes));
            return;
        };
        match &mut room.stage {
            Stage::Batcher(_) => {
                if room.hold(door, load, out) {
                    room.queue.push_back((door, load));
                    if let Stage::Batcher(batcher) = &mut room.stage {
                        batcher.push(segment.passed(run.lanes));
                    }
                    self.drain(at, false, run, out);
                }
            }
            Stage::Processor(_) if !room.stalled.is_empty() => {
                if room.hold(door, load, out) {
                    room.stalled.push_back(segment);
                }
            }
            Stage::Processor(processor) => {
                let mut emitted = Vec::new();
                let result = process(processor.as_mut(), segment, run, &mut emitted, out);
                if let Err(Later(segment)) = result
                    && room.hold(door, load, out)
                {
                    room.stalled.push_back(segment);
                }
                for segment in emitted {
                    self.enter(at + 1, segment, run, out);
                }
            }
        }
    }

    /// Offers stalled segments again.
    fn resume(&mut self, at: usize, run: &Run<'_>, out: &mut Yield) {
        while let Some(room) = self.stages.get_mut(at) {
            let Stage::Processor(processor) = &mut room.stage else {
                return;
            };
            let Some(segment) = room.stalled.pop_front() else {
                return;
            };
            let mut emitted = Vec::new();
            let (door, load) = (segment.door(), load_of(&segment, run.own_charge));
            if let Err(Later(segment)) =
                process(processor.as_mut(), segment, run, &mut emitted, out)
            {
                room.stalled.push_front(segment);
                return;
            }
            room.let_go(door, load, out);
            for segment in emitted {
                self.enter(at + 1, segment, run, out);
            }
        }
    }

    /// Moves what a batcher lets go of to the next stage.
    fn drain(&mut self, at: usize, all: bool, run: &Run<'_>, out: &mut Yield) {
        while let Some(room) = self.stages.get_mut(at) {
            let Stage::Batcher(batcher) = &mut room.stage else {
                return;
            };
            let batch = if all {
                batcher.take(run.reserve)
            } else {
                batcher.next(run.now, run.reserve)
            };
            let Some(batch) = batch else {
                return;
            };
            let segments = batch.into_segments();
            for segment in &segments {
                room.let_go_first(load_of(segment, run.own_charge), out);
            }
            for segment in segments {
                self.enter(at + 1, segment, run, out);
            }
        }
    }
}

/// Calls a processor, and sees to it that every span of the segment is counted once, whatever it says.
fn process(
    processor: &mut dyn Processor,
    segment: Segment,
    run: &Run<'_>,
    emitted: &mut Vec<Segment>,
    out: &mut Yield,
) -> Result<(), Later> {
    let given = segment.spans();
    let (ack, client) = (segment.ack().cloned(), segment.client().cloned());
    let filtered_before = out.filtered;
    let mut emit = |segment: Segment| {
        if segment.spans() > 0 {
            // Whatever it made the segment of: who waits for the spans waits for these, and has sent these.
            let segment = match &ack {
                Some(ack) if segment.ack().is_none() => segment.with_ack(ack.clone()),
                _ => segment,
            };
            emitted.push(match &client {
                Some(client) if segment.client().is_none() => {
                    segment.with_client(Some(client.clone()))
                }
                _ => segment,
            });
        }
    };
    let mut edit = Edit::new(run.reserve, &mut emit);
    let result = guarded(|| processor.process(segment, &mut edit));
    let (filtered, dropped) = (edit.filtered(), *edit.dropped());
    let panicked = match result {
        Ok(Ok(())) => false,
        // As promised: nothing was emitted, and the segment is whole.
        Ok(Err(Later(segment))) if segment.spans() == given => {
            emitted.clear();
            return Err(Later(segment));
        }
        Ok(Err(Later(_))) => {
            emitted.clear();
            true
        }
        Err(Panicked) => true,
    };
    let mut left = given as u64;
    emitted.retain(|segment| match left.checked_sub(segment.spans() as u64) {
        Some(less) => {
            left = less;
            true
        }
        // More than it was given.
        None => false,
    });
    for (reason, spans) in dropped.iter() {
        let spans = spans.min(left);
        left -= spans;
        out.dropped.add(reason, spans);
        if let (DropReason::ConditionFailed, Some(ack)) = (reason, &ack) {
            let spans = usize::try_from(spans).unwrap_or(usize::MAX);
            ack.fail(spans.saturating_mul(run.lanes));
        }
    }
    if panicked {
        let filtered = filtered.min(left);
        out.filtered += filtered;
        out.dropped.add(DropReason::Panicked, left - filtered);
    } else {
        // What it says nothing about, it has taken out.
        out.filtered += left;
    }
    if let Some(ack) = ack {
        let filtered = usize::try_from(out.filtered - filtered_before).unwrap_or(usize::MAX);
        ack.deliver(filtered.saturating_mul(run.lanes));
    }
    Ok(())
}
