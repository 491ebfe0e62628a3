//! What became of the spans of one request, for a sender who waits for it.

use alloc::boxed::Box;
use core::fmt;

use crate::sync::{AtomicUsize, Ordering};

/// What became of a request that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivered {
    /// Every exporter has sent every span that no filter took out.
    Exported,
    /// A server refused spans for good: sending them again changes nothing.
    Rejected,
    /// Spans were given up on the way: attempts or time ran out, or others needed the room.
    Lost,
}

/// Counts deliveries of the spans of one request: a span is delivered once for each lane behind its door. Shared by all
/// segments and pieces of the request; with the last of them it tells.
///
/// What nobody counts is lost, so that no way out of the engine has to remember to say so.
pub(crate) struct Ack {
    expected: AtomicUsize,
    delivered: AtomicUsize,
    rejected: AtomicUsize,
    tell: Option<Box<dyn FnOnce(Delivered) + Send + Sync>>,
}

impl Ack {
    pub(crate) fn new(tell: impl FnOnce(Delivered) + Send + Sync + 'static) -> Self {
        Self {
            expected: AtomicUsize::new(0),
            delivered: AtomicUsize::new(0),
            rejected: AtomicUsize::new(0),
            tell: Some(Box::new(tell)),
        }
    }

    /// A pipeline has admitted spans, once for each of its lanes.
    pub(crate) fn expect(&self, spans: usize) {
        self.expected.fetch_add(spans, Ordering::Relaxed);
    }

    /// Spans were exported by a lane, or taken out on purpose.
    pub(crate) fn deliver(&self, spans: usize) {
        self.delivered.fetch_add(spans, Ordering::Relaxed);
    }

    /// A server will never take these spans.
    pub(crate) fn reject(&self, spans: usize) {
        self.rejected.fetch_add(spans, Ordering::Relaxed);
    }

    fn verdict(&self) -> Delivered {
        let [expected, delivered, rejected] =
            [&self.expected, &self.delivered, &self.rejected].map(|n| n.load(Ordering::Relaxed));
        if expected > 0 && delivered == expected {
            Delivered::Exported
        } else if rejected > 0 && delivered.saturating_add(rejected) == expected {
            Delivered::Rejected
        } else {
            Delivered::Lost
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        let verdict = self.verdict();
        if let Some(tell) = self.tell.take() {
            tell(verdict);
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ack").field(&self.verdict()).finish()
    }
}
