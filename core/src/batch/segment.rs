//! A head and a body.

use alloc::sync::Arc;
use core::fmt;

use bytes::Bytes;

use super::ClientInfo;
use super::ack::Ack;
use crate::clock::Moment;
use crate::limiter::Door;
use crate::wire::encode::{self, Put};
use crate::wire::field::{WireType, resource_spans, scope_spans, tag};
use crate::wire::raw::{Field, Fields, Payload};
use crate::wire::varint;

/// Who speaks: the encoded fields of a `ResourceSpans` other than `scope_spans`. Clones share the bytes.
///
/// Two heads are equal when their bytes are; heads that share their bytes are found equal without a look at them.
#[derive(Clone, Default, Eq)]
pub struct Head(Bytes);

impl Head {
    /// The head with these fields: `resource`, `schema_url` and whatever else a sender put there. The caller vouches
    /// for the bytes: well-formed fields, none of them `scope_spans`.
    #[must_use]
    pub const fn new(fields: Bytes) -> Self {
        Self(fields)
    }

    /// The head made of the encoded fields of a `Resource`, and the schema URL of the resource if there is one.
    ///
    /// ```
    /// use spanwire_core::batch::Head;
    ///
    /// let head = Head::from_resource(&[0x10, 1], "u");
    /// assert_eq!(&head.as_bytes()[..], [0x0a, 2, 0x10, 1, 0x1a, 1, b'u']);
    /// ```
    #[must_use]
    pub fn from_resource(resource: &[u8], schema_url: &str) -> Self {
        let mut fields = alloc::vec::Vec::with_capacity(resource.len() + schema_url.len() + 16);
        if !resource.is_empty() {
            encode::write_len_field(&mut fields, resource_spans::RESOURCE, resource);
        }
        if !schema_url.is_empty() {
            encode::write_len_field(
                &mut fields,
                resource_spans::SCHEMA_URL,
                schema_url.as_bytes(),
            );
        }
        Self(Bytes::from(fields))
    }

    /// The encoded fields.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes of the encoded fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is known about the speaker.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The payloads of the fields called `resource`, in order. A well-behaved sender writes one; more than one merge.
    pub fn resources(&self) -> impl Iterator<Item = &[u8]> + Clone {
        Fields::new(&self.0).filter_map(|field| payload_of(&field, resource_spans::RESOURCE))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        let same = self.0.as_ptr() == other.0.as_ptr() && self.0.len() == other.0.len();
        same || self.0 == other.0
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("len", &self.0.len())
            .finish_non_exhaustive()
    }
}

/// Spans of one speaker: a head, and a body of `ScopeSpans` records. Clones share the bytes.
///
/// The memory is charged to the door the spans came through, or to the working reserve once an edit has copied it,
/// for as long as a clone of the segment or of its bytes is alive.
#[derive(Clone)]
pub struct Segment {
    head: Head,
    /// The tag, the length and all fields but the spans of a record that goes on in `body`; empty unless a split
    /// went through a record. Few segments have one, so it is kept elsewhere.
    lead: Option<Arc<Bytes>>,
    body: Bytes,
    spans: usize,
    first_end: Moment,
    door: Door,
    /// Who waits for the request to leave; nobody, mostly.
    ack: Option<Arc<Ack>>,
    client: Option<ClientInfo>,
}

impl Segment {
    /// The segment with this head and body.
    ///
    /// `body` is a sequence of `scope_spans` fields of `ResourceSpans` (tag `0x12`, length, `ScopeSpans`) that hold
    /// `spans` spans, the first of which ended at `first_end`. The caller vouches for the bytes: they are well-formed
    /// and their strings are UTF-8. Where they are
    /// not, a split refuses and a processor passes the segment on as it is.
    #[must_use]
    pub const fn new(head: Head, body: Bytes, spans: usize, first_end: Moment, door: Door) -> Self {
        Self {
            head,
            lead: None,
            body,
            spans,
            first_end,
            door,
            ack: None,
            client: None,
        }
    }

    /// Who speaks.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The same spans, spoken by another.
    #[must_use]
    pub fn with_head(self, head: Head) -> Self {
        Self { head, ..self }
    }

    /// The body, in one part or two. A part may be cut anywhere; one after another they are whole.
    pub fn body_parts(&self) -> impl Iterator<Item = &Bytes> {
        [self.lead(), &self.body]
            .into_iter()
            .filter(|part| !part.is_empty())
    }

    /// The bytes of the body.
    #[must_use]
    pub fn body_len(&self) -> usize {
        self.lead().len() + self.body.len()
    }

    /// The number of spans.
    #[must_use]
    pub fn spans(&self) -> usize {
        self.spans
    }

    /// When the first span ended; a piece of a segment inherits it.
    #[must_use]
    pub fn first_end(&self) -> Moment {
        self.first_end
    }

    /// Where the spans came in.
    #[must_use]
    pub fn door(&self) -> Door {
        self.door
    }

    /// What is known about who sent the request that it is of; `None` for this program's own spans, and where nothing was
    /// to be kept.
    #[must_use]
    pub fn client(&self) -> Option<&ClientInfo> {
        self.client.as_ref()
    }

    /// The same segment, of a request that this is known about.
    #[must_use]
    pub fn with_client(self, client: Option<ClientInfo>) -> Self {
        Self { client, ..self }
    }

    /// The same segment with another body: that of an edit, which took its memory from the working reserve.
    #[must_use]
    pub fn with_body(self, body: Bytes, spans: usize) -> Self {
        Self {
            lead: None,
            body,
            spans,
            ..self
        }
    }

    /// A part of the body: `spans` spans in `body`, continued from `lead`.
    pub(super) fn part(&self, lead: Bytes, body: Bytes, spans: usize) -> Self {
        Self {
            head: self.head.clone(),
            lead: (!lead.is_empty()).then(|| Arc::new(lead)),
            body,
            spans,
            first_end: self.first_end,
            door: self.door,
            ack: self.ack.clone(),
            client: self.client.clone(),
        }
    }

    /// The same segment, of a request that somebody waits for.
    pub(crate) fn with_ack(self, ack: Arc<Ack>) -> Self {
        Self {
            ack: Some(ack),
            ..self
        }
    }

    /// The same segment, where it has come to what does not concern a sender any more who waits for processors alone.
    pub(crate) fn passed(self, lanes: usize) -> Self {
        match &self.ack {
            Some(ack) if ack.is_screening() => {
                ack.deliver(self.spans.saturating_mul(lanes));
                Self { ack: None, ..self }
            }
            _ => self,
        }
    }

    pub(crate) fn ack(&self) -> Option<&Arc<Ack>> {
        self.ack.as_ref()
    }

    pub(super) fn lead(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        self.lead.as_deref().unwrap_or(&NONE)
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    /// The `ScopeSpans` records of the body, in order.
    pub(crate) fn records(&self) -> Records<'_> {
        Records {
            lead: self.lead(),
            body: &self.body,
            at: 0,
        }
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("spans", &self.spans)
            .field("head_len", &self.head.len())
            .field("body_len", &self.body_len())
            .field("first_end", &self.first_end)
            .field("door", &self.door)
            .finish()
    }
}

/// One `ScopeSpans`, in one part or two: whole fields in each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Fields that a split repeated; none of them is a span.
    pub(crate) repeated: &'a [u8],
    /// All other fields.
    pub(crate) fields: &'a [u8],
    /// Where the record (its tag, unless it is in the lead) starts in the body.
    pub(super) start: usize,
    /// Where it ends in the body; `fields` end there too.
    pub(super) end: usize,
}

impl<'a> Record<'a> {
    /// All fields, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        Fields::new(self.repeated).chain(Fields::new(self.fields))
    }

    /// Where `fields` start in the body.
    pub(super) fn fields_start(&self) -> usize {
        self.end - self.fields.len()
    }
}

/// The field is a span of a `ScopeSpans`.
pub(crate) fn is_span(field: &Field<'_>) -> bool {
    payload_of(field, scope_spans::SPANS).is_some()
}

/// The payload of the field if it has this number, and is a message or a string.
pub(crate) fn payload_of<'a>(field: &Field<'a>, number: u32) -> Option<&'a [u8]> {
    match field.payload {
        Payload::Len(payload) if field.number == number => Some(payload),
        _ => None,
    }
}

/// See [`Segment::records`].
#[derive(Clone, Debug)]
pub(crate) struct Records<'a> {
    lead: &'a [u8],
    body: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let start = self.at;
        let lead = core::mem::take(&mut self.lead);
        if !lead.is_empty() {
            let (repeated, len) = open(lead)?;
            let end = len.checked_sub(repeated.len())?;
            self.at = end;
            let fields = self.body.get(..end)?;
            return Some(Record {
                repeated,
                fields,
                start,
                end,
            });
        }
        let rest = self.body.get(start..).filter(|rest| !rest.is_empty())?;
        let (after, len) = open(rest)?;
        let fields = after.get(..len)?;
        let end = start + (rest.len() - after.len()) + len;
        self.at = end;
        Some(Record {
            repeated: &[],
            fields,
            start,
            end,
        })
    }
}

/// What follows the tag and length of a `scope_spans` field, and the length.
fn open(bytes: &[u8]) -> Option<(&[u8], usize)> {
    const TAG: u64 = tag(resource_spans::SCOPE_SPANS, WireType::Len) as u64;
    let (TAG, tag_len) = varint::read(bytes)? else {
        return None;
    };
    let (len, len_len) = varint::read(bytes.get(tag_len..)?)?;
    Some((bytes.get(tag_len + len_len..)?, usize::try_from(len).ok()?))
}

/// Writes the tag and length of a `scope_spans` field.
pub(crate) fn write_record_prefix(out: &mut impl Put, len: usize) {
    encode::write_len_prefix(out, resource_spans::SCOPE_SPANS, len);
}
