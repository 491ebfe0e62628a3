//! A span and what hangs on it.

use core::fmt;

use super::{KeyValue, Merged, Repeated, text_of};
use crate::id::{SpanId, TraceId};
use crate::wire::field;
use crate::wire::raw::{Fields, Payload};
use crate::wire::{SpanKind, StatusCode};

/// `Span`.
///
/// Making the view reads all scalar fields in one walk; asking for them is free. Attributes, events, links and the
/// status are walked when asked for.
///
/// ```
/// use spanwire_core::wire::SpanKind;
/// use spanwire_core::wire::view::Span;
///
/// let span = Span::new(b"\x2a\x03GET\x30\x03\x4a\x08\x0a\x02ok\x12\x02\x10\x01");
/// assert_eq!(span.name(), "GET");
/// assert_eq!(span.kind(), Some(SpanKind::Client));
/// let attribute = span.attributes().next().unwrap();
/// assert_eq!((attribute.key(), attribute.value().as_bool()), ("ok", Some(true)));
/// ```
#[derive(Clone, Copy)]
pub struct Span<'a> {
    bytes: &'a [u8],
    trace_state: &'a [u8],
    name: &'a [u8],
    trace_id: TraceId,
    span_id: SpanId,
    parent_span_id: SpanId,
    start_time_unix_nano: u64,
    end_time_unix_nano: u64,
    flags: u32,
    kind: i32,
    dropped_attributes_count: u32,
    dropped_events_count: u32,
    dropped_links_count: u32,
}

impl<'a> Span<'a> {
    /// The span with these bytes, without tag and length.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut span = Self {
            bytes,
            trace_state: &[],
            name: &[],
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            parent_span_id: SpanId::INVALID,
            start_time_unix_nano: 0,
            end_time_unix_nano: 0,
            flags: 0,
            kind: 0,
            dropped_attributes_count: 0,
            dropped_events_count: 0,
            dropped_links_count: 0,
        };
        for found in Fields::new(bytes) {
            match (found.number, found.payload) {
                (field::span::TRACE_ID, Payload::Len(id)) => span.trace_id = trace_id_of(id),
                (field::span::SPAN_ID, Payload::Len(id)) => span.span_id = span_id_of(id),
                (field::span::TRACE_STATE, Payload::Len(text)) => span.trace_state = text,
                (field::span::PARENT_SPAN_ID, Payload::Len(id)) => {
                    span.parent_span_id = span_id_of(id)
                }
                (field::span::NAME, Payload::Len(text)) => span.name = text,
                (field::span::KIND, Payload::Varint(value)) => span.kind = value as i32,
                (field::span::START_TIME_UNIX_NANO, Payload::Fixed64(time)) => {
                    span.start_time_unix_nano = time
                }
                (field::span::END_TIME_UNIX_NANO, Payload::Fixed64(time)) => {
                    span.end_time_unix_nano = time
                }
                (field::span::DROPPED_ATTRIBUTES_COUNT, Payload::Varint(count)) => {
                    span.dropped_attributes_count = count as u32;
                }
                (field::span::DROPPED_EVENTS_COUNT, Payload::Varint(count)) => {
                    span.dropped_events_count = count as u32;
                }
                (field::span::DROPPED_LINKS_COUNT, Payload::Varint(count)) => {
                    span.dropped_links_count = count as u32
                }
                (field::span::FLAGS, Payload::Fixed32(flags)) => span.flags = flags,
                _ => {}
            }
        }
        span
    }

    /// The bytes of the span, without tag and length.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The trace; [`TraceId::INVALID`] if nobody said.
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span's own id; [`SpanId::INVALID`] if nobody said.
    #[must_use]
    pub const fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// The `tracestate` of the span's context, as the header spells it.
    #[must_use]
    pub fn trace_state(&self) -> &'a str {
        text_of(self.trace_state)
    }

    /// The parent; [`SpanId::INVALID`] for a root.
    #[must_use]
    pub const fn parent_span_id(&self) -> SpanId {
        self.parent_span_id
    }

    /// W3C flags in bits 0 to 7; whether the parent is known to be remote or not in bit 8, and whether it is in bit 9.
    /// Some senders leave the sampled bit 0 in sampled spans.
    #[must_use]
    pub const fn flags(&self) -> u32 {
        self.flags
    }

    /// The name; empty if nobody said.
    #[must_use]
    pub fn name(&self) -> &'a str {
        text_of(self.name)
    }

    /// The kind; `None` if it is unspecified or none that is known.
    #[must_use]
    pub const fn kind(&self) -> Option<SpanKind> {
        match self.kind {
            1 => Some(SpanKind::Internal),
            2 => Some(SpanKind::Server),
            3 => Some(SpanKind::Client),
            4 => Some(SpanKind::Producer),
            5 => Some(SpanKind::Consumer),
            _ => None,
        }
    }

    /// The kind as the number on the wire; 0 is unspecified.
    #[must_use]
    pub const fn kind_number(&self) -> i32 {
        self.kind
    }

    /// When the span started, in nanoseconds since the Unix epoch; 0 if nobody said.
    #[must_use]
    pub const fn start_time_unix_nano(&self) -> u64 {
        self.start_time_unix_nano
    }

    /// When the span ended, in nanoseconds since the Unix epoch; 0 if nobody said.
    #[must_use]
    pub const fn end_time_unix_nano(&self) -> u64 {
        self.end_time_unix_nano
    }

    /// What is said about the span, in order.
    #[must_use]
    pub const fn attributes(&self) -> Repeated<'a, KeyValue<'a>> {
        Repeated::within(self.bytes, field::span::ATTRIBUTES)
    }

    /// How many attributes were dropped before the span was sent.
    #[must_use]
    pub const fn dropped_attributes_count(&self) -> u32 {
        self.dropped_attributes_count
    }

    /// What happened during the span, in the order in which it was written.
    #[must_use]
    pub const fn events(&self) -> Repeated<'a, Event<'a>> {
        Repeated::within(self.bytes, field::span::EVENTS)
    }

    /// How many events were dropped before the span was sent.
    #[must_use]
    pub const fn dropped_events_count(&self) -> u32 {
        self.dropped_events_count
    }

    /// Other spans that this one points to, in order.
    #[must_use]
    pub const fn links(&self) -> Repeated<'a, Link<'a>> {
        Repeated::within(self.bytes, field::span::LINKS)
    }

    /// How many links were dropped before the span was sent.
    #[must_use]
    pub const fn dropped_links_count(&self) -> u32 {
        self.dropped_links_count
    }

    /// Whether the operation failed; `None` if nobody said.
    #[must_use]
    pub fn status(&self) -> Option<Status<'a>> {
        Merged::within(self.bytes, field::span::STATUS).map(Status::read)
    }
}

/// `Span.Event`: something that happened at one moment.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    bytes: &'a [u8],
    name: &'a [u8],
    time_unix_nano: u64,
    dropped_attributes_count: u32,
}

impl<'a> Event<'a> {
    /// The event with these bytes, without tag and length.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut event = Self {
            bytes,
            name: &[],
            time_unix_nano: 0,
            dropped_attributes_count: 0,
        };
        for found in Fields::new(bytes) {
            match (found.number, found.payload) {
                (field::event::TIME_UNIX_NANO, Payload::Fixed64(time)) => {
                    event.time_unix_nano = time
                }
                (field::event::NAME, Payload::Len(text)) => event.name = text,
                (field::event::DROPPED_ATTRIBUTES_COUNT, Payload::Varint(count)) => {
                    event.dropped_attributes_count = count as u32;
                }
                _ => {}
            }
        }
        event
    }

    /// When it happened, in nanoseconds since the Unix epoch; 0 if nobody said.
    #[must_use]
    pub const fn time_unix_nano(&self) -> u64 {
        self.time_unix_nano
    }

    /// The name; empty if nobody said.
    #[must_use]
    pub fn name(&self) -> &'a str {
        text_of(self.name)
    }

    /// What is said about the event, in order.
    #[must_use]
    pub const fn attributes(&self) -> Repeated<'a, KeyValue<'a>> {
        Repeated::within(self.bytes, field::event::ATTRIBUTES)
    }

    /// How many attributes were dropped before the event was sent.
    #[must_use]
    pub const fn dropped_attributes_count(&self) -> u32 {
        self.dropped_attributes_count
    }
}

/// `Span.Link`: another span, perhaps of another trace.
#[derive(Clone, Copy)]
pub struct Link<'a> {
    bytes: &'a [u8],
    trace_state: &'a [u8],
    trace_id: TraceId,
    span_id: SpanId,
    dropped_attributes_count: u32,
    flags: u32,
}

impl<'a> Link<'a> {
    /// The link with these bytes, without tag and length.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut link = Self {
            bytes,
            trace_state: &[],
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            dropped_attributes_count: 0,
            flags: 0,
        };
        for found in Fields::new(bytes) {
            match (found.number, found.payload) {
                (field::link::TRACE_ID, Payload::Len(id)) => link.trace_id = trace_id_of(id),
                (field::link::SPAN_ID, Payload::Len(id)) => link.span_id = span_id_of(id),
                (field::link::TRACE_STATE, Payload::Len(text)) => link.trace_state = text,
                (field::link::DROPPED_ATTRIBUTES_COUNT, Payload::Varint(count)) => {
                    link.dropped_attributes_count = count as u32;
                }
                (field::link::FLAGS, Payload::Fixed32(flags)) => link.flags = flags,
                _ => {}
            }
        }
        link
    }

    /// The trace of the span pointed to; [`TraceId::INVALID`] if nobody said.
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span pointed to; [`SpanId::INVALID`] if nobody said.
    #[must_use]
    pub const fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// The `tracestate` of the context pointed to, as the header spells it.
    #[must_use]
    pub fn trace_state(&self) -> &'a str {
        text_of(self.trace_state)
    }

    /// What is said about the link, in order.
    #[must_use]
    pub const fn attributes(&self) -> Repeated<'a, KeyValue<'a>> {
        Repeated::within(self.bytes, field::link::ATTRIBUTES)
    }

    /// How many attributes were dropped before the link was sent.
    #[must_use]
    pub const fn dropped_attributes_count(&self) -> u32 {
        self.dropped_attributes_count
    }

    /// As [`Span::flags`], about the span pointed to.
    #[must_use]
    pub const fn flags(&self) -> u32 {
        self.flags
    }
}

/// `Status`: whether the operation failed.
#[derive(Clone, Copy)]
pub struct Status<'a> {
    message: &'a [u8],
    code: i32,
}

impl<'a> Status<'a> {
    /// The status with these bytes, without tag and length.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::read(Merged::of(bytes))
    }

    fn read(fields: Merged<'a>) -> Self {
        let mut status = Self {
            message: &[],
            code: 0,
        };
        for found in fields {
            match (found.number, found.payload) {
                (field::status::MESSAGE, Payload::Len(text)) => status.message = text,
                (field::status::CODE, Payload::Varint(code)) => status.code = code as i32,
                _ => {}
            }
        }
        status
    }

    /// What went wrong; empty if nobody said.
    #[must_use]
    pub fn message(&self) -> &'a str {
        text_of(self.message)
    }

    /// The verdict. A number that is not known reads as [`StatusCode::Unset`].
    #[must_use]
    pub const fn code(&self) -> StatusCode {
        match self.code {
            1 => StatusCode::Ok,
            2 => StatusCode::Error,
            _ => StatusCode::Unset,
        }
    }

    /// The verdict as the number on the wire.
    #[must_use]
    pub const fn code_number(&self) -> i32 {
        self.code
    }
}

fn trace_id_of(bytes: &[u8]) -> TraceId {
    bytes
        .try_into()
        .map_or(TraceId::INVALID, TraceId::from_bytes)
}

fn span_id_of(bytes: &[u8]) -> SpanId {
    bytes.try_into().map_or(SpanId::INVALID, SpanId::from_bytes)
}

shown! {
    Span: trace_id, span_id, trace_state, parent_span_id, flags, name, kind, start_time_unix_nano,
        end_time_unix_nano, attributes, dropped_attributes_count, events, dropped_events_count, links,
        dropped_links_count, status;
    Event: time_unix_nano, name, attributes, dropped_attributes_count;
    Link: trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags;
    Status: message, code;
}
