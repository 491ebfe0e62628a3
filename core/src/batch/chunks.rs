//! The request, as a list of byte strings.

use alloc::vec::Vec;

use bytes::Bytes;

use super::segment::Segment;
use crate::wire::encode;
use crate::wire::field::request;

/// The encoded request of a batch, piece by piece. See [`Batch::chunks`](super::Batch::chunks).
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    /// The segments whose bodies have not been started.
    rest: &'a [Segment],
    /// How many of them belong to the open `ResourceSpans`.
    run: usize,
    head: Option<&'a Bytes>,
    parts: [Option<&'a Bytes>; 2],
}

impl<'a> Chunks<'a> {
    pub(super) fn new(segments: &'a [Segment]) -> Self {
        Self {
            rest: segments,
            run: 0,
            head: None,
            parts: [None; 2],
        }
    }

    /// Opens a `ResourceSpans`: its tag and length.
    fn open(&mut self) -> Option<Bytes> {
        let head = self.rest.first()?.head();
        self.run = self
            .rest
            .iter()
            .take_while(|segment| segment.head() == head)
            .count();
        let run = self.rest.get(..self.run)?;
        let len = head.len() + run.iter().map(Segment::body_len).sum::<usize>();
        self.head = Some(head.as_bytes());
        let mut prefix =
            Vec::with_capacity(encode::len_field_len(request::RESOURCE_SPANS, len) - len);
        encode::write_len_prefix(&mut prefix, request::RESOURCE_SPANS, len);
        Some(Bytes::from(prefix))
    }
}

impl Iterator for Chunks<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(head) = self.head.take().filter(|head| !head.is_empty()) {
                return Some(head.clone());
            }
            if let Some(part) = self.parts.iter_mut().find_map(Option::take) {
                return Some(part.clone());
            }
            if self.run == 0 {
                return self.open();
            }
            let (segment, rest) = self.rest.split_first()?;
            let mut parts = segment.body_parts();
            self.parts = [parts.next(), parts.next()];
            self.rest = rest;
            self.run -= 1;
        }
    }
}

impl core::iter::FusedIterator for Chunks<'_> {}

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
