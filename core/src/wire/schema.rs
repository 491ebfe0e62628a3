//! What the fields of each message are, as tables made at compile time.
//!
//! `opentelemetry/proto/{collector/trace,trace,resource,common}/v1/*.proto`, 1.11.

use super::field::{self, WireType, tag};

/// A message of OTLP traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Message {
    Request,
    ResourceSpans,
    Resource,
    EntityRef,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Status,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
}

/// What is to be done with a field, known from its message and its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No field of this message.
    Unknown,
    /// A field of this message, under another wire type.
    Mistyped,
    Text,
    Bytes,
    /// Bytes, 0 or 16 of them.
    TraceId,
    /// Bytes, 0 or 8 of them.
    SpanId,
    Varint,
    Fixed64,
    Fixed32,
    Message(Message),
}

/// Tags below this are looked up; no known field has a greater one.
const TAGS: usize = 17 << 3;

/// One entry for each tag.
type Row = [Kind; TAGS];

const ROWS: [Row; 14] = {
    let mut rows = [[Kind::Unknown; TAGS]; 14];
    let mut message = 0;
    while message < rows.len() {
        let fields = FIELDS[message];
        let mut at = 0;
        while at < fields.len() {
            let (number, _, kind) = fields[at];
            let mut wire_type = 0;
            while wire_type < 6 {
                rows[message][(number as usize) << 3 | wire_type] = Kind::Mistyped;
                wire_type += 1;
            }
            rows[message][tag(number, kind.wire_type()) as usize] = kind;
            at += 1;
        }
        message += 1;
    }
    rows
};

static TABLE: [Row; 14] = ROWS;

impl Kind {
    const fn wire_type(self) -> WireType {
        match self {
            Self::Varint => WireType::Varint,
            Self::Fixed64 => WireType::Fixed64,
            Self::Fixed32 => WireType::Fixed32,
            _ => WireType::Len,
        }
    }
}

impl Message {
    /// What the field with this tag is.
    #[inline]
    pub(super) fn kind(self, tag: u32) -> Kind {
        match TABLE[self as usize].get(tag as usize) {
            Some(kind) => *kind,
            None => Kind::Unknown,
        }
    }

    /// The name of a known field, as the `.proto` files spell it, and the message that it is, if it is one.
    pub(super) fn field(self, number: u32) -> Option<(&'static str, Option<Self>)> {
        let (_, name, kind) = FIELDS[self as usize]
            .iter()
            .find(|field| field.0 == number)?;
        match kind {
            Kind::Message(message) => Some((name, Some(*message))),
            _ => Some((name, None)),
        }
    }
}

/// Number, name and kind of each field, by message in the order of [`Message`].
const FIELDS: [&[(u32, &str, Kind)]; 14] = [
    &[(
        field::request::RESOURCE_SPANS,
        "resource_spans",
        Kind::Message(Message::ResourceSpans),
    )],
    &[
        (
            field::resource_spans::RESOURCE,
            "resource",
            Kind::Message(Message::Resource),
        ),
        (
            field::resource_spans::SCOPE_SPANS,
            "scope_spans",
            Kind::Message(Message::ScopeSpans),
        ),
        (field::resource_spans::SCHEMA_URL, "schema_url", Kind::Text),
    ],
    &[
        (
            field::resource::ATTRIBUTES,
            "attributes",
            Kind::Message(Message::KeyValue),
        ),
        (
            field::resource::DROPPED_ATTRIBUTES_COUNT,
            "dropped_attributes_count",
            Kind::Varint,
        ),
        (
            field::resource::ENTITY_REFS,
            "entity_refs",
            Kind::Message(Message::EntityRef),
        ),
    ],
    &[
        (1, "schema_url", Kind::Text),
        (2, "type", Kind::Text),
        (3, "id_keys", Kind::Text),
        (4, "description_keys", Kind::Text),
    ],
    &[
        (
            field::scope_spans::SCOPE,
            "scope",
            Kind::Message(Message::Scope),
        ),
        (
            field::scope_spans::SPANS,
            "spans",
            Kind::Message(Message::Span),
        ),
        (field::scope_spans::SCHEMA_URL, "schema_url", Kind::Text),
    ],
    &[
        (field::scope::NAME, "name", Kind::Text),
        (field::scope::VERSION, "version", Kind::Text),
        (
            field::scope::ATTRIBUTES,
            "attributes",
            Kind::Message(Message::KeyValue),
        ),
        (
            field::scope::DROPPED_ATTRIBUTES_COUNT,
            "dropped_attributes_count",
            Kind::Varint,
        ),
    ],
    &[
        (field::span::TRACE_ID, "trace_id", Kind::TraceId),
        (field::span::SPAN_ID, "span_id", Kind::SpanId),
        (field::span::TRACE_STATE, "trace_state", Kind::Text),
        (field::span::PARENT_SPAN_ID, "parent_span_id", Kind::SpanId),
        (field::span::NAME, "name", Kind::Text),
        (field::span::KIND, "kind", Kind::Varint),
        (
            field::span::START_TIME_UNIX_NANO,
            "start_time_unix_nano",
            Kind::Fixed64,
        ),
        (
            field::span::END_TIME_UNIX_NANO,
            "end_time_unix_nano",
            Kind::Fixed64,
        ),
        (
            field::span::ATTRIBUTES,
            "attributes",
            Kind::Message(Message::KeyValue),
        ),
        (
            field::span::DROPPED_ATTRIBUTES_COUNT,
            "dropped_attributes_count",
            Kind::Varint,
        ),
        (field::span::EVENTS, "events", Kind::Message(Message::Event)),
        (
            field::span::DROPPED_EVENTS_COUNT,
            "dropped_events_count",
            Kind::Varint,
        ),
        (field::span::LINKS, "links", Kind::Message(Message::Link)),
        (
            field::span::DROPPED_LINKS_COUNT,
            "dropped_links_count",
            Kind::Varint,
        ),
        (
            field::span::STATUS,
            "status",
            Kind::Message(Message::Status),
        ),
        (field::span::FLAGS, "flags", Kind::Fixed32),
    ],
    &[
        (
            field::event::TIME_UNIX_NANO,
            "time_unix_nano",
            Kind::Fixed64,
        ),
        (field::event::NAME, "name", Kind::Text),
        (
            field::event::ATTRIBUTES,
            "attributes",
            Kind::Message(Message::KeyValue),
        ),
        (
            field::event::DROPPED_ATTRIBUTES_COUNT,
            "dropped_attributes_count",
            Kind::Varint,
        ),
    ],
    &[
        (field::link::TRACE_ID, "trace_id", Kind::TraceId),
        (field::link::SPAN_ID, "span_id", Kind::SpanId),
        (field::link::TRACE_STATE, "trace_state", Kind::Text),
        (
            field::link::ATTRIBUTES,
            "attributes",
            Kind::Message(Message::KeyValue),
        ),
        (
            field::link::DROPPED_ATTRIBUTES_COUNT,
            "dropped_attributes_count",
            Kind::Varint,
        ),
        (field::link::FLAGS, "flags", Kind::Fixed32),
    ],
    &[
        (field::status::MESSAGE, "message", Kind::Text),
        (field::status::CODE, "code", Kind::Varint),
    ],
    &[
        (field::key_value::KEY, "key", Kind::Text),
        (
            field::key_value::VALUE,
            "value",
            Kind::Message(Message::AnyValue),
        ),
        (KEY_STRINDEX, "key_strindex", Kind::Varint),
    ],
    &[
        (field::any_value::STRING_VALUE, "string_value", Kind::Text),
        (field::any_value::BOOL_VALUE, "bool_value", Kind::Varint),
        (field::any_value::INT_VALUE, "int_value", Kind::Varint),
        (
            field::any_value::DOUBLE_VALUE,
            "double_value",
            Kind::Fixed64,
        ),
        (
            field::any_value::ARRAY_VALUE,
            "array_value",
            Kind::Message(Message::ArrayValue),
        ),
        (
            field::any_value::KVLIST_VALUE,
            "kvlist_value",
            Kind::Message(Message::KeyValueList),
        ),
        (field::any_value::BYTES_VALUE, "bytes_value", Kind::Bytes),
        (STRING_VALUE_STRINDEX, "string_value_strindex", Kind::Varint),
    ],
    &[(
        field::list::VALUES,
        "values",
        Kind::Message(Message::AnyValue),
    )],
    &[(
        field::list::VALUES,
        "values",
        Kind::Message(Message::KeyValue),
    )],
];

/// `KeyValue.key_strindex`: an index into a table that only profiles have.
pub(super) const KEY_STRINDEX: u32 = 3;

/// `AnyValue.string_value_strindex`: an index into a table that only profiles have.
pub(super) const STRING_VALUE_STRINDEX: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_one_tag_and_its_other_wire_types_are_mistakes() {
        assert_eq!(Message::Span.kind(0x85), Kind::Fixed32);
        assert_eq!(Message::Span.kind(0x80), Kind::Mistyped);
        assert_eq!(Message::Span.kind(0x86), Kind::Unknown);
        assert_eq!(Message::Span.kind(0x88), Kind::Unknown);
        assert_eq!(Message::Span.kind(u32::MAX), Kind::Unknown);
        assert_eq!(Message::Status.kind(0x08), Kind::Unknown);
        assert_eq!(
            Message::Request.kind(0x0a),
            Kind::Message(Message::ResourceSpans)
        );
        assert_eq!(Message::Request.kind(0x0b), Kind::Mistyped);
    }

    #[test]
    fn every_row_is_that_of_its_message() {
        assert_eq!(
            Message::KeyValueList.field(1),
            Some(("values", Some(Message::KeyValue)))
        );
        assert_eq!(
            Message::ArrayValue.field(1),
            Some(("values", Some(Message::AnyValue)))
        );
        assert_eq!(Message::Status.field(3), Some(("code", None)));
        assert_eq!(Message::Status.field(1), None);
    }
}
