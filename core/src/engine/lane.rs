//! One lane: what it has cut, what is in its exporter's hands, what waits to be sent again.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::num::NonZeroU8;
use core::task::Waker;
use core::time::Duration;

use super::allowance::Allowance;
use super::log::{Load, Log};
use super::report::LaneAccount;
use super::retry::Jitter;
use super::settings::{LaneSettings, door_index};
use super::trouble::Trouble;
use crate::batch::{Batch, BatchLimits, Segment, SplitError};
use crate::clock::Moment;
use crate::exporter::{Outcome, Receipt, Reply, Ticket};
use crate::limiter::{Account, Door};
use crate::stats::DropReason;

/// A lane goes on to try batches of this size, whatever a server says of its limit.
const LEAST_LEARNED: usize = 4 << 10;

/// The entries of the log that a batch was cut from. Its pieces share it; with the last one the entries are released.
struct Lease {
    positions: Vec<u64>,
    bytes: [usize; 2],
}

/// A batch on its way: before, between and during attempts.
struct Attempt {
    /// Nothing, once it is settled for good.
    batch: Batch,
    lease: Arc<Lease>,
    /// Attempts that failed.
    failed: u32,
    /// When the first attempt started.
    started: Option<Moment>,
    /// When the next one may start.
    due: Moment,
    /// When the server allows the next one.
    earliest: Moment,
    /// A failed attempt may have stored it, and it has not been sent again since.
    possibly_stored: bool,
    /// The present attempt is the last one.
    last: bool,
}

impl Attempt {
    fn spans(&self) -> u64 {
        self.batch.spans() as u64
    }

    /// Whether it carries an entry before `position`.
    fn is_before(&self, position: u64) -> bool {
        self.lease
            .positions
            .first()
            .is_some_and(|first| *first < position)
    }
}

/// An attempt in the exporter's hands.
struct Flight {
    receipt: Receipt,
    attempt: Attempt,
    /// When the engine stops waiting for an answer.
    deadline: Option<Moment>,
    fate: Fate,
}

/// What happens to a batch once the exporter has let go of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Not settled yet.
    Open,
    /// Settled for good.
    Done,
    /// It is sent again.
    Again,
    /// It is cut to this size.
    Split(usize),
}

/// What a lane needs to know of the world.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) now: Moment,
    /// The deadline of the close that has begun.
    pub(super) closing: Option<Moment>,
    /// Nothing waits for company.
    pub(super) hurry: bool,
    pub(super) reserve: &'a Account,
}

/// How much may come before there is anything to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slack {
    pub(crate) bytes: usize,
    /// Until when at most, where that is not the next moment of which [`Lane::next_moment`] tells.
    pub(crate) until: Option<Moment>,
}

impl Slack {
    pub(super) const NONE: Self = Self {
        bytes: 0,
        until: None,
    };

    /// What suits both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.min(other.bytes),
            until: self.until.into_iter().chain(other.until).min(),
        }
    }
}

/// One lane of a pipeline.
pub(super) struct Lane {
    pub(super) settings: LaneSettings,
    /// Which cursor of the log is this lane's.
    cursor: usize,
    /// The most bytes of the log in flight and waiting to be sent again.
    share: Allowance,
    /// By door: how many are.
    held: [usize; 2],
    /// The most encoded bytes the server takes, as far as is known.
    learned: usize,
    waiting: Vec<Attempt>,
    flying: Vec<Flight>,
    jitter: Jitter,
    /// This lane's part of the account; what it shares with the other lanes stays zero here.
    account: LaneAccount,
    pub(super) trouble: Trouble,
}

impl Lane {
    pub(super) fn new(settings: LaneSettings, cursor: usize, share: Allowance, seed: u64) -> Self {
        Self {
            settings,
            cursor,
            share,
            held: [0; 2],
            learned: usize::MAX,
            waiting: Vec::new(),
            flying: Vec::new(),
            jitter: Jitter::new(seed),
            account: LaneAccount::default(),
            trouble: Trouble::default(),
        }
    }

    /// This lane's part of the account: without what happens to a span before it reaches the lanes.
    pub(super) fn account(&self) -> LaneAccount {
        let retrying = self.waiting.iter().map(Attempt::spans).sum();
        LaneAccount {
            retrying,
            failures: self.trouble.failures(),
            ..self.account
        }
    }

    /// Spans lost on this lane alone.
    pub(super) fn dropped(&self) -> u64 {
        self.account.dropped.total()
    }

    /// The most encoded bytes of the next batch.
    pub(super) fn max_bytes(&self) -> usize {
        self.settings.max_bytes.min(self.learned)
    }

    /// Whether the lane may cut another batch, as far as its share of the log goes.
    pub(super) fn has_share(&self) -> bool {
        let admits = |door| admits(self.share, self.held, door, 1);
        admits(Door::Own) || admits(Door::Neighbours)
    }

    /// The bytes of the log that came in through this door and are in flight or wait to be sent again.
    pub(super) fn held(&self, door: Door) -> usize {
        self.held[door_index(door)]
    }

    /// Counts spans lost before they were cut.
    pub(super) fn drop_uncut(&mut self, reason: DropReason, spans: u64) {
        self.account.dropped.add(reason, spans);
    }

    /// Whether nothing before `position` is left to do.
    pub(super) fn has_settled(&self, log: &Log<Segment>, position: u64) -> bool {
        let open =
            |flight: &Flight| flight.fate != Fate::Done && flight.attempt.is_before(position);
        log.cursor(self.cursor) >= position
            && !self
                .waiting
                .iter()
                .any(|attempt| attempt.is_before(position))
            && !self.flying.iter().any(open)
    }

    /// Whether what there is to cut waits for company: it is too little and too young for a request of its own.
    fn lingers(&self, log: &Log<Segment>, terms: &Terms<'_>) -> bool {
        if terms.hurry || terms.closing.is_some() {
            return false;
        }
        let Some((first, _)) = log.peek(self.cursor) else {
            return false;
        };
        // A neighbour may wait for the answer: it has batched already, and waits behind another request only.
        if first.door() == Door::Neighbours && self.flying.is_empty() {
            return false;
        }
        let backlog = log.backlog(self.cursor);
        let full = |spans: usize| backlog.spans >= spans as u64;
        (backlog.len < self.enough() || !self.has_room())
            && !self.settings.max_spans.is_some_and(full)
            && self.patience_ends(log).is_some_and(|end| terms.now < end)
    }

    /// The bytes that are worth a request: beside its bytes it costs that two threads wake up twice with cold caches. The rest
    /// is for what comes while they wake up.
    fn enough(&self) -> usize {
        let most = self.max_bytes().min(self.share.total());
        most - most / 8
    }

    /// Whether the lane may cut as much as is worth a request, or half of it, beside what is on its way.
    fn has_room(&self) -> bool {
        self.share.after(self.held).total() >= self.enough() / 2
    }

    /// How much may come before this lane does anything with it. `first` is when the first span of it has ended, at the
    /// earliest, if that is known.
    pub(super) fn slack(
        &self,
        has_slot: bool,
        log: &Log<Segment>,
        first: Option<Moment>,
        terms: &Terms<'_>,
    ) -> Slack {
        // How many spans are in bytes that have not come is not known.
        if terms.hurry || terms.closing.is_some() || self.settings.max_spans.is_some() {
            return Slack::NONE;
        }
        if !has_slot || !self.has_share() {
            // The next answer is rung for.
            return Slack {
                bytes: usize::MAX,
                until: None,
            };
        }
        if self.lingers(log, terms) {
            let missing = self.enough().saturating_sub(log.backlog(self.cursor).len);
            return Slack {
                bytes: if self.has_room() { missing } else { usize::MAX },
                until: None,
            };
        }
        let end = first.map(|first| first.saturating_add(self.settings.linger));
        match end.filter(|end| *end > terms.now && log.peek(self.cursor).is_none()) {
            Some(end) => Slack {
                bytes: self.enough(),
                until: Some(end),
            },
            None => Slack::NONE,
        }
    }

    /// When the oldest spans that are to be cut have waited for long enough.
    fn patience_ends(&self, log: &Log<Segment>) -> Option<Moment> {
        let (segment, _) = log.peek(self.cursor)?;
        Some(segment.first_end().saturating_add(self.settings.linger))
    }

    /// The next moment at which something is to be done without being told.
    pub(super) fn next_moment(
        &self,
        has_slot: bool,
        log: &Log<Segment>,
        terms: &Terms<'_>,
    ) -> Option<Moment> {
        let deadlines = self
            .flying
            .iter()
            .filter(|flight| flight.fate == Fate::Open)
            .filter_map(|flight| flight.deadline);
        let due = self
            .waiting
            .iter()
            .filter(|_| has_slot)
            .map(|attempt| attempt.due);
        let linger = if has_slot && self.lingers(log, terms) {
            self.patience_ends(log)
        } else {
            None
        };
        deadlines.chain(due).chain(linger).min()
    }

    /// Takes the next batch: one that is due again, or one cut from the log.
    ///
    /// Hands out the batch and its reply; the lane keeps the receipt.
    pub(super) fn start(
        &mut self,
        log: &mut Log<Segment>,
        ticket: Ticket,
        timeout: Option<Duration>,
        waker: &Waker,
        terms: &Terms<'_>,
    ) -> Option<(Batch, Reply)> {
        let mut attempt = match self.take_due(terms.now) {
            Some(attempt) => attempt,
            None if self.lingers(log, terms) => return None,
            None => self.cut(log, terms)?,
        };
        if attempt.failed > 0 {
            self.account.retries += 1;
        }
        if mem::take(&mut attempt.possibly_stored) {
            self.account.possibly_duplicated += attempt.spans();
        }
        attempt.started.get_or_insert(terms.now);
        attempt.last = terms.closing.is_some();
        let timeout = timeout.map(|timeout| terms.now.saturating_add(timeout));
        let deadline = match (timeout, terms.closing) {
            (Some(timeout), Some(closing)) => Some(timeout.min(closing)),
            (timeout, closing) => timeout.or(closing),
        };
        let (receipt, reply) = Receipt::new(ticket, deadline, waker.clone());
        let batch = attempt.batch.clone().held_by(Arc::new(receipt.hold()));
        self.flying.push(Flight {
            receipt,
            attempt,
            deadline,
            fate: Fate::Open,
        });
        Some((batch, reply))
    }

    fn take_due(&mut self, now: Moment) -> Option<Attempt> {
        let (index, first) = self
            .waiting
            .iter()
            .enumerate()
            .min_by_key(|(_, attempt)| attempt.due)?;
        (first.due <= now).then(|| self.waiting.remove(index))
    }

    /// Cuts a batch from the log: by bytes, then spans. What is in the log is ready.
    fn cut(&mut self, log: &mut Log<Segment>, terms: &Terms<'_>) -> Option<Attempt> {
        let limits = BatchLimits {
            bytes: self.max_bytes(),
            spans: self.settings.max_spans.map(|spans| spans.max(1)),
            ..BatchLimits::default()
        };
        let mut batch = Batch::new();
        let mut positions = Vec::new();
        let mut bytes = [0_usize; 2];
        while let Some((segment, load)) = log.peek(self.cursor) {
            let door = segment.door();
            let held = [0, 1].map(|door| self.held[door].saturating_add(bytes[door]));
            if !admits(self.share, held, door, load.bytes) || !limits.fits(&batch, segment) {
                break;
            }
            let Some((position, segment, load)) = log.take(self.cursor) else {
                break;
            };
            batch.push(segment);
            positions.push(position);
            bytes[door_index(door)] += load.bytes;
        }
        if positions.is_empty() {
            return None;
        }
        for (held, more) in self.held.iter_mut().zip(bytes) {
            *held += more;
        }
        self.account.in_flight += batch.spans() as u64;
        let past = batch.encoded_len() > limits.bytes
            || limits.spans.is_some_and(|spans| batch.spans() > spans);
        let attempt = Attempt {
            batch,
            lease: Arc::new(Lease { positions, bytes }),
            failed: 0,
            started: None,
            due: terms.now,
            earliest: terms.now,
            possibly_stored: false,
            last: false,
        };
        if past {
            // One segment, larger than a batch may be: it is cut before it is sent. If it cannot be, it is sent whole.
            return match attempt.batch.split_within(&limits, terms.reserve) {
                Ok(pieces) if covers(&pieces, &attempt.batch) => {
                    self.wait_in_pieces(pieces, &attempt, terms.now);
                    self.take_due(terms.now)
                }
                _ => Some(attempt),
            };
        }
        Some(attempt)
    }

    /// The pieces of a batch wait in its place, with its history.
    fn wait_in_pieces(&mut self, pieces: Vec<Batch>, parent: &Attempt, now: Moment) {
        let pieces = pieces.into_iter().map(|batch| Attempt {
            batch,
            lease: Arc::clone(&parent.lease),
            due: now,
            earliest: now,
            possibly_stored: false,
            ..*parent
        });
        self.waiting.extend(pieces);
    }

    /// Reads what exporters have said and let go of, and stops waiting where time is up. Returns the slots freed.
    pub(super) fn sweep(&mut self, log: &mut Log<Segment>, terms: &Terms<'_>) -> usize {
        for index in 0..self.flying.len() {
            let Some(flight) = self.flying.get(index).filter(|f| f.fate == Fate::Open) else {
                continue;
            };
            if let Some(outcome) = flight.receipt.answer() {
                self.settle(index, outcome, terms);
                continue;
            }
            // What the end of a close cuts off is counted with all else that it leaves.
            let closed = terms.closing.is_some_and(|at| at <= terms.now);
            let late = !closed && flight.deadline.is_some_and(|at| at <= terms.now);
            if late && flight.receipt.cancel() {
                let timed_out = Outcome::Retry {
                    after: None,
                    possibly_stored: true,
                    reason: "no answer before the export timeout".into(),
                };
                self.settle(index, timed_out, terms);
            }
        }
        let mut freed = 0;
        let mut index = 0;
        while let Some(flight) = self.flying.get(index) {
            if flight.fate == Fate::Open || !flight.receipt.is_released() {
                index += 1;
                continue;
            }
            let flight = self.flying.remove(index);
            freed += 1;
            self.land(flight, log, terms);
        }
        freed
    }

    /// Takes an answer that came by another way than the reply. `false` when no such attempt is open.
    pub(super) fn complete(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        terms: &Terms<'_>,
    ) -> Option<bool> {
        let index = self
            .flying
            .iter()
            .position(|flight| flight.receipt.ticket() == ticket)?;
        let flight = self.flying.get(index)?;
        if flight.fate != Fate::Open {
            self.account.late_replies += 1;
            return Some(false);
        }
        // A reply that was merely dropped, or went down with its exporter, has said nothing that could contradict.
        match flight.receipt.answer() {
            Some(first) if !matches!(first, Outcome::Unanswered | Outcome::Panicked) => {
                self.account.late_replies += 1;
                self.settle(index, first, terms);
                Some(false)
            }
            // Its answer is being written. The next sweep reads it.
            None if !flight.receipt.cancel() => {
                self.account.late_replies += 1;
                Some(false)
            }
            _ => {
                self.settle(index, outcome, terms);
                Some(true)
            }
        }
    }

    /// Counts what became of a batch.
    fn settle(&mut self, index: usize, outcome: Outcome, terms: &Terms<'_>) {
        let Some(flight) = self.flying.get_mut(index) else {
            return;
        };
        let spans = flight.attempt.spans();
        self.trouble.note(&outcome);
        let mut lost = 0;
        let mut reason = DropReason::Rejected;
        let mut code = None;
        flight.fate = Fate::Done;
        match outcome {
            Outcome::Exported => {}
            Outcome::Partial { rejected, .. } => {
                (reason, lost) = (DropReason::PartiallyRejected, rejected.min(spans));
            }
            Outcome::Rejected { code: said, .. } => (code, lost) = (said, spans),
            Outcome::Unanswered => (reason, lost) = (DropReason::Unanswered, spans),
            Outcome::Panicked => (reason, lost) = (DropReason::Panicked, spans),
            Outcome::TooLarge { limit } => {
                let half = flight.attempt.batch.encoded_len().div_ceil(2);
                if limit.is_some() || spans > 1 {
                    let limit = limit.unwrap_or(half).max(LEAST_LEARNED);
                    self.learned = self.learned.min(limit);
                }
                if spans > 1 {
                    // Pieces differ by a span or so: below the limit by an eighth, all of them fit.
                    flight.fate = Fate::Split(limit.map_or(half, |limit| limit - limit / 8));
                    return;
                }
                (reason, lost) = (DropReason::TooLarge, spans);
            }
            Outcome::Retry {
                after,
                possibly_stored,
                ..
            } => {
                let attempt = &mut flight.attempt;
                attempt.failed = attempt.failed.saturating_add(1);
                attempt.possibly_stored |= possibly_stored;
                attempt.earliest = terms.now.saturating_add(after.unwrap_or_default());
                match terms.closing {
                    Some(_) if attempt.last => reason = DropReason::RetriesExhausted,
                    Some(deadline) if attempt.earliest > deadline => {
                        reason = DropReason::ShutdownDeadline;
                    }
                    Some(_) => {
                        attempt.due = attempt.earliest;
                        flight.fate = Fate::Again;
                        return;
                    }
                    None => {
                        let started = attempt.started.unwrap_or(terms.now);
                        let elapsed = terms.now.saturating_since(started);
                        let retry = &self.settings.retry;
                        let wait = retry.next(attempt.failed, elapsed, after, self.jitter.next());
                        if let Some(wait) = wait {
                            attempt.due = terms.now.saturating_add(wait);
                            flight.fate = Fate::Again;
                            return;
                        }
                        reason = DropReason::RetriesExhausted;
                    }
                }
                lost = spans;
            }
        }
        self.account.in_flight -= spans;
        self.account.dropped.add(reason, lost);
        self.account.exported += spans - lost;
        // The exporter may hold its own for as long as it likes; the engine's is let go before anybody is told.
        let batch = mem::take(&mut flight.attempt.batch);
        acknowledge(&batch, reason, lost, code);
    }

    /// The exporter has let go of a settled batch.
    fn land(&mut self, flight: Flight, log: &mut Log<Segment>, terms: &Terms<'_>) {
        if flight.receipt.answered_late() {
            self.account.late_replies += 1;
        }
        let attempt = flight.attempt;
        match flight.fate {
            Fate::Open | Fate::Done => self.end(attempt.lease, log),
            Fate::Again => self.waiting.push(attempt),
            Fate::Split(bytes) => self.split(attempt, bytes, log, terms),
        }
    }

    fn split(&mut self, parent: Attempt, bytes: usize, log: &mut Log<Segment>, terms: &Terms<'_>) {
        let reason = match parent.batch.split_by(bytes, terms.reserve) {
            Ok(pieces) if covers(&pieces, &parent.batch) => {
                self.wait_in_pieces(pieces, &parent, terms.now);
                return;
            }
            Err(SplitError::NoRoom(_)) => DropReason::NoRoom,
            _ => DropReason::TooLarge,
        };
        self.lose(parent, reason, log);
    }

    /// Counts a batch that is not in flight as lost.
    fn lose(&mut self, attempt: Attempt, reason: DropReason, log: &mut Log<Segment>) {
        self.account.in_flight -= attempt.spans();
        self.account.dropped.add(reason, attempt.spans());
        self.end(attempt.lease, log);
    }

    /// Gives the entries of a batch back to the log, unless a piece of it is still on its way.
    fn end(&mut self, lease: Arc<Lease>, log: &mut Log<Segment>) {
        if let Some(lease) = Arc::into_inner(lease) {
            for (held, less) in self.held.iter_mut().zip(lease.bytes) {
                *held -= less;
            }
            for position in lease.positions {
                log.release(position);
            }
        }
    }

    /// Ends the back-off of every batch with an entry before `position`; what the server asked for stands.
    pub(super) fn hurry(&mut self, position: u64) {
        for attempt in self.backing_off() {
            if attempt.is_before(position) {
                attempt.due = attempt.earliest;
            }
        }
    }

    /// The close has begun: every batch has one more attempt, as soon as the server allows, or none.
    pub(super) fn begin_close(&mut self, log: &mut Log<Segment>, deadline: Moment) {
        self.hurry(u64::MAX);
        for attempt in mem::take(&mut self.waiting) {
            if attempt.earliest > deadline {
                self.lose(attempt, DropReason::ShutdownDeadline, log);
            } else {
                self.waiting.push(attempt);
            }
        }
        for flight in &mut self.flying {
            let deadline = flight.deadline.map_or(deadline, |own| own.min(deadline));
            flight.deadline = Some(deadline);
        }
    }

    fn backing_off(&mut self) -> impl Iterator<Item = &mut Attempt> {
        let landing = self
            .flying
            .iter_mut()
            .filter(|flight| flight.fate == Fate::Again)
            .map(|flight| &mut flight.attempt);
        self.waiting.iter_mut().chain(landing)
    }

    /// The deadline of the close has passed: whatever is left is lost.
    pub(super) fn abandon(&mut self, log: &mut Log<Segment>) {
        for attempt in mem::take(&mut self.waiting) {
            self.lose(attempt, DropReason::ShutdownDeadline, log);
        }
        for flight in &mut self.flying {
            if flight.fate != Fate::Done {
                if flight.fate == Fate::Open {
                    self.trouble.cut_off();
                }
                flight.receipt.cancel();
                flight.fate = Fate::Done;
                let batch = mem::take(&mut flight.attempt.batch);
                let spans = batch.spans() as u64;
                self.account.in_flight -= spans;
                self.account
                    .dropped
                    .add(DropReason::ShutdownDeadline, spans);
            }
        }
        while let Some(Load { spans, .. }) = log.skip(self.cursor) {
            self.account
                .dropped
                .add(DropReason::ShutdownDeadline, spans);
        }
    }
}

/// Whether a lane with this share, of which so much is held, may take more. What is larger than the share goes out alone.
fn admits(share: Allowance, held: [usize; 2], door: Door, more: usize) -> bool {
    share.left(door, held) >= more || share.left(door, held) == share.most(door)
}

/// Whether the pieces hold as many spans as the whole.
fn covers(pieces: &[Batch], whole: &Batch) -> bool {
    pieces.iter().map(Batch::spans).sum::<usize>() == whole.spans()
}

/// Tells the senders who wait. What a server has taken in part it has taken: the request is not to be sent again.
fn acknowledge(batch: &Batch, reason: DropReason, lost: u64, code: Option<NonZeroU8>) {
    let is_exported = lost == 0 || reason == DropReason::PartiallyRejected;
    let is_final = matches!(reason, DropReason::Rejected | DropReason::TooLarge);
    for segment in batch.segments() {
        match segment.ack() {
            Some(ack) if is_exported => ack.deliver(segment.spans()),
            Some(ack) if is_final => ack.reject(segment.spans(), code),
            _ => {}
        }
    }
}
