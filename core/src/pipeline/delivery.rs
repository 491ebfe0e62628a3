//! Waiting for a request to leave by every exporter.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Mutex, PoisonError};

use crate::batch::{Ack, Delivered};
use crate::worker;

/// A request that was admitted, on its way: a future of what becomes of it. Made by
/// [`Intake::deliver`](super::Intake::deliver).
///
/// It is ready when no part of the request is left in the pipeline, and its memory has been given back. That may take
/// as long as a batch waits and an exporter retries: whoever waits sets a limit. Dropped, it changes nothing for the spans.
#[must_use = "a delivery does nothing unless it is awaited"]
pub struct Delivery {
    spans: usize,
    slot: Arc<Mutex<Slot>>,
}

#[derive(Default)]
struct Slot {
    delivered: Option<Delivered>,
    waker: Option<Waker>,
}

impl Delivery {
    /// The delivery of so many spans, and what the segments of the request carry along.
    pub(super) fn new(spans: usize) -> (Self, Arc<Ack>) {
        Self::with(spans, |ack| ack)
    }

    /// The same, which waits for processors alone.
    pub(super) fn of_screening(spans: usize) -> (Self, Arc<Ack>) {
        Self::with(spans, Ack::of_screening)
    }

    fn with(spans: usize, as_asked: fn(Ack) -> Ack) -> (Self, Arc<Ack>) {
        let slot = Arc::<Mutex<Slot>>::default();
        let told = slot.clone();
        let ack = as_asked(Ack::new(move |delivered| fill(&told, delivered)));
        (Self { spans, slot }, Arc::new(ack))
    }

    /// The delivery of a request without spans.
    pub(super) fn of_nothing() -> Self {
        let delivered = Some(Delivered::Exported);
        let slot = Slot {
            delivered,
            waker: None,
        };
        Self {
            spans: 0,
            slot: Arc::new(Mutex::new(slot)),
        }
    }

    /// The spans of the request.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.spans
    }
}

fn fill(slot: &Mutex<Slot>, delivered: Delivered) {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    slot.delivered = Some(delivered);
    let waker = slot.waker.take();
    drop(slot);
    // Wakers are the caller's code, and this is the middle of the engine.
    if let Some(waker) = waker {
        worker::contained(|| waker.wake());
    }
}

impl Future for Delivery {
    type Output = Delivered;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Delivered> {
        // No waker is cloned or dropped while the lock is held.
        let waker = context.waker().clone();
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(delivered) = slot.delivered {
            drop(slot);
            return Poll::Ready(delivered);
        }
        let former = slot.waker.replace(waker);
        drop(slot);
        drop(former);
        Poll::Pending
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("spans", &self.spans)
            .finish_non_exhaustive()
    }
}
