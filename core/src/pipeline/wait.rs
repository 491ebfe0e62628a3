//! Waiting for the worker's answer: on a thread, or as a future.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};

use super::life::{Known, Life};
use super::report::Report;
use crate::clock::Moment;
use crate::worker::{self, Answer, Settled};

/// How much longer than its deadline a worker is waited for, before it is given up. A thread that waits counts it from when
/// it has noticed that the deadline is over: where a whole process was held up, its worker was too.
const GRACE: Duration = Duration::from_millis(30);

/// Asks, and waits for the answer on this thread. `None` when none will come or none came in time.
///
/// On a thread of a pipeline it asks and does not wait.
pub(super) fn blocking(
    life: &Life,
    timeout: Duration,
    ask: impl FnOnce(Moment, Answer) -> bool,
) -> Option<Settled> {
    let deadline = life.deadline(timeout);
    if worker::is_pipeline_thread() {
        ask(deadline, Box::new(|_| {}));
        return None;
    }
    let (sender, receiver) = sync_channel(1);
    let answer = Box::new(move |settled: Settled| {
        // Where nobody waits any more, the answer is not needed.
        let _ = sender.send(settled);
    });
    if !ask(deadline, answer) {
        return None;
    }
    let in_time = receiver.recv_timeout(timeout);
    in_time.or_else(|_| receiver.recv_timeout(GRACE)).ok()
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
    known: Known,
    /// Polled after this it stops waiting.
    until: Moment,
}

/// Asks, and makes the answer a future. On a thread of a pipeline the future is ready at once.
pub(super) fn future(
    life: &Arc<Life>,
    timeout: Duration,
    ask: impl FnOnce(Moment, Answer) -> bool,
) -> Waiting {
    let known = life.known();
    let slot = Arc::new(Mutex::new(Slot::default()));
    let fill = Fill(slot.clone());
    let answer = Box::new(move |settled| fill.fill(Some(settled)));
    let asked = ask(life.deadline(timeout), answer);
    if !asked || worker::is_pipeline_thread() {
        Fill(slot.clone()).fill(None);
    }
    Waiting {
        slot,
        life: life.clone(),
        known,
        until: life.deadline(timeout.saturating_add(GRACE)),
    }
}

impl Future for Waiting {
    type Output = Report;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Report> {
        // Wakers are the caller's code: none is cloned or dropped while the lock is held.
        let waker = context.waker().clone();
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = slot.settled.take();
        if settled.is_none() && !slot.done {
            let former = slot.waker.replace(waker);
            drop(slot);
            drop(former);
            if self.life.deadline(Duration::ZERO) < self.until {
                return Poll::Pending;
            }
        } else {
            drop(slot);
        }
        Poll::Ready(self.life.report(settled, self.known))
    }
}
