//! The real cell between an exporter and the engine under every order of its steps.

use core::task::Waker;
use core::time::Duration;
use std::string::ToString;
use std::sync::Arc as StdArc;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::*;

fn pair() -> (Receipt, Reply) {
    Receipt::new(Ticket::from_number(7), None, Waker::noop().clone())
}

/// An answer that fills every word of the cell.
fn wordy() -> Outcome {
    Outcome::Retry {
        after: Some(Duration::new(3, 5)),
        possibly_stored: true,
        reason: "busy".into(),
    }
}

/// An answer races with the timeout: one of them settles the batch, and an answer that is seen is whole.
#[test]
fn loom_answer_against_timeout() {
    loom::model(|| {
        let (receipt, reply) = pair();
        let exporter = thread::spawn(move || reply.done(wordy()));
        let seen = receipt.answer();
        if let Some(seen) = &seen {
            assert_eq!(*seen, wordy());
        }
        let cancelled = receipt.cancel();
        assert!(!(cancelled && seen.is_some()));
        // Once cancelled, no answer is ever seen.
        assert!(!(cancelled && receipt.answer().is_some()));
        exporter.join().unwrap();
        assert_eq!(receipt.answer(), (!cancelled).then(wordy));
        assert_eq!(receipt.answered_late(), cancelled);
        assert!(receipt.is_released());
    });
}

/// A reply that is let go of races with the timeout: it was asked to go, so it is not late.
#[test]
fn loom_drop_against_timeout() {
    loom::model(|| {
        let (receipt, reply) = pair();
        let exporter = thread::spawn(move || drop(reply));
        let cancelled = receipt.cancel();
        exporter.join().unwrap();
        let answer = (!cancelled).then_some(Outcome::Unanswered);
        assert_eq!(receipt.answer(), answer);
        assert!(!receipt.answered_late());
        assert!(receipt.is_released());
    });
}

/// Batch and reply are dropped by two threads: the slot is free only after both, and what either did before is done.
#[test]
fn loom_batch_and_reply_go() {
    loom::model(|| {
        let (receipt, reply) = pair();
        let hold = receipt.hold();
        let used = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        let uses = |at: usize| {
            let used = used.clone();
            move || used[at].store(1, Ordering::Relaxed)
        };
        let (with_batch, with_reply) = (uses(0), uses(1));
        let batch = thread::spawn(move || {
            with_batch();
            drop(hold);
        });
        let answer = thread::spawn(move || {
            with_reply();
            drop(reply);
        });
        if receipt.is_released() {
            for used in used.iter() {
                assert_eq!(used.load(Ordering::Relaxed), 1);
            }
        }
        batch.join().unwrap();
        answer.join().unwrap();
        assert!(receipt.is_released());
    });
}

/// The caller of an exporter says that it panicked while a thread of the exporter answers: the batch is settled once,
/// and by the answer where there is one.
#[test]
fn loom_answered_twice() {
    loom::model(|| {
        let (receipt, reply) = pair();
        let exporter = thread::spawn(move || reply.done(wordy()));
        // What `Engine::complete` asks of the cell.
        let by_call = receipt.answer().is_none() && receipt.cancel();
        exporter.join().unwrap();
        let by_reply = receipt.answer() == Some(wordy());
        assert!(by_call != by_reply);
        assert_eq!(receipt.answered_late(), by_call);
    });
}

/// Whoever is woken by an answer finds it there, and the slot free: once is enough.
#[test]
fn loom_a_wake_up_follows_the_answer() {
    struct Woken(AtomicUsize);
    impl std::task::Wake for Woken {
        fn wake(self: StdArc<Self>) {
            // Release, as a waker that wakes another thread has to.
            self.0.fetch_add(1, Ordering::Release);
        }
    }
    loom::model(|| {
        let woken = StdArc::new(Woken(AtomicUsize::new(0)));
        let (receipt, reply) = Receipt::new(Ticket::from_number(7), None, woken.clone().into());
        let exporter = thread::spawn(move || reply.done(wordy()));
        match woken.0.load(Ordering::Acquire) {
            0 => {}
            _ => {
                assert_eq!(receipt.answer(), Some(wordy()));
                assert!(receipt.is_released());
            }
        }
        exporter.join().unwrap();
        assert_eq!(woken.0.load(Ordering::Acquire), 1);
        assert!(!receipt.ticket().to_string().is_empty());
    });
}
