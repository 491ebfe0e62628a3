//! Batches of encoded spans: what a lane hands to its exporter.
//!
//! A [`Segment`] is a [`Head`] (who speaks) and a body (what is said): OTLP bytes that are never decoded, copied or
//! put side by side. A [`Batch`] lists segments. Its [`chunks`](Batch::chunks), one after another, are a valid
//! `ExportTraceServiceRequest`, because a repeated field of protobuf concatenates:
//!
//! ```text
//!  request = ( tag length head body body .. )  ( tag length head body .. ) ..
//!              neighbours with the same head share one ResourceSpans
//! ```
//!
//! Lengths are minimal. Bodies are trusted: the ring writes them, and an intake validates what it lets in.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use crate::clock::Moment;

// What became of the spans of one request.
mod ack;

// Who sent them, as far as a receiver knows.
mod client;

// A head and a body.
mod segment;

// One batch made several, on span boundaries.
mod split;

// Segments gathered before they leave.
mod batcher;

// The bytes of a request, in order.
mod chunks;

// Spans, read in place.
mod view;

pub use ack::Delivered;
pub use batcher::{BatchLimits, Batcher, Cut};
pub use chunks::{Chunks, IntoChunks};
pub use client::ClientInfo;
pub use segment::{Head, Segment};
pub use split::{MAX_PIECES, SplitError};
pub use view::SpanView;

#[cfg(feature = "std")]
pub(crate) use ack::Ack;
pub(crate) use segment::{Record, payload_of, write_record_prefix};

use chunks::Measure;

/// Segments to be sent in one request. Clones share the bytes.
///
/// ```
/// use spanwire_core::batch::{Batch, Head, Segment};
/// use spanwire_core::clock::Moment;
/// use spanwire_core::limiter::Door;
///
/// let head = Head::new([0x1a, 1, b'u'].as_slice().into());
/// // One ScopeSpans that holds one empty span.
/// let body = [0x12, 2, 0x12, 0].as_slice().into();
/// let segment = Segment::new(head, body, 1, Moment::from_nanos(0), Door::Own);
///
/// let batch = Batch::from_iter([segment.clone(), segment]);
/// assert_eq!(batch.spans(), 2);
/// assert_eq!(batch.encoded_len(), 13);
/// // Both share the head: one ResourceSpans of 11 bytes.
/// assert_eq!(batch.to_vec(), [0x0a, 11, 0x1a, 1, b'u', 0x12, 2, 0x12, 0, 0x12, 2, 0x12, 0]);
/// ```
#[derive(Clone, Default)]
pub struct Batch {
    segments: Vec<Segment>,
    spans: usize,
    first_end: Option<Moment>,
    measure: Measure,
    /// Told, by its drop, when the last clone is gone.
    hold: Option<Arc<dyn Any + Send + Sync>>,
}

impl Batch {
    /// A batch of nothing. Its request is empty, and valid.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            segments: Vec::new(),
            spans: 0,
            first_end: None,
            measure: Measure::new(),
            hold: None,
        }
    }

    /// The same batch, with something that is dropped when the last clone of the batch is.
    #[must_use]
    pub(crate) fn held_by(mut self, hold: Arc<dyn Any + Send + Sync>) -> Self {
        self.hold = Some(hold);
        self
    }

    /// Adds a segment at the end.
    pub fn push(&mut self, segment: Segment) {
        self.spans = self.spans.saturating_add(segment.spans());
        self.first_end = Some(
            self.first_end
                .map_or(segment.first_end(), |end| end.min(segment.first_end())),
        );
        self.measure = self.measure.and(self.segments.last(), &segment);
        self.segments.push(segment);
    }

    /// The segments, in order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segments, in order.
    #[must_use]
    pub fn into_segments(self) -> Vec<Segment> {
        self.segments
    }

    /// The number of spans.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.spans
    }

    /// Whether there is no span in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans == 0
    }

    /// The bytes of the encoded request, exactly: the sum of the lengths of the [`chunks`](Self::chunks).
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.measure.encoded_len()
    }

    /// What [`encoded_len`](Self::encoded_len) would be with `segment` at the end.
    #[must_use]
    pub fn encoded_len_with(&self, segment: &Segment) -> usize {
        self.measure
            .and(self.segments.last(), segment)
            .encoded_len()
    }

    /// When the first of its spans ended.
    #[must_use]
    pub fn first_end(&self) -> Option<Moment> {
        self.first_end
    }

    /// The request as a list of byte strings, none of them empty. Nothing is copied but tags and lengths, of which
    /// there are at most 11 bytes for each run of neighbours with the same head.
    #[must_use]
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks::new(&self.segments)
    }

    /// As [`chunks`](Self::chunks), with the batch inside: for a body that outlives the call that made it. The batch is
    /// let go of when the iterator is dropped.
    #[must_use]
    pub fn into_chunks(self) -> IntoChunks {
        IntoChunks::new(self)
    }

    /// The request in one piece: a copy that no budget covers, for tests and for exporters that do their own
    /// accounting.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut request = Vec::with_capacity(self.encoded_len());
        for chunk in self.chunks() {
            request.extend_from_slice(&chunk);
        }
        request
    }

    /// The request as owned structs, for exporters that want fields instead of bytes. Costs about ten allocations
    /// a span, which no budget covers.
    ///
    /// # Errors
    ///
    /// What `prost` does not accept; no bytes made by a ring or let in by an intake are such.
    #[cfg(feature = "prost")]
    pub fn decode(
        &self,
    ) -> Result<
        opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest,
        prost::DecodeError,
    > {
        prost::Message::decode(bytes::Bytes::from(self.to_vec()))
    }
}

impl FromIterator<Segment> for Batch {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        let mut batch = Self::new();
        batch.extend(segments);
        batch
    }
}

impl Extend<Segment> for Batch {
    fn extend<I: IntoIterator<Item = Segment>>(&mut self, segments: I) {
        for segment in segments {
            self.push(segment);
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("segments", &self.segments.len())
            .field("spans", &self.spans)
            .field("encoded_len", &self.encoded_len())
            .finish()
    }
}

#[cfg(test)]
pub(crate) mod samples;

#[cfg(test)]
mod tests;
