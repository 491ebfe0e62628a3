//! The thread that drives a pipeline: it takes sealed blocks, asks the engine, and hands batches to exporters.
//!
//! One thread a pipeline, named `spanwire`, and one more for each exporter that may wait. All are silenced, so that a
//! pipeline never traces itself. An idle pipeline sleeps until a block is opened; with a block open it wakes when
//! that block is due, or when one is sealed. While the lanes wait for company it sleeps through all blocks but the last
//! that they have to wait for.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use crate::batch::{Head, Segment};
use crate::clock::Moment;
use crate::current;
use crate::engine::{Engine, FlushId, PipelineId, Report as LanesReport, Step};
use crate::exporter::{Exporter, Outcome};
use crate::limiter::Door;
use crate::recorder::Recorder;
use crate::ring::{CROWDED, Sealed, Which};

mod bell;
mod guard;
mod hands;
mod watch;

pub(crate) use self::bell::Bell;
use self::bell::Sleep;
pub(crate) use self::guard::contained;
use self::hands::Hands;
pub(crate) use self::hands::is_pipeline_thread;
pub(crate) use self::watch::Onlooker;
use self::watch::Watch;

/// How long the worker waits for a thread that is writing to a shard it wants to seal.
const SHARD_WAIT: Duration = Duration::from_micros(50);

/// How long it waits at most before it looks again at a shard that it would only have looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// After a turn that took several blocks, more of them are expected for so long.
const SPELL: Duration = Duration::from_millis(100);

/// A shorter doze is not worth waking by oneself.
const LEAST_DOZE: Duration = Duration::from_millis(10);

/// How long it waits at most for threads that are writing while everything ends.
const LAST_WAIT: Duration = Duration::from_millis(100);

/// What the worker is asked.
pub(crate) enum Command {
    /// Export what has ended by now.
    Flush { deadline: Moment, answer: Answer },
    /// Export what there is, and end.
    Close { deadline: Moment, answer: Answer },
    /// Say how things stand.
    Account { answer: Answer },
    /// Take in what a neighbour sent.
    Offer(Offered),
}

/// What a neighbour sent, on its way to the engine. If it does not arrive there, its spans are counted.
pub(crate) struct Offered {
    segments: Vec<Segment>,
    route: Arc<[PipelineId]>,
    turned_away: Arc<AtomicU64>,
}

impl Offered {
    pub(crate) fn new(
        segments: Vec<Segment>,
        route: Arc<[PipelineId]>,
        turned_away: Arc<AtomicU64>,
    ) -> Self {
        Self {
            segments,
            route,
            turned_away,
        }
    }

    /// Lets go of the segments, which are no longer on their way.
    pub(crate) fn recall(mut self) {
        self.segments.clear();
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        for segment in &self.segments {
            // Who waits for the request is not told of the rest alone.
            if let Some(ack) = segment.ack() {
                ack.expect(segment.spans());
            }
        }
        let spans: usize = self.segments.iter().map(Segment::spans).sum();
        self.turned_away.fetch_add(spans as u64, Ordering::Relaxed);
    }
}

/// Takes the answer to a command, once, on the worker's thread.
pub(crate) type Answer = Box<dyn FnOnce(Settled) + Send>;

/// The answer to a command.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) lanes: LanesReport,
    /// This program's spans that have come from the ring to the lanes.
    pub(crate) taken: u64,
    /// Nothing follows: what is in the ring stays there.
    pub(crate) is_last: bool,
}

/// What the worker needs.
pub(crate) struct Parts {
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) engine: Engine,
    pub(crate) exporters: Vec<Box<dyn Exporter>>,
    pub(crate) head: Head,
    /// How old the first span of an open block may become.
    pub(crate) delay: Duration,
    pub(crate) bell: Arc<Bell>,
    /// Where the last word is left, before anybody is told.
    pub(crate) last: Arc<OnceLock<Settled>>,
    /// Who is told of trouble.
    pub(crate) onlooker: Option<Box<dyn Onlooker>>,
}

/// A running worker, seen from outside.
pub(crate) struct Handle {
    commands: Sender<Command>,
    bell: Arc<Bell>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Sends a command. Gives it back when the worker has ended.
    pub(crate) fn send(&self, command: Command) -> Result<(), Box<Command>> {
        let is_awaited = !matches!(command, Command::Offer(_));
        self.commands
            .send(command)
            .map_err(|error| Box::new(error.0))?;
        if is_awaited {
            self.bell.call();
        } else {
            self.bell.ring();
        }
        Ok(())
    }

    /// Whether the worker has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Starts the worker.
///
/// # Errors
/// The system gives no more threads.
pub(crate) fn start(parts: Parts) -> Result<Handle, std::io::Error> {
    let (commands, inbox) = channel();
    let bell = parts.bell.clone();
    let Parts {
        recorder,
        engine,
        exporters,
        head,
        delay,
        bell: rung,
        last,
        onlooker,
    } = parts;
    let hands = exporters
        .into_iter()
        .enumerate()
        .map(|(number, exporter)| Hands::of(number, exporter))
        .collect::<Result<Vec<_>, _>>()?;
    let worker = Worker {
        recorder,
        engine,
        hands,
        head,
        delay,
        bell: rung,
        inbox,
        pending: None,
        taken_blocks: 0,
        taken: 0,
        busy_until: Moment::default(),
        flushes: Vec::new(),
        flushing: Vec::new(),
        closing: None,
        last,
        watch: onlooker.map(Watch::new),
        now: Moment::default(),
    };
    let thread = thread::Builder::new()
        .name("spanwire".into())
        .spawn(move || worker.run())?;
    bell.belongs_to(thread.thread().clone());
    Ok(Handle {
        commands,
        bell,
        thread,
    })
}

struct Worker {
    recorder: Arc<Recorder>,
    engine: Engine,
    hands: Vec<Hands>,
    head: Head,
    delay: Duration,
    bell: Arc<Bell>,
    inbox: Receiver<Command>,
    /// A segment that the engine had no room for.
    pending: Option<Segment>,
    /// Blocks that came from the ring to the engine, modulo the width of a pointer, and the spans in them.
    taken_blocks: usize,
    taken: u64,
    /// Blocks come in numbers until then, as far as can be told.
    busy_until: Moment,
    /// Flushes whose spans are still being taken out of the ring.
    flushes: Vec<Flush>,
    /// Flushes that the engine knows of.
    flushing: Vec<(FlushId, Answer)>,
    closing: Option<Closing>,
    last: Arc<OnceLock<Settled>>,
    /// Tells of trouble.
    watch: Option<Watch>,
    /// The newest reading of the clock.
    now: Moment,
}

struct Flush {
    deadline: Moment,
    answer: Answer,
    /// Shards whose open block is still to be sealed.
    shards: Vec<usize>,
    /// How many blocks had been sealed when the last of those shards was: all that the flush covers are among them.
    sealed: Option<usize>,
    /// Back-off has been ended.
    hurried: bool,
}

struct Closing {
    deadline: Moment,
    answers: Vec<Answer>,
    /// The engine has been told.
    told: bool,
}

/// What to do after one turn of the crank.
enum Turn {
    /// Sleep until this moment, or until rung for.
    Sleep {
        until: Option<Moment>,
        /// There is an open block, or may be one.
        open: bool,
        /// When the first of the spans has ended that are in open blocks, or come, at the earliest; where that is known.
        first: Option<Moment>,
    },
    /// Try again at once, or almost.
    Again,
    Ended,
}

impl Worker {
    fn run(mut self) {
        let _quiet = current::suppress();
        hands::mark_pipeline_thread();
        loop {
            self.bell.listen();
            match self.turn() {
                Turn::Again => thread::park_timeout(SHARD_WAIT),
                Turn::Sleep { until, open, first } => {
                    let now = self.read_clock();
                    let nap = until.map(|until| until.saturating_since(now));
                    if nap != Some(Duration::ZERO) {
                        let (nap, sleep) = self.rest(nap, open, first, now);
                        self.bell.sleep(nap, sleep);
                    }
                }
                Turn::Ended => break,
            }
        }
        // A thread that was writing to a shard all the while left it open. What comes after is not to vanish there.
        let mut wait = SHARD_WAIT;
        while self.recorder.ring().close() > 0 {
            thread::park_timeout(wait);
            wait = (wait * 2).min(LAST_WAIT);
        }
    }

    /// The clock is the caller's. One that panics stands still.
    fn read_clock(&mut self) -> Moment {
        if let Some(now) = contained(|| self.recorder.moment()) {
            self.now = now;
        }
        self.now
    }

    fn turn(&mut self) -> Turn {
        self.read_inbox();
        let now = self.read_clock();
        if self.closing.as_ref().is_some_and(|closing| !closing.told) {
            // A thread that is writing to a shard is done in a moment; the next turn closes that shard.
            if self.recorder.ring().close() > 0 && now < self.closing_deadline() {
                return Turn::Again;
            }
        }
        self.seal_for_flushes();
        let which = match self.closing {
            Some(_) => Which::All,
            None => Which::Until(Moment::from_nanos(
                now.as_nanos().saturating_sub(nanos(self.delay)),
            )),
        };
        let sealing = self.recorder.ring().seal(which);
        if self.take_blocks() > 1 {
            self.busy_until = now.saturating_add(SPELL);
        }
        self.pass_on_flushes(now);
        let emptied = sealing.busy == 0 && self.pending.is_none();
        self.pass_on_close(emptied, now);
        let Some(wait) = self.poll(now) else {
            return Turn::Ended;
        };
        if let Some(watch) = &mut self.watch {
            watch.tell(&self.engine, now);
        }
        let urgent = self.closing.as_ref().is_some_and(|closing| !closing.told)
            || self.flushes.iter().any(|flush| flush.sealed.is_none());
        if sealing.busy > 0 && urgent {
            return Turn::Again;
        }
        let due = sealing
            .oldest
            .map(|oldest| oldest.saturating_add(self.delay));
        // A shard that was held may keep the oldest span.
        let look = (sealing.busy > 0).then(|| {
            let wait = (self.delay / 5).clamp(SHARD_WAIT, LOOK_AGAIN);
            now.saturating_add(wait)
        });
        let deadline = self.flushes.iter().map(|flush| flush.deadline).min();
        let closing = self
            .closing
            .as_ref()
            .filter(|closing| !closing.told)
            .map(|closing| closing.deadline);
        let until = [wait, due, look, deadline, closing]
            .into_iter()
            .flatten()
            .min();
        Turn::Sleep {
            until,
            open: due.is_some() || look.is_some(),
            first: (sealing.busy == 0).then(|| sealing.oldest.unwrap_or(now)),
        }
    }

    /// How long to sleep, and how little ends it before.
    fn rest(
        &self,
        nap: Option<Duration>,
        open: bool,
        first: Option<Moment>,
        now: Moment,
    ) -> (Option<Duration>, Sleep) {
        let idle = match open {
            true => Sleep::Dozing { blocks: 0 },
            false => Sleep::Idle,
        };
        if self.pending.is_some() {
            return (nap, idle);
        }
        // Waking by itself costs less than being woken by each block only while blocks come in numbers.
        let is_busy = now < self.busy_until;
        let slack = self.engine.slack(now, first.filter(|_| is_busy));
        let blocks = self.slack_blocks(slack.bytes);
        // A block that is opened meanwhile is due after the nap.
        let end = slack.until.map(|end| end.saturating_since(now));
        let most = end.map_or(self.delay, |end| end.min(self.delay));
        let is_short = nap.is_some_and(|nap| nap <= most);
        if blocks == 0 || !(is_short || is_busy && most >= LEAST_DOZE) {
            return (nap, idle);
        }
        let nap = nap.map_or(most, |nap| nap.min(most));
        (Some(nap), Sleep::Dozing { blocks })
    }

    /// How many blocks are so many bytes, as far as they may be slept through.
    fn slack_blocks(&self, bytes: usize) -> usize {
        let ring = self.recorder.ring();
        // The rest is for threads that go on while this one wakes up. With so few waiting, a ring is not crowded either.
        let free = ring.blocks().saturating_sub(ring.used_blocks()) / CROWDED;
        free.min(bytes / ring.block_bytes().max(1))
    }

    fn closing_deadline(&self) -> Moment {
        self.closing
            .as_ref()
            .map_or(Moment::default(), |closing| closing.deadline)
    }

    fn read_inbox(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(Command::Flush { deadline, answer }) => self.flushes.push(Flush {
                    deadline,
                    answer,
                    // A shard that is opened from now on holds no span of this flush.
                    shards: (0..self.recorder.ring().shards()).collect(),
                    sealed: None,
                    hurried: false,
                }),
                Ok(Command::Account { answer }) => tell(answer, self.settled(self.engine.report())),
                Ok(Command::Offer(offered)) => self.offer_neighbours(offered),
                Ok(Command::Close { deadline, answer }) => match &mut self.closing {
                    Some(closing) => closing.answers.push(answer),
                    None => {
                        self.closing = Some(Closing {
                            deadline,
                            answers: Vec::from([answer]),
                            told: false,
                        })
                    }
                },
                // Nobody can ask for a close any more: the handle closes before it goes.
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    fn offer_neighbours(&mut self, mut offered: Offered) {
        let mut refused = Vec::new();
        for segment in offered.segments.drain(..) {
            if let Err(error) = self.engine.offer_to(&offered.route, segment) {
                refused.push(error.into_segment());
            }
        }
        offered.segments = refused;
    }

    /// Seals the blocks that flushes cover: each shard once, so that a flush beside busy threads does not fill the
    /// ring with blocks of a few spans.
    fn seal_for_flushes(&mut self) {
        let ring = self.recorder.ring();
        for flush in self
            .flushes
            .iter_mut()
            .filter(|flush| flush.sealed.is_none())
        {
            ring.seal_each(&mut flush.shards);
            if flush.shards.is_empty() {
                flush.sealed = Some(ring.sealed_blocks());
            }
        }
    }

    /// Takes sealed blocks out of the ring while the engine has room for them. How many there were.
    fn take_blocks(&mut self) -> usize {
        let before = self.taken_blocks;
        loop {
            let segment = match self.pending.take() {
                Some(segment) => segment,
                None => match self.recorder.ring().take_number() {
                    Some(block) => self.segment(block),
                    None => break,
                },
            };
            let spans = segment.spans() as u64;
            if let Err(refused) = self.engine.offer(segment) {
                self.pending = Some(refused.into_segment());
                break;
            }
            self.taken_blocks = self.taken_blocks.wrapping_add(1);
            self.taken += spans;
        }
        self.taken_blocks.wrapping_sub(before)
    }

    fn segment(&self, block: usize) -> Segment {
        let sealed = Sealed::new(self.recorder.clone(), block);
        let (spans, first) = (sealed.spans(), sealed.first());
        Segment::new(
            self.head.clone(),
            bytes::Bytes::from_owner(sealed),
            spans,
            first,
            Door::Own,
        )
    }

    /// Tells the engine of flushes once it has all that ended before them, or time is up.
    fn pass_on_flushes(&mut self, now: Moment) {
        for mut flush in core::mem::take(&mut self.flushes) {
            // Blocks leave the ring in the order of sealing, so a count tells which have.
            let taken = flush
                .sealed
                .is_some_and(|sealed| self.taken_blocks.wrapping_sub(sealed) as isize >= 0);
            if taken || flush.deadline <= now {
                let id = self.engine.flush(flush.deadline);
                self.flushing.push((id, flush.answer));
                continue;
            }
            if !core::mem::replace(&mut flush.hurried, true) {
                // The engine has no room for the rest while what it has waits for another attempt. Nobody waits for
                // the answer to this call.
                let _ = self.engine.flush(flush.deadline);
            }
            self.flushes.push(flush);
        }
    }

    fn pass_on_close(&mut self, emptied: bool, now: Moment) {
        let Some(closing) = &mut self.closing else {
            return;
        };
        if !closing.told && (emptied || closing.deadline <= now) {
            closing.told = true;
            self.engine.close(closing.deadline);
        }
    }

    /// Does what the engine says until it waits: until when. `None` when it has closed.
    fn poll(&mut self, now: Moment) -> Option<Option<Moment>> {
        loop {
            match self.engine.poll(now) {
                Step::Export {
                    exporter,
                    ticket,
                    batch,
                    reply,
                    ..
                } => {
                    let handed = self
                        .hands
                        .get_mut(exporter.index())
                        .map(|hands| hands.export(batch, reply));
                    if handed != Some(true) {
                        self.engine.complete(ticket, Outcome::Panicked, now);
                    }
                }
                Step::Flushed { flush, report } => {
                    if let Some(at) = self.flushing.iter().position(|(id, _)| *id == flush) {
                        let (_, answer) = self.flushing.swap_remove(at);
                        tell(answer, self.settled(report));
                    }
                }
                Step::Closed(report) => {
                    self.end(report);
                    return None;
                }
                Step::Wait(until) => return Some(until),
            }
        }
    }

    fn settled(&self, lanes: LanesReport) -> Settled {
        Settled {
            lanes,
            taken: self.taken,
            is_last: false,
        }
    }

    fn end(&mut self, report: LanesReport) {
        let Some(closing) = self.closing.take() else {
            return;
        };
        let settled = Settled {
            is_last: true,
            ..self.settled(report)
        };
        // Whoever asks while exporters end, or later, is told the same.
        let _ = self.last.set(settled.clone());
        // What came too late for the engine goes back to the ring before anybody is told, as all else has.
        self.pending = None;
        for hands in &mut self.hands {
            hands.shutdown(closing.deadline);
        }
        if let Some(watch) = &mut self.watch {
            watch.tell_last(&self.engine, &settled.lanes);
        }
        let flushes = self.flushes.drain(..).map(|flush| flush.answer);
        let flushing = self.flushing.drain(..).map(|(_, answer)| answer);
        for answer in closing.answers.into_iter().chain(flushes).chain(flushing) {
            tell(answer, settled.clone());
        }
    }
}

/// Gives an answer. It may wake a task, and wakers are the caller's code.
fn tell(answer: Answer, settled: Settled) {
    contained(|| answer(settled));
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::batch::{Ack, Delivered};
    use crate::clock::Moment;

    /// Scenario: of two segments of a request one was delivered, and the engine has no room for the other.
    /// Guarantees: its sender is not told that it was exported.
    #[test]
    fn what_was_turned_away_is_not_told_as_exported() {
        for turned_away in [false, true] {
            let told = Arc::<Mutex<Option<Delivered>>>::default();
            let tell = told.clone();
            let ack = Arc::new(Ack::new(move |delivered| {
                *tell.lock().unwrap() = Some(delivered);
            }));
            let body = bytes::Bytes::from_static(&[0x12, 2, 0x12, 0]);
            let segment = Segment::new(
                Head::default(),
                body,
                1,
                Moment::default(),
                Door::Neighbours,
            );
            let segment = segment.with_ack(ack.clone());
            ack.expect(1);
            ack.deliver(1);
            drop(ack);
            let count = Arc::<AtomicU64>::default();
            let offered = Offered::new(Vec::from([segment]), Arc::from([]), count.clone());
            if turned_away {
                drop(offered);
            } else {
                offered.recall();
            }
            let expected = [Delivered::Exported, Delivered::Lost][usize::from(turned_away)];
            assert_eq!(*told.lock().unwrap(), Some(expected));
            assert_eq!(count.load(Ordering::Relaxed), u64::from(turned_away));
        }
    }
}
