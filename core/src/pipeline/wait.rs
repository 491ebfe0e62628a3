//! Waiting for the worker's answer: on a thread, or as a future.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use super::life::Life;
use super::report::Report;
use crate::clock::Moment;
use crate::worker::{Answer, Settled};

/// How much longer than its deadline a worker is waited for, before it is given up.
const GRACE: Duration = Duration::from_millis(40);

/// Asks, and waits for the answer on this thread. `None` when it did not come in time.
pub(super) fn blocking(
    timeout: Duration,
    ask: impl FnOnce(Moment, Answer) -> bool,
    life: &Life,
) -> Option<Settled> {
    let (sender, receiver) = sync_channel(1);
    let answer = Box::new(move |settled: Settled| {
        // Where nobody waits any more, the answer is not needed.
        let _ = sender.send(settled);
    });
    if !ask(life.deadline(timeout), answer) {
        return None;
    }
    receiver.recv_timeout(timeout.saturating_add(GRACE)).ok()
}

/// Where the answer to an asynchronous caller is left.
#[derive(Default)]
struct Slot {
    settled: Option<Settled>,
    /// The worker is done with this call, whether it left an answer or not.
    done: bool,
    waker: Option<Waker>,
}

/// The worker's side of a slot.
struct Fill(Arc<Mutex<Slot>>);

impl Fill {
    fn fill(&self, settled: Option<Settled>) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.done = true;
        if settled.is_some() {
            slot.settled = settled;
        }
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.fill(None);
    }
}

/// An answer that is awaited.
pub(super) struct Waiting {
    slot: Arc<Mutex<Slot>>,
    life: Arc<Life>,
}

/// Asks, and makes the answer a future.
pub(super) fn future(
    timeout: Duration,
    ask: impl FnOnce(Moment, Answer) -> bool,
    life: &Arc<Life>,
) -> Waiting {
    let slot = Arc::new(Mutex::new(Slot::default()));
    let fill = Fill(slot.clone());
    let answer = Box::new(move |settled| fill.fill(Some(settled)));
    // Where the worker has ended, the answer is dropped at once, and the slot says so.
    ask(life.deadline(timeout), answer);
    Waiting {
        slot,
        life: life.clone(),
    }
}

impl Future for Waiting {
    type Output = Report;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Report> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        match (slot.settled.take(), slot.done) {
            (Some(settled), _) => Poll::Ready(self.life.report(settled)),
            (None, true) => Poll::Ready(self.life.unanswered()),
            (None, false) => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
