//! An exporter that keeps what it is given.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use std::sync::{Mutex, PoisonError};

use crate::batch::Batch;
use crate::clock::Moment;
use crate::exporter::{Exporter, Outcome, Reply};
use crate::wire::view::{Request, ResourceSpans, ScopeSpans, Span};

/// Keeps the request bytes of every batch, and answers at once. Clones are handles on the same store: one goes into the
/// pipeline, the other stays with the test.
///
/// The bytes are copied, so that what a test keeps holds back no block of the ring; no budget covers them.
///
/// ```
/// use core::task::Waker;
/// use spanwire_core::batch::{Batch, Head, Segment};
/// use spanwire_core::clock::Moment;
/// use spanwire_core::exporter::{Exporter, Outcome, Receipt, Ticket};
/// use spanwire_core::limiter::Door;
/// use spanwire_core::testing::InMemoryExporter;
///
/// let store = InMemoryExporter::new();
/// let mut exporter = store.clone();
///
/// // What an engine does: a batch of one span called "GET", and somewhere to say what became of it.
/// let body = b"\x12\x07\x12\x05\x2a\x03GET".as_slice().into();
/// let batch = Batch::from_iter([Segment::new(Head::default(), body, 1, Moment::from_nanos(0), Door::Own)]);
/// let (receipt, reply) = Receipt::new(Ticket::from_number(0), None, Waker::noop().clone());
/// exporter.export(batch, reply);
///
/// assert_eq!(receipt.answer(), Some(Outcome::Exported));
/// assert_eq!(store.span_names(), ["GET"]);
/// ```
#[derive(Clone, Default)]
pub struct InMemoryExporter(Arc<Mutex<Store>>);

#[derive(Default)]
struct Store {
    requests: Vec<Bytes>,
    outcomes: VecDeque<Outcome>,
    shut_down: bool,
}

impl InMemoryExporter {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers the next batch with `outcome` instead of [`Outcome::Exported`]. Called more than once, for the batches
    /// after that. Only what is exported, or exported in part, is kept.
    pub fn answer_next(&self, outcome: Outcome) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .outcomes
            .push_back(outcome);
    }

    /// The requests kept, each an encoded `ExportTraceServiceRequest`, in the order in which they came.
    #[must_use]
    pub fn requests(&self) -> Vec<Bytes> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .requests
            .clone()
    }

    /// The number of spans kept.
    #[must_use]
    pub fn span_count(&self) -> usize {
        let mut count = 0;
        self.each_span(|_, _, _| count += 1);
        count
    }

    /// The names of the spans kept, in the order in which they came.
    #[must_use]
    pub fn span_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.each_span(|_, _, span| names.push(span.name().to_string()));
        names
    }

    /// Shows every span kept, with its resource and its scope.
    pub fn each_span(&self, mut show: impl FnMut(ResourceSpans<'_>, ScopeSpans<'_>, Span<'_>)) {
        // The lock is not held while `show` runs.
        for request in self.requests() {
            for resource in Request::new(&request).resource_spans() {
                for scope in resource.scope_spans() {
                    for span in scope.spans() {
                        show(resource, scope, span);
                    }
                }
            }
        }
    }

    /// Forgets the requests kept.
    pub fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .requests
            .clear();
    }

    /// Whether the pipeline has shut the exporter down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .shut_down
    }
}

impl Exporter for InMemoryExporter {
    fn export(&mut self, batch: Batch, reply: Reply) {
        let request = Bytes::from(batch.to_vec());
        drop(batch);
        let outcome = {
            let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let outcome = store.outcomes.pop_front().unwrap_or(Outcome::Exported);
            if matches!(outcome, Outcome::Exported | Outcome::Partial { .. }) {
                store.requests.push(request);
            }
            outcome
        };
        reply.done(outcome);
    }

    fn shutdown(&mut self, _deadline: Moment) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .shut_down = true;
    }
}

impl fmt::Debug for InMemoryExporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("InMemoryExporter")
            .field("requests", &store.requests.len())
            .field("shut_down", &store.shut_down)
            .finish_non_exhaustive()
    }
}
