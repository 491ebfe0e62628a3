//! What became of the spans of one request, for a sender who waits for it.

use alloc::boxed::Box;
use core::fmt;
use core::num::NonZeroU8;

use crate::sync::{AtomicUsize, Ordering};

/// What became of a request that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivered {
    /// Every exporter has sent every span that no filter took out.
    Exported,
    /// A server refused spans for good: sending them again changes nothing.
    Rejected {
        /// The code of the gRPC status that it gave, from 1 to 16, or that its HTTP status stands for; `None` where it gave
        /// none. Of several servers, what one of them gave.
        code: Option<NonZeroU8>,
    },
    /// A processor fails on spans, for a condition that can't be computed: sending them again changes nothing.
    Failed,
    /// Processors have passed on every span, up to the first that gathers them, as [`Intake::screen`] waits for.
    ///
    /// [`Intake::screen`]: crate::pipeline::Intake::screen
    Passed,
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
    /// What the first server gave for a reason; zero: none has yet.
    code: AtomicUsize,
    failed: AtomicUsize,
    /// Whether the sender waits no longer than processors have passed on the spans.
    screens: bool,
    tell: Option<Box<dyn FnOnce(Delivered) + Send + Sync>>,
}

impl Ack {
    pub(crate) fn new(tell: impl FnOnce(Delivered) + Send + Sync + 'static) -> Self {
        Self {
            expected: AtomicUsize::new(0),
            delivered: AtomicUsize::new(0),
            rejected: AtomicUsize::new(0),
            code: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            screens: false,
            tell: Some(Box::new(tell)),
        }
    }

    /// The same, delivered when processors have passed on the spans.
    pub(crate) fn of_screening(mut self) -> Self {
        self.screens = true;
        self
    }

    pub(crate) fn is_screening(&self) -> bool {
        self.screens
    }

    /// A pipeline has admitted spans, once for each of its lanes.
    pub(crate) fn expect(&self, spans: usize) {
        self.expected.fetch_add(spans, Ordering::Relaxed);
    }

    /// Spans were exported by a lane, or taken out on purpose.
    pub(crate) fn deliver(&self, spans: usize) {
        self.delivered.fetch_add(spans, Ordering::Relaxed);
    }

    /// A server will never take these spans, and has said why or not.
    pub(crate) fn reject(&self, spans: usize, code: Option<NonZeroU8>) {
        if let Some(code) = code {
            let code = usize::from(code.get());
            let _another =
                self.code
                    .compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
        }
        self.rejected.fetch_add(spans, Ordering::Relaxed);
    }

    /// A processor fails on these spans.
    pub(crate) fn fail(&self, spans: usize) {
        self.failed.fetch_add(spans, Ordering::Relaxed);
    }

    fn verdict(&self) -> Delivered {
        let [expected, delivered, rejected] =
            [&self.expected, &self.delivered, &self.rejected].map(|n| n.load(Ordering::Relaxed));
        let failed = self.failed.load(Ordering::Relaxed);
        if expected > 0 && delivered == expected {
            match self.screens {
                true => Delivered::Passed,
                false => Delivered::Exported,
            }
        } else if failed > 0 {
            Delivered::Failed
        } else if rejected > 0 && delivered.saturating_add(rejected) == expected {
            Delivered::Rejected {
                code: NonZeroU8::new(self.code.load(Ordering::Relaxed) as u8),
            }
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
