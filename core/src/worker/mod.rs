//! The thread that turns the crank: it takes sealed blocks, asks the engine, and hands batches to exporters.
//!
//! One thread a pipeline, named `spanwire`, and one more for each exporter that may wait. All are silenced, so that a
//! pipeline never traces itself. An idle pipeline sleeps until a block is opened; with a block open it wakes when
//! that block is due.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};

use crate::batch::{Head, Segment};
use crate::clock::Moment;
use crate::current;
use crate::engine::{Engine, FlushId, Report as LanesReport, Step};
use crate::exporter::{Exporter, Outcome};
use crate::limiter::Door;
use crate::recorder::Recorder;
use crate::ring::{Sealed, Which};

mod bell;
mod hands;

pub(crate) use self::bell::Bell;
use self::hands::Hands;
pub(crate) use self::hands::is_pipeline_thread;

/// How long the worker waits for a thread that is writing to a shard it wants to seal.
const SHARD_WAIT: Duration = Duration::from_micros(50);

/// What the worker is asked.
pub(crate) enum Command {
    /// Export what has ended by now.
    Flush { deadline: Moment, answer: Answer },
    /// Export what there is, and end.
    Close { deadline: Moment, answer: Answer },
    /// Say how things stand.
    Account { answer: Answer },
    /// Take in what a neighbour sent.
    Offer(Segment),
}

/// Takes the answer to a command, once, on the worker's thread.
pub(crate) type Answer = Box<dyn FnOnce(Settled) + Send>;

/// The answer to a command.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) lanes: LanesReport,
    /// Spans that ended in the ring and could not be taken out of it by the deadline.
    pub(crate) stranded: u64,
    /// Segments of neighbours that the engine did not take, in spans.
    pub(crate) turned_away: u64,
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
}

/// A running worker, seen from outside.
pub(crate) struct Handle {
    commands: Sender<Command>,
    bell: Arc<Bell>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Sends a command. Gives it back when the worker has ended.
    pub(crate) fn send(&self, command: Command) -> Result<(), Command> {
        self.commands.send(command).map_err(|error| error.0)?;
        self.bell.ring();
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
        flushes: Vec::new(),
        flushing: Vec::new(),
        closing: None,
        turned_away: 0,
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
    /// Flushes whose spans are still being taken out of the ring.
    flushes: Vec<(Moment, Answer)>,
    /// Flushes that the engine knows of.
    flushing: Vec<(FlushId, Answer)>,
    closing: Option<Closing>,
    turned_away: u64,
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
        idle: bool,
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
                Turn::Sleep { until, idle } => {
                    let now = self.recorder.moment();
                    let nap = until.map(|until| until.saturating_since(now));
                    if nap != Some(Duration::ZERO) {
                        self.bell.sleep(nap, idle);
                    }
                }
                Turn::Ended => return,
            }
        }
    }

    fn turn(&mut self) -> Turn {
        self.read_inbox();
        let now = self.recorder.moment();
        let everything = !self.flushes.is_empty() || self.closing.is_some();
        if self.closing.as_ref().is_some_and(|closing| !closing.told) {
            // A thread that is writing to a shard is done in a moment; the next turn closes that shard.
            if self.recorder.ring().close() > 0 && now < self.closing_deadline() {
                return Turn::Again;
            }
        }
        let which = if everything {
            Which::All
        } else {
            Which::Until(Moment::from_nanos(
                now.as_nanos().saturating_sub(nanos(self.delay)),
            ))
        };
        let sealing = self.recorder.ring().seal(which);
        self.take_blocks();
        let emptied = sealing.busy == 0 && self.pending.is_none();
        self.pass_on_flushes(emptied, now);
        self.pass_on_close(emptied, now);
        let Some(wait) = self.poll(now) else {
            return Turn::Ended;
        };
        if sealing.busy > 0 {
            return Turn::Again;
        }
        let due = sealing
            .oldest
            .map(|oldest| oldest.saturating_add(self.delay));
        let deadline = self.flushes.iter().map(|(deadline, _)| *deadline).min();
        let closing = self
            .closing
            .as_ref()
            .filter(|closing| !closing.told)
            .map(|closing| closing.deadline);
        let until = [wait, due, deadline, closing].into_iter().flatten().min();
        Turn::Sleep {
            until,
            idle: due.is_none(),
        }
    }

    fn closing_deadline(&self) -> Moment {
        self.closing
            .as_ref()
            .map_or(Moment::default(), |closing| closing.deadline)
    }

    fn read_inbox(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(Command::Flush { deadline, answer }) => self.flushes.push((deadline, answer)),
                Ok(Command::Account { answer }) => answer(self.settled(self.engine.report())),
                Ok(Command::Offer(segment)) => self.offer_neighbours(segment),
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

    fn offer_neighbours(&mut self, segment: Segment) {
        if let Err(refused) = self.engine.offer(segment) {
            self.turned_away += refused.into_segment().spans() as u64;
        }
    }

    /// Takes sealed blocks out of the ring while the engine has room for them.
    fn take_blocks(&mut self) {
        loop {
            let segment = match self.pending.take() {
                Some(segment) => segment,
                None => match self.recorder.ring().take_number() {
                    Some(block) => self.segment(block),
                    None => return,
                },
            };
            if let Err(refused) = self.engine.offer(segment) {
                self.pending = Some(refused.into_segment());
                return;
            }
        }
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

    /// Tells the engine of flushes once the ring holds nothing that ended before them, or time is up.
    fn pass_on_flushes(&mut self, emptied: bool, now: Moment) {
        let waiting = core::mem::take(&mut self.flushes);
        for (deadline, answer) in waiting {
            if emptied || deadline <= now {
                self.flushing.push((self.engine.flush(deadline), answer));
            } else {
                self.flushes.push((deadline, answer));
            }
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
                        answer(self.settled(report));
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
            stranded: 0,
            turned_away: self.turned_away,
        }
    }

    fn end(&mut self, report: LanesReport) {
        let Some(closing) = self.closing.take() else {
            return;
        };
        for hands in &mut self.hands {
            hands.shutdown(closing.deadline);
        }
        let mut settled = self.settled(report);
        settled.stranded += self
            .pending
            .take()
            .map_or(0, |segment| segment.spans() as u64);
        while let Some(block) = self.recorder.ring().take() {
            settled.stranded += block.spans() as u64;
        }
        let flushes = self.flushes.drain(..).map(|(_, answer)| answer);
        let flushing = self.flushing.drain(..).map(|(_, answer)| answer);
        for answer in closing.answers.into_iter().chain(flushes).chain(flushing) {
            answer(settled.clone());
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
