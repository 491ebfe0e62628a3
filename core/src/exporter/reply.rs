//! The answer to a batch: written once by whoever has the reply, read by the engine.
//!
//! The two sides share one cell of atomics, so that an answer needs no lock and no channel in any tier. Numbers and text
//! are written between two steps of the cell's state, and read only after the second.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU8;
use core::task::Waker;
use core::time::Duration;

use super::Outcome;
use crate::clock::Moment;
use crate::sync::{AtomicBool, AtomicUsize, Ordering};

/// The name of one attempt to export one batch. Never used twice by one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// The ticket with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number of the ticket.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The right to say, once, what became of a batch.
///
/// Dropped without an answer it says [`Outcome::Unanswered`]; with `std`, where the thread that drops it is panicking,
/// [`Outcome::Panicked`].
///
/// ```
/// use core::task::Waker;
/// use spanwire_core::exporter::{Outcome, Receipt, Ticket};
///
/// // The engine keeps the receipt and hands out the reply.
/// let (receipt, reply) = Receipt::new(Ticket::from_number(1), None, Waker::noop().clone());
/// assert_eq!(receipt.answer(), None);
///
/// std::thread::spawn(move || reply.done(Outcome::retry("connection refused"))).join().unwrap();
/// assert_eq!(receipt.answer(), Some(Outcome::retry("connection refused")));
/// ```
#[must_use = "a reply dropped without an answer counts the batch as lost"]
pub struct Reply {
    cell: Arc<Cell>,
    done: bool,
}

impl Reply {
    /// Says what became of the batch, and wakes the engine. An answer after [`cancelled`](Self::cancelled) is counted and
    /// settles nothing.
    pub fn done(mut self, outcome: Outcome) {
        self.done = true;
        self.cell.write(&outcome);
    }

    /// The attempt this is the reply to.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.cell.ticket
    }

    /// When the engine stops waiting for the answer, on the pipeline's monotonic clock. `None`: it never does by itself.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        self.cell.deadline
    }

    /// Whether the engine has stopped waiting. The exporter should drop the batch and this reply soon: until then both
    /// keep their slot and their memory.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        self.cell.state.load(Ordering::Relaxed) >= CANCELLED
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.done {
            self.cell.write(&unanswered());
        }
        self.cell.release();
        // Once for both: that there is an answer, and that the slot is free if the batch has gone before, as it should.
        self.cell.waker.wake_by_ref();
    }
}

/// What a reply says that was let go: that its holder panicked, where that can be told.
fn unanswered() -> Outcome {
    #[cfg(feature = "std")]
    if std::thread::panicking() {
        return Outcome::Panicked;
    }
    Outcome::Unanswered
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("ticket", &self.cell.ticket)
            .field("deadline", &self.cell.deadline)
            .field("cancelled", &self.cancelled())
            .finish()
    }
}

/// Travels inside the batch that is handed out; when the last clone of that batch is gone, so is this.
pub struct Hold(Arc<Cell>);

impl Drop for Hold {
    fn drop(&mut self) {
        // Before the answer there is nothing to be done about a batch that is gone.
        if self.0.release() {
            self.0.waker.wake_by_ref();
        }
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.0.ticket).finish()
    }
}

/// The other side of a [`Reply`]: what the engine keeps. Also of use in an exporter's own tests.
pub struct Receipt {
    cell: Arc<Cell>,
}

impl Receipt {
    /// The most bytes of a text that an answer keeps; a longer one is cut between two characters.
    pub const TEXT_LIMIT: usize = 240;

    /// The two sides of an answer. `waker` is woken when there is an answer, and when reply and batch are both gone.
    pub fn new(ticket: Ticket, deadline: Option<Moment>, waker: Waker) -> (Self, Reply) {
        let cell = Arc::new(Cell {
            ticket,
            deadline,
            waker,
            state: AtomicUsize::new(OPEN),
            holders: AtomicUsize::new(1),
            kind: AtomicUsize::new(0),
            flag: AtomicBool::new(false),
            number: AtomicUsize::new(0),
            seconds: AtomicUsize::new(0),
            nanos: AtomicUsize::new(0),
            length: AtomicUsize::new(0),
            text: core::array::from_fn(|_| AtomicUsize::new(0)),
        });
        let reply = Reply {
            cell: Arc::clone(&cell),
            done: false,
        };
        (Self { cell }, reply)
    }

    /// What the batch carries while it is in the exporter's hands.
    pub fn hold(&self) -> Hold {
        self.cell.holders.fetch_add(1, Ordering::Relaxed);
        Hold(Arc::clone(&self.cell))
    }

    /// The attempt.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.cell.ticket
    }

    /// The answer, if one was given before [`cancel`](Self::cancel).
    #[must_use]
    pub fn answer(&self) -> Option<Outcome> {
        // Acquire: pairs with the release of `write`, so that the words of the answer are there.
        (self.cell.state.load(Ordering::Acquire) == ANSWERED).then(|| self.cell.read())
    }

    /// Stops waiting: marks the reply cancelled. `false` when an answer was there first, or is being written.
    pub fn cancel(&self) -> bool {
        self.cell
            .state
            .compare_exchange(OPEN, CANCELLED, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether an answer came after [`cancel`](Self::cancel).
    #[must_use]
    pub fn answered_late(&self) -> bool {
        self.cell.state.load(Ordering::Relaxed) == LATE
    }

    /// Whether the reply and the batch are both gone.
    #[must_use]
    pub fn is_released(&self) -> bool {
        // Acquire: pairs with the release of `release`; what the exporter did with the batch happened before.
        self.cell.holders.load(Ordering::Acquire) == 0
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("ticket", &self.cell.ticket)
            .field("answer", &self.answer())
            .field("released", &self.is_released())
            .finish()
    }
}

/// Nothing said yet.
const OPEN: usize = 0;
/// The reply is writing its answer.
const WRITING: usize = 1;
/// The answer is there.
const ANSWERED: usize = 2;
/// The engine stopped waiting.
const CANCELLED: usize = 3;
/// The engine stopped waiting, and an answer came after.
const LATE: usize = 4;

const EXPORTED: usize = 0;
const PARTIAL: usize = 1;
const RETRY: usize = 2;
const RETRY_AFTER: usize = 3;
const TOO_LARGE: usize = 4;
const TOO_LARGE_FOR: usize = 5;
const REJECTED: usize = 6;
const UNANSWERED: usize = 7;
const PANICKED: usize = 8;

/// The bytes of a word of text.
const WORD: usize = size_of::<usize>();

struct Cell {
    ticket: Ticket,
    deadline: Option<Moment>,
    waker: Waker,
    /// OPEN -> WRITING -> ANSWERED by the reply; OPEN -> CANCELLED by the engine; CANCELLED -> LATE by the reply.
    state: AtomicUsize,
    /// The reply and the batch, as long as they are there.
    holders: AtomicUsize,
    // The answer: written by the one reply while WRITING, read once ANSWERED.
    kind: AtomicUsize,
    flag: AtomicBool,
    number: AtomicUsize,
    seconds: AtomicUsize,
    nanos: AtomicUsize,
    length: AtomicUsize,
    /// The bytes of a text, a word's at a time.
    text: [AtomicUsize; Receipt::TEXT_LIMIT / WORD],
}

impl Cell {
    fn write(&self, outcome: &Outcome) {
        let began =
            self.state
                .compare_exchange(OPEN, WRITING, Ordering::Relaxed, Ordering::Relaxed);
        if began.is_err() {
            // Letting go of a cancelled reply is what it was asked to do; only an answer is late.
            if *outcome != Outcome::Unanswered {
                let _ = self.state.compare_exchange(
                    CANCELLED,
                    LATE,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
            return;
        }
        let kind = match outcome {
            Outcome::Exported => EXPORTED,
            Outcome::Partial { rejected, message } => {
                self.write_number(usize::try_from(*rejected).unwrap_or(usize::MAX));
                self.write_text(message);
                PARTIAL
            }
            Outcome::Retry {
                after,
                possibly_stored,
                reason,
            } => {
                self.flag.store(*possibly_stored, Ordering::Relaxed);
                self.write_text(reason);
                match after {
                    None => RETRY,
                    Some(after) => {
                        let seconds = usize::try_from(after.as_secs()).unwrap_or(usize::MAX);
                        self.seconds.store(seconds, Ordering::Relaxed);
                        self.nanos
                            .store(after.subsec_nanos() as usize, Ordering::Relaxed);
                        RETRY_AFTER
                    }
                }
            }
            Outcome::TooLarge { limit: None } => TOO_LARGE,
            Outcome::TooLarge { limit: Some(limit) } => {
                self.write_number(*limit);
                TOO_LARGE_FOR
            }
            Outcome::Rejected { code, reason } => {
                self.write_number(code.map_or(0, |code| usize::from(code.get())));
                self.write_text(reason);
                REJECTED
            }
            Outcome::Unanswered => UNANSWERED,
            Outcome::Panicked => PANICKED,
        };
        self.kind.store(kind, Ordering::Relaxed);
        // Release: pairs with the acquire of `answer`.
        self.state.store(ANSWERED, Ordering::Release);
    }

    fn write_number(&self, number: usize) {
        self.number.store(number, Ordering::Relaxed);
    }

    fn write_text(&self, text: &str) {
        let mut length = text.len().min(Receipt::TEXT_LIMIT);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        let kept = text.as_bytes().get(..length).unwrap_or_default();
        for (to, from) in self.text.iter().zip(kept.chunks(WORD)) {
            let mut word = [0; WORD];
            for (to, from) in word.iter_mut().zip(from) {
                *to = *from;
            }
            to.store(usize::from_ne_bytes(word), Ordering::Relaxed);
        }
        self.length.store(length, Ordering::Relaxed);
    }

    fn read(&self) -> Outcome {
        match self.kind.load(Ordering::Relaxed) {
            EXPORTED => Outcome::Exported,
            PARTIAL => Outcome::Partial {
                rejected: self.number.load(Ordering::Relaxed) as u64,
                message: self.read_text(),
            },
            kind @ (RETRY | RETRY_AFTER) => Outcome::Retry {
                after: (kind == RETRY_AFTER).then(|| {
                    let nanos = self.nanos.load(Ordering::Relaxed) as u32;
                    Duration::new(self.seconds.load(Ordering::Relaxed) as u64, nanos)
                }),
                possibly_stored: self.flag.load(Ordering::Relaxed),
                reason: self.read_text(),
            },
            TOO_LARGE => Outcome::TooLarge { limit: None },
            TOO_LARGE_FOR => Outcome::TooLarge {
                limit: Some(self.number.load(Ordering::Relaxed)),
            },
            REJECTED => Outcome::Rejected {
                code: NonZeroU8::new(self.number.load(Ordering::Relaxed) as u8),
                reason: self.read_text(),
            },
            PANICKED => Outcome::Panicked,
            _ => Outcome::Unanswered,
        }
    }

    fn read_text(&self) -> Cow<'static, str> {
        let length = self.length.load(Ordering::Relaxed);
        let words = self.text.iter().map(|word| word.load(Ordering::Relaxed));
        let bytes: Vec<u8> = words.flat_map(usize::to_ne_bytes).take(length).collect();
        Cow::Owned(String::from_utf8(bytes).unwrap_or_default())
    }

    /// One holder less. Whether it was the last.
    fn release(&self) -> bool {
        // Release: pairs with the acquire of `is_released`.
        self.holders.fetch_sub(1, Ordering::Release) == 1
    }
}

#[cfg(all(test, not(spanwire_loom)))]
mod tests {
    use std::string::ToString;

    use super::*;

    fn pair() -> (Receipt, Reply) {
        Receipt::new(Ticket::from_number(7), None, Waker::noop().clone())
    }

    #[test]
    fn every_outcome_crosses_whole() {
        let all = [
            Outcome::Exported,
            Outcome::Partial {
                rejected: 3,
                message: "attribute too long".into(),
            },
            Outcome::retry("connection refused"),
            Outcome::Retry {
                after: Some(Duration::new(1, 500_000_000)),
                possibly_stored: true,
                reason: "busy".into(),
            },
            Outcome::TooLarge { limit: None },
            Outcome::TooLarge {
                limit: Some(4 << 20),
            },
            Outcome::rejected("permission denied"),
            Outcome::Rejected {
                code: NonZeroU8::new(16),
                reason: "no token".into(),
            },
            Outcome::Unanswered,
            Outcome::Panicked,
        ];
        for outcome in all {
            let (receipt, reply) = pair();
            reply.done(outcome.clone());
            assert_eq!(receipt.answer(), Some(outcome.clone()));
            assert!(!outcome.to_string().is_empty());
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let (receipt, reply) = pair();
        let text = "ö".repeat(200);
        reply.done(Outcome::rejected(text));
        let kept = "ö".repeat(120);
        assert_eq!(receipt.answer(), Some(Outcome::rejected(kept)));
        let (receipt, reply) = pair();
        reply.done(Outcome::rejected("x".to_string() + &"ö".repeat(200)));
        let kept = "x".to_string() + &"ö".repeat(119);
        assert_eq!(receipt.answer(), Some(Outcome::rejected(kept)));
    }

    #[test]
    fn a_dropped_reply_says_unanswered() {
        let (receipt, reply) = pair();
        drop(reply);
        assert_eq!(receipt.answer(), Some(Outcome::Unanswered));
        assert!(receipt.is_released());
    }

    #[test]
    fn an_answer_after_the_timeout_is_late_and_settles_nothing() {
        let (receipt, reply) = pair();
        assert!(receipt.cancel());
        assert!(reply.cancelled());
        reply.done(Outcome::Exported);
        assert_eq!(receipt.answer(), None);
        assert!(receipt.answered_late());
        // Letting go without an answer is not late.
        let (receipt, reply) = pair();
        assert!(receipt.cancel());
        drop(reply);
        assert_eq!(receipt.answer(), None);
        assert!(!receipt.answered_late());
    }

    #[test]
    fn an_answer_before_the_timeout_stands() {
        let (receipt, reply) = pair();
        reply.done(Outcome::Exported);
        assert!(!receipt.cancel());
        assert_eq!(receipt.answer(), Some(Outcome::Exported));
    }

    #[test]
    fn the_slot_is_free_when_batch_and_reply_are_both_gone() {
        let (receipt, reply) = pair();
        let hold = receipt.hold();
        reply.done(Outcome::Exported);
        assert!(!receipt.is_released());
        drop(hold);
        assert!(receipt.is_released());
    }

    #[test]
    fn the_engine_is_woken_once_for_an_answer_and_the_batch_that_went_before_it() {
        struct Woken(AtomicUsize);
        impl alloc::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        for batch_first in [true, false] {
            let woken = Arc::new(Woken(AtomicUsize::new(0)));
            let wakes = || woken.0.load(Ordering::Relaxed);
            let waker = Waker::from(woken.clone());
            let (receipt, reply) = Receipt::new(Ticket::from_number(7), None, waker);
            let hold = receipt.hold();
            if batch_first {
                drop(hold);
                assert_eq!(wakes(), 0, "there is nothing to do yet");
                reply.done(Outcome::Exported);
                assert_eq!(wakes(), 1);
            } else {
                reply.done(Outcome::Exported);
                assert_eq!(wakes(), 1);
                drop(hold);
                assert_eq!(wakes(), 2, "a slot is free");
            }
        }
    }
}
