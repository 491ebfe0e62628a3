//! Requests taken apart into heads and bodies, bodies cut between spans, spans counted.
//!
//! A *body* is a sequence of `ScopeSpans` records, each with its tag and length: what the field `scope_spans` of a
//! `ResourceSpans` is. A *head* is all other fields of the `ResourceSpans`. Everything here lists ranges of the bytes it
//! was given and allocates nothing; over bytes that were not [validated](super::validate) it ends early, and never
//! panics.
//!
//! Protobuf encoding guide, "Optional and Repeated": the records of a repeated field may be concatenated.

use super::encode::Put;
use super::field::{self, WireType, tag};
use super::raw::{Field, Fields, Payload};
use super::varint;

/// How many spans are in a request.
///
/// ```
/// use spanwire_core::wire::split::count_spans;
///
/// assert_eq!(count_spans(b"\x0a\x0b\x12\x09\x12\x02\x30\x01\x12\x03\x2a\x01x"), 2);
/// ```
#[must_use]
pub fn count_spans(request: &[u8]) -> usize {
    messages(request, field::request::RESOURCE_SPANS)
        .map(count_body_spans)
        .sum()
}

/// How many spans are in a body.
#[must_use]
pub fn count_body_spans(body: &[u8]) -> usize {
    messages(body, field::resource_spans::SCOPE_SPANS)
        .map(count_scope_spans)
        .sum()
}

#[inline]
fn count_scope_spans(scope_spans: &[u8]) -> usize {
    messages(scope_spans, field::scope_spans::SPANS).count()
}

/// The payloads of a repeated message field.
#[inline]
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).filter_map(move |field| match field.payload {
        Payload::Len(bytes) if field.number == number => Some(bytes),
        _ => None,
    })
}

/// Takes a request apart: one part for each `ResourceSpans`, in order, those without spans included.
///
/// Fields of the request that are unknown belong to no part; [`Counts`](super::validate::Counts) has their number.
///
/// ```
/// use spanwire_core::wire::split::parts;
///
/// // resource { }, scope_spans { spans { } }, schema_url "u", scope_spans { spans { } }
/// let request = b"\x0a\x0d\x0a\x00\x12\x02\x12\x00\x1a\x01u\x12\x02\x12\x00";
/// let part = parts(request).next().unwrap();
/// assert!(part.head().eq([&b"\x0a\x00"[..], b"\x1a\x01u"]));
/// assert!(part.body().eq([b"\x12\x02\x12\x00", b"\x12\x02\x12\x00"]));
/// assert_eq!((part.head_len(), part.body_len(), part.spans()), (5, 8, 2));
/// ```
pub fn parts(request: &[u8]) -> impl Iterator<Item = Part<'_>> + Clone {
    Fields::new(request).filter_map(|field| match field.payload {
        Payload::Len(bytes) if field.number == field::request::RESOURCE_SPANS => {
            Some(Part { bytes })
        }
        _ => None,
    })
}

/// One `ResourceSpans` of a request, as a head and a body. Either may be in several runs, because fields may stand in
/// any order; the runs are to be concatenated.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    bytes: &'a [u8],
}

impl<'a> Part<'a> {
    /// The part made of the fields of a `ResourceSpans`.
    #[must_use]
    pub const fn new(resource_spans: &'a [u8]) -> Self {
        Self {
            bytes: resource_spans,
        }
    }

    /// The whole `ResourceSpans`, without tag and length.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The runs of the head: resource, schema URL and unknown fields.
    #[must_use]
    pub const fn head(&self) -> Runs<'a> {
        Runs::without(self.bytes, field::resource_spans::SCOPE_SPANS)
    }

    /// The runs of the body: one, unless head fields stand between the records.
    #[must_use]
    pub const fn body(&self) -> Runs<'a> {
        Runs::only(self.bytes, field::resource_spans::SCOPE_SPANS)
    }

    /// The bytes of the head.
    #[must_use]
    pub fn head_len(&self) -> usize {
        self.head().map(<[u8]>::len).sum()
    }

    /// The bytes of the body.
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.body().map(<[u8]>::len).sum()
    }

    /// Whether there is a span in the body. Looks no further than the first.
    #[must_use]
    pub fn has_spans(&self) -> bool {
        let mut scopes = messages(self.bytes, field::resource_spans::SCOPE_SPANS);
        scopes.any(|scope| messages(scope, field::scope_spans::SPANS).next().is_some())
    }

    /// The spans of the body.
    #[must_use]
    pub fn spans(&self) -> usize {
        count_body_spans(self.bytes)
    }
}

/// Walks a message in runs of neighbouring records that all belong to one field, or all do not.
#[derive(Clone, Copy, Debug)]
pub struct Runs<'a> {
    fields: Fields<'a>,
    number: u32,
    wanted: bool,
}

impl<'a> Runs<'a> {
    /// The runs of records of this field.
    #[must_use]
    pub const fn only(message: &'a [u8], number: u32) -> Self {
        Self {
            fields: Fields::new(message),
            number,
            wanted: true,
        }
    }

    /// The runs of records of all other fields.
    #[must_use]
    pub const fn without(message: &'a [u8], number: u32) -> Self {
        Self {
            fields: Fields::new(message),
            number,
            wanted: false,
        }
    }
}

impl<'a> Iterator for Runs<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut start = self.fields.rest();
        let mut len = 0;
        loop {
            let here = self.fields.rest();
            match self.fields.next() {
                Some(field) if (field.number == self.number) == self.wanted => {
                    if len == 0 {
                        start = here;
                    }
                    len += field.record.len();
                }
                found => {
                    if len > 0 {
                        return start.get(..len);
                    }
                    found?;
                }
            }
        }
    }
}

impl core::iter::FusedIterator for Runs<'_> {}

/// How large the pieces of a body may be. A single span is never cut, whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The most bytes of a piece, without the head it is sent under.
    pub bytes: usize,
    /// The most spans of a piece; 0 counts as 1.
    pub spans: usize,
}

impl Cut {
    /// Pieces of at most so many bytes.
    #[must_use]
    pub const fn bytes(bytes: usize) -> Self {
        Self {
            bytes,
            spans: usize::MAX,
        }
    }

    /// Pieces of at most so many spans.
    #[must_use]
    pub const fn spans(spans: usize) -> Self {
        Self {
            bytes: usize::MAX,
            spans,
        }
    }
}

/// Cuts a body between spans, first come first served: each piece takes as much as it may.
///
/// Records are kept whole where they fit. One that is cut lends its other fields (scope, schema URL, unknown ones) to
/// every piece that takes spans of it. The pieces hold all spans of the body, once each, in order. A record without spans
/// goes along where there is room, and is left out where there is none.
///
/// ```
/// use spanwire_core::wire::split::{Cut, pieces};
///
/// // One ScopeSpans with a scope named "s" and three spans named "a", "b" and "c".
/// let body = b"\x12\x14\x0a\x03\x0a\x01s\x12\x03\x2a\x01a\x12\x03\x2a\x01b\x12\x03\x2a\x01c";
/// let mut cut = pieces(body, Cut::spans(2));
/// let mut first = Vec::new();
/// cut.next().unwrap().write(&mut first);
/// assert_eq!(first, b"\x12\x0f\x0a\x03\x0a\x01s\x12\x03\x2a\x01a\x12\x03\x2a\x01b");
/// assert_eq!(cut.next().unwrap().spans(), 1);
/// assert!(cut.next().is_none());
/// ```
#[must_use]
pub const fn pieces(body: &[u8], cut: Cut) -> Pieces<'_> {
    Pieces {
        rest: Fields::new(body),
        open: None,
        cut,
    }
}

/// The pieces of a body; made by [`pieces`].
#[derive(Clone, Copy, Debug)]
pub struct Pieces<'a> {
    /// The records not yet begun.
    rest: Fields<'a>,
    /// The record that has been begun.
    open: Option<Open<'a>>,
    cut: Cut,
}

/// A record of which some spans have been taken.
#[derive(Clone, Copy, Debug)]
struct Open<'a> {
    scope_spans: &'a [u8],
    /// The fields after the last span taken.
    rest: Fields<'a>,
    /// The spans among them.
    spans: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let mut piece = Piece::default();
        if let Some(mut open) = self.open.take() {
            piece.first = self.part_of(&mut open, &mut piece);
            if piece.first.is_some() && open.spans > 0 {
                self.open = Some(open);
                return Some(piece);
            }
        }
        let mut start = self.rest.rest();
        let mut whole = 0;
        loop {
            let mut after = self.rest;
            let Some(record) = after.next() else {
                break;
            };
            let (scope_spans, spans) = match record.payload {
                Payload::Len(bytes) if record.number == field::resource_spans::SCOPE_SPANS => {
                    (bytes, count_scope_spans(bytes))
                }
                _ => (&[][..], 0),
            };
            let len = record.record.len();
            let fits = len <= self.cut.bytes.saturating_sub(piece.len)
                && spans <= self.cut.spans.max(1).saturating_sub(piece.spans);
            if fits || (spans == 1 && piece.len == 0) {
                piece.len += len;
                piece.spans += spans;
                whole += len;
                self.rest = after;
                continue;
            }
            if piece.spans == 0 {
                // What has been gathered, if anything, is in the way of the first span.
                piece = Piece::default();
                whole = 0;
                if spans == 0 {
                    self.rest = after;
                }
                start = self.rest.rest();
                if spans <= 1 {
                    continue;
                }
            }
            let mut open = Open {
                scope_spans,
                rest: Fields::new(scope_spans),
                spans,
            };
            piece.last = self.part_of(&mut open, &mut piece);
            if piece.last.is_some() {
                self.rest = after;
                self.open = (open.spans > 0).then_some(open);
            }
            break;
        }
        piece.whole = start.get(..whole)?;
        (piece.spans > 0).then_some(piece)
    }
}

impl core::iter::FusedIterator for Pieces<'_> {}

impl Pieces<'_> {
    /// Takes as many spans as there is room for, and at least one into an empty piece.
    fn part_of<'a>(&self, open: &mut Open<'a>, piece: &mut Piece<'a>) -> Option<Partial<'a>> {
        let room = self.cut.bytes.saturating_sub(piece.len);
        let most_spans = self.cut.spans.max(1).saturating_sub(piece.spans);
        let header: usize = other_fields(open.scope_spans).map(<[u8]>::len).sum();
        let start = open.rest.rest();
        let mut part = Partial {
            scope_spans: open.scope_spans,
            spans: &[],
            len: header,
        };
        let mut count = 0;
        let mut passed = 0;
        let mut fields = open.rest;
        while let Some(Field { number, record, .. }) = fields.next() {
            passed += record.len();
            if number != field::scope_spans::SPANS {
                continue;
            }
            let len = part.len + record.len();
            let fits = 1 + varint::len(len as u64) + len <= room && count < most_spans;
            if !fits && (count > 0 || piece.len > 0) {
                break;
            }
            part.len = len;
            part.spans = start.get(..passed)?;
            count += 1;
            open.rest = fields;
        }
        if count == 0 {
            return None;
        }
        open.spans = open.spans.saturating_sub(count);
        piece.spans += count;
        piece.len += part.encoded_len();
        Some(part)
    }
}

/// Some neighbouring spans of a body, with what belongs to them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Piece<'a> {
    first: Option<Partial<'a>>,
    whole: &'a [u8],
    last: Option<Partial<'a>>,
    len: usize,
    spans: usize,
}

impl<'a> Piece<'a> {
    /// The spans of the piece.
    #[must_use]
    pub const fn spans(&self) -> usize {
        self.spans
    }

    /// The bytes that [`write`](Self::write) writes.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        self.len
    }

    /// The piece as a range of the body, if no record is cut: it need not be copied.
    #[must_use]
    pub const fn as_slice(&self) -> Option<&'a [u8]> {
        match (&self.first, &self.last) {
            (None, None) => Some(self.whole),
            _ => None,
        }
    }

    /// Writes the piece: a body.
    pub fn write(&self, out: &mut impl Put) {
        if let Some(part) = &self.first {
            part.write(out);
        }
        out.put(self.whole);
        if let Some(part) = &self.last {
            part.write(out);
        }
    }
}

/// A `ScopeSpans` with some of its spans.
#[derive(Clone, Copy, Debug)]
struct Partial<'a> {
    /// The whole message: lends its other fields.
    scope_spans: &'a [u8],
    /// The range of it that holds the spans, and perhaps other fields between them.
    spans: &'a [u8],
    /// The length of the message as it is written.
    len: usize,
}

impl Partial<'_> {
    const TAG: u8 = tag(field::resource_spans::SCOPE_SPANS, WireType::Len) as u8;

    fn encoded_len(&self) -> usize {
        1 + varint::len(self.len as u64) + self.len
    }

    fn write(&self, out: &mut impl Put) {
        let mut prefix = [Self::TAG; 1 + varint::MAX_LEN];
        let written = varint::write(self.len as u64, &mut prefix[1..]).unwrap_or_default();
        out.put(prefix.get(..1 + written).unwrap_or_default());
        for run in other_fields(self.scope_spans) {
            out.put(run);
        }
        for run in Runs::only(self.spans, field::scope_spans::SPANS) {
            out.put(run);
        }
    }
}

/// What a `ScopeSpans` says besides its spans.
const fn other_fields(scope_spans: &[u8]) -> Runs<'_> {
    Runs::without(scope_spans, field::scope_spans::SPANS)
}
