//! The request, as a list of byte strings.

use alloc::vec::Vec;

use bytes::Bytes;

use super::Batch;
use super::segment::Segment;
use crate::wire::encode;
use crate::wire::field::request;

/// The encoded request of a batch, piece by piece. See [`Batch::chunks`](super::Batch::chunks).
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    segments: &'a [Segment],
    walk: Walk,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(segments: &'a [Segment]) -> Self {
        Self {
            segments,
            walk: Walk::default(),
        }
    }
}

impl Iterator for Chunks<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.walk.next(self.segments)
    }
}

impl core::iter::FusedIterator for Chunks<'_> {}

/// The encoded request of a batch, piece by piece, with the batch inside. See
/// [`Batch::into_chunks`](super::Batch::into_chunks).
#[derive(Clone, Debug)]
pub struct IntoChunks {
    batch: Batch,
    walk: Walk,
}

impl IntoChunks {
    pub(super) fn new(batch: Batch) -> Self {
        Self {
            batch,
            walk: Walk::default(),
        }
    }
}

impl Iterator for IntoChunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.walk.next(self.batch.segments())
    }
}

impl core::iter::FusedIterator for IntoChunks {}

/// A position between the pieces of a list of segments.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    /// The segment whose body comes next.
    at: usize,
    /// How many segments from there belong to the open `ResourceSpans`.
    run: usize,
    /// The head of the open `ResourceSpans` comes next.
    head: bool,
    /// How many parts of the body have been passed.
    parts: usize,
}

impl Walk {
    fn next(&mut self, segments: &[Segment]) -> Option<Bytes> {
        loop {
            let rest = segments.get(self.at..)?;
            let segment = rest.first()?;
            if self.run == 0 {
                return self.open(rest, segment);
            }
            if core::mem::take(&mut self.head) && !segment.head().is_empty() {
                return Some(segment.head().as_bytes().clone());
            }
            if let Some(part) = segment.body_parts().nth(self.parts) {
                self.parts += 1;
                return Some(part.clone());
            }
            self.parts = 0;
            self.at += 1;
            self.run -= 1;
        }
    }

    /// Opens a `ResourceSpans`: its tag and length.
    fn open(&mut self, rest: &[Segment], first: &Segment) -> Option<Bytes> {
        let head = first.head();
        self.run = rest
            .iter()
            .take_while(|segment| segment.head() == head)
            .count();
        self.head = true;
        let run = rest.get(..self.run)?;
        let len = head.len() + run.iter().map(Segment::body_len).sum::<usize>();
        let mut prefix =
            Vec::with_capacity(encode::len_field_len(request::RESOURCE_SPANS, len) - len);
        encode::write_len_prefix(&mut prefix, request::RESOURCE_SPANS, len);
        Some(Bytes::from(prefix))
    }
}

/// The bytes of a request that grows at its end, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// The bytes of the `ResourceSpans` before the last one.
    closed: usize,
    /// The bytes inside the last one.
    open: Option<usize>,
}

impl Measure {
    pub(super) const fn new() -> Self {
        Self {
            closed: 0,
            open: None,
        }
    }

    /// With one segment more, after `last`.
    pub(super) fn and(self, last: Option<&Segment>, segment: &Segment) -> Self {
        match self.open {
            Some(open) if last.is_some_and(|last| last.head() == segment.head()) => Self {
                closed: self.closed,
                open: Some(open + segment.body_len()),
            },
            _ => Self {
                closed: self.encoded_len(),
                open: Some(segment.head().len() + segment.body_len()),
            },
        }
    }

    pub(super) fn encoded_len(self) -> usize {
        let open = self
            .open
            .map_or(0, |len| encode::len_field_len(request::RESOURCE_SPANS, len));
        self.closed + open
    }
}
