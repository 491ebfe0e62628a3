//! Why a segment was not admitted.

use core::fmt;

use crate::batch::Segment;

/// A segment that was not admitted, handed back.
#[derive(Debug)]
pub struct OfferError {
    segment: Segment,
    refusal: Refusal,
}

/// Why a segment was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Every pipeline behind the door is full. Worth another try once something has been exported.
    Full,
    /// The segment alone is larger than the log of any pipeline behind the door.
    TooLarge,
    /// No pipeline takes what comes through this door.
    NoPipeline,
    /// The engine is closing or closed.
    Closed,
}

impl OfferError {
    pub(super) fn new(segment: Segment, refusal: Refusal) -> Self {
        Self { segment, refusal }
    }

    /// Why.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        self.refusal
    }

    /// Whether the same segment may be admitted later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.refusal == Refusal::Full
    }

    /// The segment.
    #[must_use]
    pub fn into_segment(self) -> Segment {
        self.segment
    }
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.refusal {
            Refusal::Full => "the log is full",
            Refusal::TooLarge => "the segment is larger than the log",
            Refusal::NoPipeline => "no pipeline takes what comes through this door",
            Refusal::Closed => "the pipeline is closed",
        })
    }
}

impl core::error::Error for OfferError {}
