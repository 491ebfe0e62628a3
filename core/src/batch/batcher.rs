//! When a batch is ready: by bytes first, then spans, then age.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::split::Room;
use super::{Batch, Segment};
use crate::clock::Moment;
use crate::limiter::Account;

/// How large a batch grows, and how old.
///
/// ```
/// use core::time::Duration;
/// use spanwire_core::batch::BatchLimits;
///
/// let limits = BatchLimits { spans: Some(512), age: Duration::from_secs(1), ..BatchLimits::default() };
/// assert_eq!(limits.bytes, 3_670_016);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// The bytes of the encoded request. Default: 3.5 MiB, under the 4 MiB that most gRPC servers accept. With 0 every
    /// segment is a batch.
    pub bytes: usize,
    /// The number of spans, if it is limited. Default: it is not.
    pub spans: Option<usize>,
    /// The time from the end of the first span until the batch is ready however small it is. Default: 5 s, the
    /// `schedule_delay` of the OpenTelemetry SDK specification. With 0 a batch is ready at once.
    pub age: Duration,
}

impl BatchLimits {
    /// 3.5 MiB.
    pub const DEFAULT_BYTES: usize = 7 << 19;

    /// 5 s.
    pub const DEFAULT_AGE: Duration = Duration::from_secs(5);

    /// Whether the batch stays within its limits with `segment` at the end. An empty batch takes any segment.
    #[must_use]
    pub fn fits(&self, batch: &Batch, segment: &Segment) -> bool {
        let spans = batch.spans().saturating_add(segment.spans());
        batch.segments().is_empty()
            || (batch.encoded_len_with(segment) <= self.bytes && spans <= self.max_spans())
    }

    /// Whether the batch has reached a limit.
    #[must_use]
    pub fn is_full(&self, batch: &Batch) -> bool {
        batch.encoded_len() >= self.bytes || batch.spans() >= self.max_spans()
    }

    /// When the batch is ready for its age.
    #[must_use]
    pub fn due(&self, batch: &Batch) -> Option<Moment> {
        batch.first_end().map(|end| end.saturating_add(self.age))
    }

    /// The batch that the first of these segments make, whether it is ready or not: as many as fit, and at least one
    /// if there is one.
    pub fn cut<'s>(&self, segments: impl IntoIterator<Item = &'s Segment>) -> Cut {
        let mut cut = Cut::default();
        for segment in segments {
            if !self.fits(&cut.batch, segment) {
                cut.full = true;
                break;
            }
            cut.batch.push(segment.clone());
            if self.is_full(&cut.batch) {
                cut.full = true;
                break;
            }
        }
        cut.due = self.due(&cut.batch);
        cut
    }

    /// Whether a batch of one segment is past a limit.
    fn is_past(&self, batch: &Batch) -> bool {
        batch.encoded_len() > self.bytes || batch.spans() > self.max_spans()
    }

    pub(super) fn max_spans(&self) -> usize {
        self.spans.unwrap_or(usize::MAX)
    }
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            bytes: Self::DEFAULT_BYTES,
            spans: None,
            age: Self::DEFAULT_AGE,
        }
    }
}

/// What [`BatchLimits::cut`] would send. The segments are clones: dropping the cut leaves all as it was.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    /// The segments.
    pub batch: Batch,
    /// Whether it has reached a limit, or the next segment would pass one.
    pub full: bool,
    /// When it is ready for its age; `None` when there is nothing to send.
    pub due: Option<Moment>,
}

impl Cut {
    /// Whether the batch should go now.
    #[must_use]
    pub fn is_ready(&self, now: Moment) -> bool {
        self.due.is_some_and(|due| self.full || due <= now)
    }
}

/// Groups segments into batches. Owns no memory but the list: the segments' bytes stay charged where they were.
///
/// Call [`push`](Self::push) as segments come, then [`next`](Self::next) until it has nothing more, and again at
/// [`due`](Self::due).
///
/// ```
/// use spanwire_core::batch::{Batcher, BatchLimits, Head, Segment};
/// use spanwire_core::clock::Moment;
/// use spanwire_core::limiter::{Door, MemoryLimiter};
///
/// let limiter = MemoryLimiter::builder(32 << 20).build()?;
/// let mut batcher = Batcher::new(BatchLimits::default());
/// let ended = Moment::from_nanos(1_000_000_000);
/// batcher.push(Segment::new(Head::default(), [0x12, 2, 0x12, 0].as_slice().into(), 1, ended, Door::Own));
///
/// // Not full, and not five seconds old.
/// assert!(batcher.next(ended, &limiter.reserve()).is_none());
/// let due = batcher.due().ok_or("nothing to send")?;
/// assert_eq!(due, Moment::from_nanos(6_000_000_000));
/// let batch = batcher.next(due, &limiter.reserve()).ok_or("not due")?;
/// assert_eq!(batch.spans(), 1);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batcher {
    limits: BatchLimits,
    /// Batches that have reached a limit; one of a single segment may be past it.
    ready: VecDeque<Batch>,
    open: Batch,
    spans: usize,
}

impl Batcher {
    /// An empty one.
    #[must_use]
    pub const fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            ready: VecDeque::new(),
            open: Batch::new(),
            spans: 0,
        }
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &BatchLimits {
        &self.limits
    }

    /// Adds a segment.
    pub fn push(&mut self, segment: Segment) {
        self.spans = self.spans.saturating_add(segment.spans());
        if !self.limits.fits(&self.open, &segment) {
            self.close();
        }
        self.open.push(segment);
        if self.limits.is_full(&self.open) {
            self.close();
        }
    }

    /// The next batch that is full or old enough at `now`.
    ///
    /// A segment that alone is past a limit is cut on span boundaries, and `reserve` pays for the repeated scope
    /// headers. When it has no room the segment goes out whole: past the limit rather than never.
    pub fn next(&mut self, now: Moment, reserve: &Account) -> Option<Batch> {
        if self.ready.is_empty() && self.limits.due(&self.open).is_some_and(|due| due <= now) {
            self.close();
        }
        self.pop(reserve)
    }

    /// The next batch, full or not: for a flush. Call it until there is none.
    pub fn take(&mut self, reserve: &Account) -> Option<Batch> {
        if self.ready.is_empty() {
            self.close();
        }
        self.pop(reserve)
    }

    /// When [`next`](Self::next) will have a batch though nothing is pushed: a moment in the past when it has one now.
    #[must_use]
    pub fn due(&self) -> Option<Moment> {
        let full = self.ready.front().and_then(Batch::first_end);
        full.or_else(|| self.limits.due(&self.open))
    }

    /// The spans that wait.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.spans
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.open.segments().is_empty()
    }

    fn close(&mut self) {
        let batch = core::mem::take(&mut self.open);
        if !batch.segments().is_empty() {
            self.ready.push_back(batch);
        }
    }

    fn pop(&mut self, reserve: &Account) -> Option<Batch> {
        let mut batch = self.ready.pop_front()?;
        if self.limits.is_past(&batch) {
            batch = self.cut_down(batch, reserve);
        }
        self.spans = self.spans.saturating_sub(batch.spans());
        Some(batch)
    }

    /// The first part within the limits; the rest goes back to the front.
    fn cut_down(&mut self, batch: Batch, reserve: &Account) -> Batch {
        let room = Room {
            bytes: self.limits.bytes,
            spans: self.limits.max_spans(),
            through_last: false,
        };
        let mut queue = VecDeque::from(batch.segments().to_vec());
        let Ok(first) = room.fill(&mut queue, reserve) else {
            return batch;
        };
        if !queue.is_empty() {
            self.ready.push_front(queue.into_iter().collect());
        }
        first
    }
}
