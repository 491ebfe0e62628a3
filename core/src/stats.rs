//! Every span counted out exactly once.

use core::fmt;

/// Why a span that was to be exported was not.
///
/// Each lost span adds one to exactly one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DropReason {
    /// Every block of the ring was full or waiting to be exported.
    RingFull,
    /// Every shard of the ring was held by another thread for two tours, and no block was free to open a new one.
    Contended,
    /// The span ended after shutdown began.
    AfterShutdown,
    /// The span was alive when the process forked, and ended in the child.
    Forked,
    /// The span alone is larger than a block.
    SpanTooLarge,
    /// An exporter refused a batch for its size, and the batch is one span.
    TooLarge,
    /// A lane fell so far behind that its oldest entries were skipped to make room for the others.
    LaneLag,
    /// The oldest spans made room for newer ones, as a flight recorder is asked to.
    Overwritten,
    /// The exporter refused the batch for good.
    Rejected,
    /// The server accepted the batch in part; these are the spans it says it rejected.
    PartiallyRejected,
    /// Retries went on for longer than the lane allows.
    RetriesExhausted,
    /// The exporter dropped the batch without an answer.
    Unanswered,
    /// An exporter or a processor panicked while it held the span.
    Panicked,
    /// A processor's edit did not fit into the working reserve.
    NoRoom,
    /// A condition could not be computed, of a processor that was told to fail then.
    ConditionFailed,
    /// The deadline of a shutdown passed before the span was exported.
    ShutdownDeadline,
}

impl DropReason {
    /// All reasons, in the order of their declaration.
    pub const ALL: [Self; 16] = [
        Self::RingFull,
        Self::Contended,
        Self::AfterShutdown,
        Self::Forked,
        Self::SpanTooLarge,
        Self::TooLarge,
        Self::LaneLag,
        Self::Overwritten,
        Self::Rejected,
        Self::PartiallyRejected,
        Self::RetriesExhausted,
        Self::Unanswered,
        Self::Panicked,
        Self::NoRoom,
        Self::ConditionFailed,
        Self::ShutdownDeadline,
    ];

    /// The reason in `snake_case`, as it appears in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::Contended => "contended",
            Self::AfterShutdown => "after_shutdown",
            Self::Forked => "forked",
            Self::SpanTooLarge => "span_too_large",
            Self::TooLarge => "too_large",
            Self::LaneLag => "lane_lag",
            Self::Overwritten => "overwritten",
            Self::Rejected => "rejected",
            Self::PartiallyRejected => "partially_rejected",
            Self::RetriesExhausted => "retries_exhausted",
            Self::Unanswered => "unanswered",
            Self::Panicked => "panicked",
            Self::NoRoom => "no_room",
            Self::ConditionFailed => "condition_failed",
            Self::ShutdownDeadline => "shutdown_deadline",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Spans lost, by reason.
///
/// ```
/// use spanwire_core::stats::{DropReason, Dropped};
///
/// let mut dropped = Dropped::default();
/// dropped.add(DropReason::RingFull, 3);
/// assert_eq!(dropped.get(DropReason::RingFull), 3);
/// assert_eq!(dropped.total(), 3);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped([u64; DropReason::ALL.len()]);

impl Dropped {
    /// The spans lost for this reason.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// Counts `spans` more for this reason.
    pub fn add(&mut self, reason: DropReason, spans: u64) {
        let count = &mut self.0[reason as usize];
        *count = count.wrapping_add(spans);
    }

    /// Adds every count of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.wrapping_add(more);
        }
    }

    /// The spans lost for any reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// The reasons that lost at least one span, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .into_iter()
            .map(|reason| (reason, self.get(reason)))
            .filter(|(_, count)| *count > 0)
    }
}

impl fmt::Debug for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(reason, count)| (reason.as_str(), count)))
            .finish()
    }
}
