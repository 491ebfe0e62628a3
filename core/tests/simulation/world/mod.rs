//! One world: an engine, what comes in, what goes out, and a second set of books.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use spanwire_core::batch::{Batch, BatchLimits, Batcher, Head, Segment};
use spanwire_core::clock::Moment;
use spanwire_core::engine::{
    Engine, ExporterId, ExporterSettings, FlushId, LaneAccount, LaneId, LaneSettings, Overload,
    PipelineId, PipelineSettings, Refusal, Report, Retry, Step,
};
use spanwire_core::exporter::{Outcome, Reply, Ticket};
use spanwire_core::limiter::{Door, MemoryLimiter};
use spanwire_core::stats::DropReason;

use crate::reached::Reached;
use crate::rng::Rng;
use crate::sink::{Habit, Temper};
use crate::spans::{self, Alive};
use crate::stage::{Copying, Filter, Resource};

mod checks;
mod make;

/// What this world knows of a span on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    InFlight,
    /// The attempt failed; it may come again.
    Failed {
        possibly_stored: bool,
    },
    Settled,
}

#[derive(Default)]
struct LaneBook {
    pipeline: usize,
    exporter: usize,
    fates: HashMap<u64, Fate>,
    exported: HashSet<u64>,
    exported_count: u64,
    dropped: BTreeMap<DropReason, u64>,
    duplicates: u64,
}

struct PipelineBook {
    id: PipelineId,
    doors: [bool; 2],
    limit: usize,
}

struct Attempt {
    lane: usize,
    numbers: Vec<u64>,
    batch: Option<Batch>,
    reply: Option<Reply>,
    /// Nothing has settled it yet.
    open: bool,
    /// When the sink lets go, and what it says then.
    then: Option<(Moment, Option<Outcome>)>,
}

struct FlushBook {
    deadline: Moment,
    /// For each lane: what is counted out when all of this is settled, at least.
    counted_out: Vec<u64>,
    accepted: usize,
}

pub(crate) struct World {
    rng: Rng,
    tell: bool,
    now: Moment,
    engine: Engine,
    limiter: MemoryLimiter,
    pipelines: Vec<PipelineBook>,
    /// No batcher cuts segments in two: a piece would keep the memory of the whole.
    whole: bool,
    /// Some stage may wait for the working reserve.
    edits: bool,
    lanes: Vec<LaneBook>,
    exporters: Vec<(usize, Temper)>,
    attempts: BTreeMap<Ticket, Attempt>,
    last_ticket: Option<Ticket>,
    alive: Alive,
    heads: Vec<Head>,
    numbers: u64,
    /// Refused, to be offered again.
    pending: Vec<Segment>,
    /// By door, in spans.
    born: [u64; 2],
    refused: [u64; 2],
    /// The numbers of the spans admitted, with their door.
    accepted: Vec<(u64, Door)>,
    flushes: HashMap<FlushId, FlushBook>,
    closing: Option<Moment>,
    closed: bool,
    late: u64,
    reached: Reached,
}

fn index(door: Door) -> usize {
    usize::from(door == Door::Neighbours)
}

fn counted_out(account: &LaneAccount) -> u64 {
    account.filtered + account.dropped.total() + account.exported
}

impl World {
    fn say(&self, what: impl FnOnce() -> String) {
        if self.tell {
            println!("{:>9} ms  {}", self.now.as_nanos() / 1_000_000, what());
        }
    }

    /// Lives this world to its end.
    pub(crate) fn live(mut self) -> Reached {
        self.say(|| format!("sinks {:?}", self.exporters));
        let closes_early = self.rng.one_in(4);
        for _ in 0..self.rng.between(12, 48) {
            match self.rng.below(12) {
                0..=4 => self.burst(),
                5..=8 => self.pass(),
                9 => self.flush(),
                10 if closes_early && self.rng.one_in(10) => self.close(),
                _ => self.poll_once(),
            }
        }
        self.run();
        if self.rng.one_in(2) && !self.closed {
            self.heal();
        }
        self.close();
        while !self.closed {
            self.pass();
            self.run();
        }
        self.check_closed();
        self.let_everything_go();
        self.tally();
        self.reached
    }

    fn burst(&mut self) {
        for _ in 0..self.rng.between(1, 8) {
            let segment = if !self.pending.is_empty() && self.rng.one_in(2) {
                self.pending.remove(0)
            } else {
                self.bear()
            };
            self.offer(segment);
            self.check();
        }
        if self.rng.one_in(2) {
            self.run();
        }
    }

    fn bear(&mut self) -> Segment {
        let door = self.rng.pick(&[Door::Own, Door::Own, Door::Neighbours]);
        let count = self.rng.pick(&[1, 1, 1, 2, 2, 5, 12]);
        let width = self.rng.pick(&[1, 10, 10, 40, 100]);
        let head = self.heads[self.rng.below(3) as usize].clone();
        let two = self.rng.one_in(2);
        let segment = spans::segment(
            &self.alive,
            &head,
            (self.numbers, count, width),
            two,
            self.now,
            door,
        );
        self.numbers += count as u64;
        self.born[index(door)] += count as u64;
        segment
    }

    fn offer(&mut self, segment: Segment) {
        let door = segment.door();
        let numbers = spans::numbers(&Batch::from_iter([segment.clone()]));
        match self.engine.offer(segment) {
            Ok(()) => {
                assert!(self.closing.is_none(), "admitted after close");
                self.say(|| format!("admitted {} spans from {door:?}", numbers.len()));
                self.accepted
                    .extend(numbers.into_iter().map(|number| (number, door)));
            }
            Err(error) => {
                let (refusal, retryable) = (error.refusal(), error.is_retryable());
                self.say(|| format!("refused {} spans from {door:?}: {error}", numbers.len()));
                assert_eq!(refusal == Refusal::Closed, self.closing.is_some());
                let segment = error.into_segment();
                assert_eq!(segment.spans(), numbers.len(), "handed back whole");
                if retryable && self.pending.len() < 6 && self.rng.one_in(2) {
                    self.pending.push(segment);
                } else {
                    self.refused[index(door)] += numbers.len() as u64;
                    self.reached.add("refused", numbers.len() as u64);
                }
            }
        }
    }

    /// Lets time pass: a little, until something is due, or hours at once.
    fn pass(&mut self) {
        let wait = match self.rng.below(20) {
            0 => Duration::from_secs(3600),
            1..=8 => Duration::from_millis(self.rng.below(300)),
            9..=13 => Duration::from_millis(self.rng.below(20_000)),
            _ => {
                self.run();
                let due = self
                    .attempts
                    .values()
                    .filter_map(|attempt| attempt.then.as_ref());
                let due = due.map(|(at, _)| *at).min();
                let wake = match self.engine.poll(self.now) {
                    Step::Wait(at) => at,
                    step => {
                        self.act(step);
                        None
                    }
                };
                match (due, wake) {
                    (Some(a), Some(b)) => a.min(b).saturating_since(self.now),
                    (a, b) => a.or(b).unwrap_or(self.now).saturating_since(self.now),
                }
            }
        };
        self.now = self.now.saturating_add(wait);
        self.let_sinks_act();
        if self.rng.one_in(2) {
            self.run();
        }
    }

    /// Does what sinks have planned for now.
    fn let_sinks_act(&mut self) {
        let tickets: Vec<Ticket> = self.attempts.keys().copied().collect();
        for ticket in tickets {
            let Some(attempt) = self.attempts.get_mut(&ticket) else {
                continue;
            };
            if attempt.then.as_ref().is_some_and(|(at, _)| *at <= self.now) {
                let (_, outcome) = attempt.then.take().expect("just seen");
                attempt.batch = None;
                self.answer(ticket, outcome);
                self.check();
            }
        }
    }

    fn poll_once(&mut self) {
        let step = self.engine.poll(self.now);
        self.act(step);
    }

    /// Polls until there is nothing to do.
    fn run(&mut self) {
        for _ in 0..20_000 {
            let step = self.engine.poll(self.now);
            if let Step::Wait(at) = step {
                assert!(at.is_none_or(|at| at > self.now), "waits for what is over");
                let again = self.engine.poll(self.now);
                if !matches!(again, Step::Wait(again) if again == at) {
                    // Only a segment that waits for the reserve may find room as late as that.
                    assert!(self.edits, "a step was kept back: {again:?}");
                    self.act(again);
                    continue;
                }
                self.note_timeouts();
                self.check();
                self.check_books();
                return;
            }
            self.act(step);
        }
        panic!("there is always something to do");
    }

    fn act(&mut self, step: Step) {
        self.note_timeouts();
        match step {
            Step::Export {
                lane,
                exporter,
                ticket,
                batch,
                reply,
            } => self.export(lane, exporter, ticket, batch, reply),
            Step::Flushed { flush, report } => self.flushed(flush, &report),
            Step::Closed(report) => self.end(&report),
            _ => {}
        }
        self.check();
    }

    /// Attempts whose reply the engine has just cancelled have failed, and may have been stored.
    fn note_timeouts(&mut self) {
        self.attempts
            .retain(|_, attempt| attempt.batch.is_some() || attempt.reply.is_some());
        for attempt in self.attempts.values_mut() {
            if attempt.open && attempt.reply.as_ref().is_some_and(Reply::cancelled) {
                attempt.open = false;
                for number in &attempt.numbers {
                    let failed = Fate::Failed {
                        possibly_stored: true,
                    };
                    self.lanes[attempt.lane].fates.insert(*number, failed);
                }
            }
        }
    }

    fn export(
        &mut self,
        lane: LaneId,
        exporter: ExporterId,
        ticket: Ticket,
        batch: Batch,
        reply: Reply,
    ) {
        assert!(!self.closed, "an attempt after the close");
        assert!(self.last_ticket < Some(ticket), "a ticket twice");
        self.last_ticket = Some(ticket);
        assert_eq!(reply.ticket(), ticket);
        assert!(!batch.is_empty());
        assert!(reply.deadline().is_none_or(|at| at > self.now));
        let numbers = spans::numbers(&batch);
        let book = &mut self.lanes[lane.index()];
        assert_eq!(book.exporter, exporter.index());
        for number in &numbers {
            match book.fates.insert(*number, Fate::InFlight) {
                None
                | Some(Fate::Failed {
                    possibly_stored: false,
                }) => {}
                Some(Fate::Failed {
                    possibly_stored: true,
                }) => book.duplicates += 1,
                Some(fate) => panic!("span {number} goes out again although it is {fate:?}"),
            }
        }
        let (concurrency, temper) = self.exporters[exporter.index()];
        let lanes = &self.lanes;
        let busy = self.attempts.values().filter(|attempt| {
            lanes[attempt.lane].exporter == exporter.index()
                && (attempt.batch.is_some() || attempt.reply.is_some())
        });
        assert!(busy.count() < concurrency, "more than the exporter's slots");
        let habit = temper.habit(&mut self.rng, batch.encoded_len(), batch.spans());
        self.say(|| {
            format!(
                "lane {lane} {ticket}: {} spans, sink {exporter}: {habit:?}",
                numbers.len()
            )
        });
        let mut attempt = Attempt {
            lane: lane.index(),
            numbers,
            batch: Some(batch),
            reply: Some(reply),
            open: true,
            then: None,
        };
        let now = self.now;
        let at = |after: Duration| now.saturating_add(after);
        match habit {
            Habit::Answer { after, outcome } if after.is_zero() => {
                attempt.batch = None;
                self.attempts.insert(ticket, attempt);
                self.answer(ticket, Some(outcome));
            }
            Habit::Answer { after, outcome } => {
                attempt.then = Some((at(after), Some(outcome)));
                self.attempts.insert(ticket, attempt);
            }
            Habit::KeepBatch { for_, outcome } => {
                attempt.then = Some((at(for_), None));
                self.attempts.insert(ticket, attempt);
                self.answer(ticket, Some(outcome));
            }
            Habit::SayNothing { after } if after.is_zero() => {
                attempt.batch = None;
                self.attempts.insert(ticket, attempt);
                self.answer(ticket, None);
            }
            Habit::SayNothing { after } => {
                attempt.then = Some((at(after), None));
                self.attempts.insert(ticket, attempt);
            }
            Habit::Hang => {
                self.attempts.insert(ticket, attempt);
            }
            Habit::Panic => {
                attempt.batch = None;
                attempt.reply = None;
                self.attempts.insert(ticket, attempt);
                self.complete(ticket, Outcome::Panicked, true);
            }
            Habit::PanicAndAnswer { after } => {
                attempt.then = Some((at(after), Some(Outcome::Exported)));
                self.attempts.insert(ticket, attempt);
                self.complete(ticket, Outcome::Panicked, true);
            }
            Habit::AnswerAndPanic { outcome } => {
                attempt.batch = None;
                self.attempts.insert(ticket, attempt);
                self.answer(ticket, Some(outcome));
                self.complete(ticket, Outcome::Panicked, false);
            }
            Habit::AnswerTwice {
                first,
                second,
                keeps,
            } => {
                if keeps {
                    attempt.then = Some((at(Duration::from_secs(1)), None));
                } else {
                    attempt.batch = None;
                }
                self.attempts.insert(ticket, attempt);
                self.answer(ticket, Some(first));
                if self.rng.one_in(2) {
                    self.run();
                }
                self.complete(ticket, second, false);
            }
        }
    }

    /// The sink answers by its reply, or drops it; does nothing if it has answered before.
    fn answer(&mut self, ticket: Ticket, outcome: Option<Outcome>) {
        let Some(attempt) = self.attempts.get_mut(&ticket) else {
            return;
        };
        let Some(reply) = attempt.reply.take() else {
            return;
        };
        let cancelled = reply.cancelled();
        let said = outcome.clone().unwrap_or(Outcome::Unanswered);
        match outcome {
            Some(outcome) => reply.done(outcome),
            None => drop(reply),
        }
        if cancelled {
            self.late += u64::from(said != Outcome::Unanswered);
        }
        self.say(|| {
            format!(
                "{ticket} says {said}{}",
                if cancelled { ", too late" } else { "" }
            )
        });
        if !cancelled {
            self.effect(ticket, &said);
        }
    }

    /// Somebody else says what became of an attempt.
    fn complete(&mut self, ticket: Ticket, outcome: Outcome, counts: bool) {
        let settled = self.engine.complete(ticket, outcome.clone(), self.now);
        assert_eq!(settled, counts, "{ticket} {outcome}");
        if settled {
            self.effect(ticket, &outcome);
        } else {
            self.late += 1;
        }
        self.check();
    }

    /// Keeps the books: what an answer in time does.
    fn effect(&mut self, ticket: Ticket, outcome: &Outcome) {
        let attempt = self.attempts.get_mut(&ticket).expect("an attempt");
        assert!(attempt.open, "{ticket} settled twice");
        attempt.open = false;
        let book = &mut self.lanes[attempt.lane];
        let spans = attempt.numbers.len() as u64;
        let mut lose = |reason, spans| *book.dropped.entry(reason).or_default() += spans;
        let mut fate = Fate::Settled;
        match outcome {
            Outcome::Exported => {
                book.exported.extend(&attempt.numbers);
                book.exported_count += spans;
            }
            Outcome::Partial { rejected, .. } => {
                let rejected = spans.min(*rejected);
                lose(DropReason::PartiallyRejected, rejected);
                // Which ones were rejected, the server does not say.
                book.exported.extend(&attempt.numbers);
                book.exported_count += spans - rejected;
            }
            Outcome::Rejected { .. } => lose(DropReason::Rejected, spans),
            Outcome::Unanswered => lose(DropReason::Unanswered, spans),
            Outcome::Panicked => lose(DropReason::Panicked, spans),
            Outcome::TooLarge { .. } if spans == 1 => lose(DropReason::TooLarge, 1),
            Outcome::TooLarge { .. } => {
                self.reached.add("splits", 1);
                fate = Fate::Failed {
                    possibly_stored: false,
                };
            }
            Outcome::Retry {
                possibly_stored, ..
            } => {
                fate = Fate::Failed {
                    possibly_stored: *possibly_stored,
                };
            }
            other => panic!("no sink says {other}"),
        }
        for number in &attempt.numbers {
            book.fates.insert(*number, fate);
        }
    }

    fn flush(&mut self) {
        if self.engine.is_closed() {
            return;
        }
        let deadline = self
            .now
            .saturating_add(Duration::from_millis(self.rng.below(40_000)));
        let accounts = self
            .engine
            .lanes()
            .filter_map(|lane| self.engine.account(lane));
        let counted_out = accounts.map(|account| account.admitted).collect();
        let id = self.engine.flush(deadline);
        self.say(|| format!("flush {id}"));
        let accepted = self.accepted.len();
        self.flushes.insert(
            id,
            FlushBook {
                deadline,
                counted_out,
                accepted,
            },
        );
        self.check();
        self.run();
    }

    fn flushed(&mut self, id: FlushId, report: &Report) {
        self.say(|| format!("flush {id}: {report}"));
        let flush = self.flushes.remove(&id).expect("a flush ends once");
        assert_eq!(report.lanes.len(), self.lanes.len());
        assert!(
            !report.timed_out
                || self.now >= flush.deadline
                || self.closing.is_some_and(|at| at <= self.now)
        );
        for (lane, reported) in report.lanes.iter().enumerate() {
            assert!(reported.account.balances());
            let settled = counted_out(&reported.account);
            if report.timed_out {
                continue;
            }
            assert_eq!(reported.unsettled, 0);
            assert!(settled >= flush.counted_out[lane], "a flush left something");
            if reported.account.dropped.total() + reported.account.filtered == 0 {
                let book = &self.lanes[lane];
                let doors = self.pipelines[book.pipeline].doors;
                for (number, door) in &self.accepted[..flush.accepted] {
                    let covered = doors[index(*door)];
                    assert!(
                        !covered || book.exported.contains(number),
                        "flush left span {number}"
                    );
                }
            }
        }
        assert!(!report.is_complete() || (report.lost() == 0 && !report.timed_out));
        let what = match (report.is_complete(), report.timed_out) {
            (true, _) => "flushes complete",
            (false, false) => "flushes with loss",
            (false, true) => "flushes too late",
        };
        self.reached.add(what, 1);
    }

    fn close(&mut self) {
        let deadline = self
            .now
            .saturating_add(Duration::from_millis(self.rng.below(40_000)));
        self.engine.close(deadline);
        self.say(|| "close".into());
        // A second call moves nothing.
        self.closing.get_or_insert(deadline);
        self.check();
        self.run();
    }

    fn end(&mut self, report: &Report) {
        self.say(|| format!("closed: {report}"));
        assert!(!self.closed, "closed twice");
        assert!(self.flushes.is_empty(), "a flush outlives the engine");
        self.closed = true;
        for lane in &report.lanes {
            let LaneAccount {
                buffered,
                in_flight,
                ..
            } = lane.account;
            assert_eq!((buffered, in_flight, lane.unsettled), (0, 0, 0));
        }
        assert!(!report.timed_out || self.closing.is_some_and(|at| at <= self.now));
        let what = if report.timed_out {
            "closes too late"
        } else {
            "closes complete"
        };
        self.reached.add(what, 1);
    }

    /// From now on all is well: everything is exported, whatever went before.
    fn heal(&mut self) {
        self.say(|| "all is well".into());
        for (_, temper) in &mut self.exporters {
            *temper = Temper::Fast;
        }
        for ticket in self.attempts.keys().copied().collect::<Vec<_>>() {
            if let Some(attempt) = self.attempts.get_mut(&ticket) {
                attempt.batch = None;
                attempt.then = None;
            }
            self.answer(ticket, Some(Outcome::Exported));
        }
        self.run();
        let id = self
            .engine
            .flush(self.now.saturating_add(Duration::from_secs(3600)));
        let admitted = self
            .engine
            .lanes()
            .filter_map(|lane| self.engine.account(lane));
        self.flushes.insert(
            id,
            FlushBook {
                deadline: self.now.saturating_add(Duration::from_secs(3600)),
                counted_out: admitted.map(|account| account.admitted).collect(),
                accepted: self.accepted.len(),
            },
        );
        let accounts = self
            .engine
            .lanes()
            .filter_map(|lane| self.engine.account(lane));
        let at_once = !self.edits && accounts.map(|account| account.retrying).sum::<u64>() == 0;
        for _ in 0..10_000 {
            self.run();
            assert!(
                !at_once || self.flushes.is_empty(),
                "a flush waits for nothing"
            );
            if self.flushes.is_empty() {
                break;
            }
            match self.engine.poll(self.now) {
                Step::Wait(at) => self.now = at.expect("somebody waits for the flush"),
                step => self.act(step),
            }
        }
        assert!(
            self.flushes.is_empty(),
            "nothing is wrong and yet the flush does not end"
        );
        for lane in self.engine.lanes() {
            let account = self.engine.account(lane).expect("a lane");
            assert_eq!((account.buffered, account.in_flight), (0, 0));
        }
        let in_engine = self.alive.bytes() - self.pending_bytes();
        assert_eq!(in_engine, 0, "memory is kept for nothing");
        self.reached.add("memory came back", 1);
    }

    fn pending_bytes(&self) -> usize {
        self.pending.iter().map(Segment::body_len).sum()
    }

    fn check_closed(&mut self) {
        self.run();
        let segment = self.bear();
        self.offer(segment);
        self.check();
    }

    /// Answers after the close settle nothing, and all memory comes back.
    fn let_everything_go(&mut self) {
        for ticket in self.attempts.keys().copied().collect::<Vec<_>>() {
            if let Some(attempt) = self.attempts.get_mut(&ticket) {
                attempt.batch = None;
            }
            self.answer(ticket, Some(Outcome::Exported));
        }
        self.pending.clear();
        self.run_out();
        assert_eq!(self.alive.bytes(), 0, "memory is kept after the close");
        let lanes = self
            .engine
            .lanes()
            .filter_map(|lane| self.engine.account(lane));
        let late: u64 = lanes.map(|account| account.late_replies).sum();
        assert_eq!(late + self.engine.late_replies(), self.late, "late replies");
        assert_eq!(self.limiter.usage().in_use, 0);
    }

    fn run_out(&mut self) {
        let step = self.engine.poll(self.now);
        assert!(matches!(step, Step::Wait(None)), "{step:?}");
        for pipeline in &self.pipelines {
            assert_eq!(self.engine.bytes(pipeline.id), 0);
        }
        self.check_books();
    }

    fn tally(&mut self) {
        for lane in self.engine.lanes() {
            let account = self.engine.account(lane).expect("a lane");
            for (reason, spans) in account.dropped.iter() {
                self.reached.add(reason.as_str(), spans);
            }
            self.reached.add("exported", account.exported);
            self.reached.add("filtered", account.filtered);
            self.reached.add("retries", account.retries);
            self.reached.add("duplicates", account.possibly_duplicated);
            self.reached.add("late replies", account.late_replies);
        }
    }
}
