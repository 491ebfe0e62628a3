//! Smaller batches of the same spans.
//!
//! A cut between two records of a body is two slices. A cut through a record repeats its tag, length and scope in a
//! small owned lead before each half; the spans themselves stay where they are.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use bytes::Bytes;

use super::segment::{Record, is_span, write_record_prefix};
use super::{Batch, BatchLimits, Segment};
use crate::limiter::{Account, Refused};
use crate::wire::encode::{self, Put};
use crate::wire::field::resource_spans;
use crate::wire::raw::Fields;

/// The most pieces a split makes.
pub const MAX_PIECES: usize = 8;

/// The most bytes of the tag and length of a `ResourceSpans`.
const FRAME: usize = 11;

/// A batch cannot be split. It is still there: a split borrows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitError {
    /// It holds one span or none.
    OneSpan,
    /// The working reserve has no room for the repeated scope headers.
    NoRoom(Refused),
    /// The bytes of a segment are not what its maker vouched for.
    Malformed,
}

impl fmt::Display for SplitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneSpan => f.write_str("a batch of one span cannot be split"),
            Self::NoRoom(_) => f.write_str("no room to split a batch"),
            Self::Malformed => f.write_str("the spans of a batch are not well-formed"),
        }
    }
}

impl core::error::Error for SplitError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::NoRoom(refused) => Some(refused),
            Self::OneSpan | Self::Malformed => None,
        }
    }
}

impl From<Refused> for SplitError {
    fn from(refused: Refused) -> Self {
        Self::NoRoom(refused)
    }
}

impl Batch {
    /// The same spans in `pieces` batches of about the same encoded size, in order: at least 2, at most
    /// [`MAX_PIECES`], and never more than there are spans. No span is cut or copied; `reserve` pays for the repeated
    /// scope headers.
    ///
    /// # Errors
    ///
    /// [`SplitError`]; the batch stays whole.
    pub fn split(&self, pieces: usize, reserve: &Account) -> Result<Vec<Self>, SplitError> {
        if self.spans() < 2 {
            return Err(SplitError::OneSpan);
        }
        let pieces = pieces.clamp(2, MAX_PIECES).min(self.spans());
        let mut queue = VecDeque::from(self.segments().to_vec());
        let mut bytes = self.encoded_len();
        let mut spans = self.spans();
        let mut batches = Vec::with_capacity(pieces);
        for left in (1..pieces).rev() {
            // Each piece to come needs at least one span.
            let room = Room {
                bytes: bytes / (left + 1),
                spans: spans.saturating_sub(left),
                through_last: true,
            };
            let batch = room.fill(&mut queue, reserve)?;
            bytes = bytes.saturating_sub(batch.encoded_len());
            spans = spans.saturating_sub(batch.spans());
            batches.push(batch);
        }
        batches.push(queue.into_iter().collect());
        Ok(batches)
    }

    /// As many pieces as it takes for each to encode to about `bytes` at most, within the limits of
    /// [`split`](Self::split). A piece may still be larger: by the difference between its spans, or because
    /// [`MAX_PIECES`] are too few.
    ///
    /// # Errors
    ///
    /// [`SplitError`]; the batch stays whole.
    pub fn split_by(&self, bytes: usize, reserve: &Account) -> Result<Vec<Self>, SplitError> {
        self.split(self.encoded_len().div_ceil(bytes.max(1)), reserve)
    }

    /// The same spans in as many batches as it takes for each to stay within `limits`; only a span that alone is larger
    /// than their bytes is past them.
    ///
    /// # Errors
    ///
    /// [`SplitError`], but never `OneSpan`; the batch stays whole.
    pub fn split_within(
        &self,
        limits: &BatchLimits,
        reserve: &Account,
    ) -> Result<Vec<Self>, SplitError> {
        let room = Room {
            bytes: limits.bytes,
            spans: limits.max_spans(),
            through_last: true,
        };
        let mut queue = VecDeque::from(self.segments().to_vec());
        let mut batches = Vec::new();
        while !queue.is_empty() {
            batches.push(room.fill(&mut queue, reserve)?);
        }
        Ok(batches)
    }
}

/// What a batch may take from the front of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) bytes: usize,
    pub(super) spans: usize,
    /// Whether to cut through the first segment that does not fit; if not, only through one that alone does not.
    pub(super) through_last: bool,
}

impl Room {
    /// Takes what fits, and at least one span.
    pub(super) fn fill(
        self,
        queue: &mut VecDeque<Segment>,
        reserve: &Account,
    ) -> Result<Batch, SplitError> {
        let mut batch = Batch::new();
        while let Some(segment) = queue.pop_front() {
            let spans = self.spans.max(1).saturating_sub(batch.spans());
            let fits = batch.encoded_len_with(&segment) <= self.bytes && segment.spans() <= spans;
            if fits || (batch.is_empty() && segment.spans() <= 1) {
                batch.push(segment);
                continue;
            }
            if !batch.is_empty() && !self.through_last {
                queue.push_front(segment);
                break;
            }
            let taken = batch.encoded_len() + segment.head().len() + FRAME;
            let least = usize::from(batch.is_empty());
            let most = segment.spans().saturating_sub(1).min(spans);
            let at = segment
                .spans_within(self.bytes.saturating_sub(taken))
                .max(least)
                .min(most);
            if at == 0 {
                queue.push_front(segment);
                break;
            }
            let (left, right) = segment.split_at(at, reserve)?;
            batch.extend(left);
            for segment in right.into_iter().rev() {
                queue.push_front(segment);
            }
            break;
        }
        Ok(batch)
    }
}

impl Segment {
    /// How many of the first spans are sure to fit into a body of so many bytes.
    fn spans_within(&self, bytes: usize) -> usize {
        let (mut spans, mut used) = (0, 0_usize);
        for record in self.records() {
            let other: usize = record
                .all()
                .filter(|field| !is_span(field))
                .map(|field| field.record.len())
                .sum();
            used += encode::len_field_len(resource_spans::SCOPE_SPANS, other + record.fields.len())
                - record.fields.len();
            for span in record.all().filter(is_span) {
                used += span.record.len();
                if used > bytes {
                    return spans;
                }
                spans += 1;
            }
        }
        spans
    }

    /// The first `at` spans, and the others: each at most two segments.
    fn split_at(&self, at: usize, reserve: &Account) -> Result<(Vec<Self>, Vec<Self>), SplitError> {
        let mut before = 0;
        for (index, record) in self.records().enumerate() {
            let in_record = record.all().filter(is_span).count();
            if before + in_record < at {
                before += in_record;
                continue;
            }
            if before + in_record == at {
                return self.split_after(&record, at).ok_or(SplitError::Malformed);
            }
            let halves = Halves::of(&record, at - before).ok_or(SplitError::Malformed)?;
            return self.split_through(index, &record, &halves, before, reserve);
        }
        Err(SplitError::Malformed)
    }

    /// Cuts after a record. `None` when no other follows, though it should.
    fn split_after(&self, record: &Record<'_>, at: usize) -> Option<(Vec<Self>, Vec<Self>)> {
        let rest = self.body().slice(record.end..);
        let left = self.part(self.lead().clone(), self.body().slice(..record.end), at);
        let right = self.part(Bytes::new(), rest, self.spans() - at);
        (!right.body().is_empty()).then(|| (alloc::vec![left], alloc::vec![right]))
    }

    /// Cuts through a record, `before` spans of the segment being in earlier ones.
    fn split_through(
        &self,
        index: usize,
        record: &Record<'_>,
        halves: &Halves,
        before: usize,
        reserve: &Account,
    ) -> Result<(Vec<Self>, Vec<Self>), SplitError> {
        let (mut left, mut right) = (Vec::with_capacity(2), Vec::with_capacity(2));
        // Records without spans are not worth a segment.
        if index > 0 && before > 0 {
            left.push(self.part(
                self.lead().clone(),
                self.body().slice(..record.start),
                before,
            ));
        }
        let at = before + halves.left;
        let after = self.spans().saturating_sub(at + halves.right);
        let rest = self.body().slice(record.end..);
        if rest.is_empty() && after > 0 {
            return Err(SplitError::Malformed);
        }
        if let Some((from, cut, to)) = halves.contiguous {
            let in_body = |offset: usize| record.fields_start() + offset;
            let lead = |spans: usize| lead(record, spans, reserve);
            left.push(self.part(
                lead(cut - from)?,
                self.body().slice(in_body(from)..in_body(cut)),
                halves.left,
            ));
            let lead = lead(to - cut)?;
            if in_body(to) == record.end {
                right.push(self.part(
                    lead,
                    self.body().slice(in_body(cut)..),
                    halves.right + after,
                ));
                return Ok((left, right));
            }
            right.push(self.part(
                lead,
                self.body().slice(in_body(cut)..in_body(to)),
                halves.right,
            ));
        } else {
            let copy = |spans| copy(record, spans, reserve);
            left.push(self.part(Bytes::new(), copy(0..halves.left)?, halves.left));
            right.push(self.part(
                Bytes::new(),
                copy(halves.left..halves.left + halves.right)?,
                halves.right,
            ));
        }
        if after > 0 {
            right.push(self.part(Bytes::new(), rest, after));
        }
        Ok((left, right))
    }
}

/// A record, cut between two of its spans.
struct Halves {
    /// Spans before the cut.
    left: usize,
    /// Spans after it.
    right: usize,
    /// Where in `fields` the spans start, are cut, and end, if nothing is between them.
    contiguous: Option<(usize, usize, usize)>,
}

impl Halves {
    fn of(record: &Record<'_>, left: usize) -> Option<Self> {
        let mut offset = 0;
        let (mut spans, mut bytes) = (0, 0);
        let (mut from, mut cut, mut to) = (None, 0, 0);
        for field in Fields::new(record.fields) {
            if is_span(&field) {
                from.get_or_insert(offset);
                spans += 1;
                bytes += field.record.len();
                to = offset + field.record.len();
                if spans == left {
                    cut = to;
                }
            }
            offset += field.record.len();
        }
        let from = from?;
        Some(Self {
            left,
            right: spans.checked_sub(left)?,
            contiguous: (to - from == bytes).then_some((from, cut, to)),
        })
    }
}

/// The tag, length and all fields but the spans of a record, for `spans` bytes of spans to follow.
fn lead(record: &Record<'_>, spans: usize, reserve: &Account) -> Result<Bytes, SplitError> {
    write(record, 0..0, spans, reserve)
}

/// The record with these of its spans, whole.
fn copy(record: &Record<'_>, spans: Range<usize>, reserve: &Account) -> Result<Bytes, SplitError> {
    write(record, spans, 0, reserve)
}

/// Writes a record with these of its spans, and a length that counts `more` bytes to follow.
fn write(
    record: &Record<'_>,
    spans: Range<usize>,
    more: usize,
    reserve: &Account,
) -> Result<Bytes, SplitError> {
    let chosen = || {
        let mut at = 0;
        let spans = spans.clone();
        record.all().filter(move |field| {
            let index = at;
            at += usize::from(is_span(field));
            !is_span(field) || spans.contains(&index)
        })
    };
    let len: usize = chosen().map(|field| field.record.len()).sum();
    let total = encode::len_field_len(resource_spans::SCOPE_SPANS, len + more) - more;
    let mut out = reserve.acquire(total)?.into_buffer();
    write_record_prefix(&mut out, len + more);
    for field in chosen() {
        out.put(field.record);
    }
    Ok(out.freeze())
}
