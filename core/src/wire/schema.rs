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
#[repr(u8)]
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
    /// A `KeyValue`: most of what there is.
    KeyValue,
    /// Any other message.
    Message,
}

/// A kind, and the message that it is, if it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) message: Message,
}

/// Tags below this are looked up; no known field has a greater one.
const TAGS: usize = 17 << 3;

/// One entry for each tag.
type Row = [Entry; TAGS];

static TABLE: [Row; FIELDS.len()] = {
    let mut rows = [[Entry::of(Kind::Unknown); TAGS]; FIELDS.len()];
    let mut message = 0;
    while message < rows.len() {
        let fields = FIELDS[message];
        let mut at = 0;
        while at < fields.len() {
            let (number, _, entry) = fields[at];
            let mut wire_type = 0;
            while wire_type < 6 {
                rows[message][(number as usize) << 3 | wire_type] = Entry::of(Kind::Mistyped);
                wire_type += 1;
            }
            rows[message][tag(number, entry.kind.wire_type()) as usize] = entry;
            at += 1;
        }
        message += 1;
    }
    rows
};

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

impl Entry {
    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            message: Message::Request,
        }
    }
}

impl Message {
    /// What the field with this tag is.
    #[inline]
    pub(super) fn entry(self, tag: u32) -> Entry {
        match TABLE[self as usize].get(tag as usize) {
            Some(entry) => *entry,
            None => Entry::of(Kind::Unknown),
        }
    }

    /// The name of a known field, as the `.proto` files spell it, and the message that it is, if it is one.
    pub(super) fn field(self, number: u32) -> Option<(&'static str, Option<Self>)> {
        let (_, name, entry) = FIELDS[self as usize]
            .iter()
            .find(|field| field.0 == number)?;
        let is_message = matches!(entry.kind, Kind::Message | Kind::KeyValue);
        Some((name, is_message.then_some(entry.message)))
    }
}

const fn message(message: Message) -> Entry {
    let kind = match message {
        Message::KeyValue => Kind::KeyValue,
        _ => Kind::Message,
    };
    Entry { kind, message }
}

const TEXT: Entry = Entry::of(Kind::Text);
const BYTES: Entry = Entry::of(Kind::Bytes);
const TRACE_ID: Entry = Entry::of(Kind::TraceId);
const SPAN_ID: Entry = Entry::of(Kind::SpanId);
const VARINT: Entry = Entry::of(Kind::Varint);
const FIXED64: Entry = Entry::of(Kind::Fixed64);
const FIXED32: Entry = Entry::of(Kind::Fixed32);

/// Number, name and kind of each field, by message in the order of [`Message`].
const FIELDS: [&[(u32, &str, Entry)]; 14] = [
    &[(
        field::request::RESOURCE_SPANS,
        "resource_spans",
        message(Message::ResourceSpans),
    )],
    &[
        (
            field::resource_spans::RESOURCE,
            "resource",
            message(Message::Resource),
        ),
        (
            field::resource_spans::SCOPE_SPANS,
            "scope_spans",
            message(Message::ScopeSpans),
        ),
        (field::resource_spans::SCHEMA_URL, "schema_url", TEXT),
    ],
    &[
        (
            field::resource::ATTRIBUTES,
            "attributes",
            message(Message::KeyValue),
        ),
        (
            field::resource::DROPPED_ATTRIBUTES_COUNT,
            "dropped_attributes_count",
            VARINT,
        ),
        (
            field::resource::ENTITY_REFS,
            "entity_refs",
            message(Message::EntityRef),
        ),
    ],
    &[
        (1, "schema_url", TEXT),
        (2, "type", TEXT),
        (3, "id_keys", TEXT),
        (4, "description_keys", TEXT),
    ],
    &[
        (field::scope_spans::SCOPE, "scope", message(Message::Scope)),
        (field::scope_spans::SPANS, "spans", message(Message::Span)),
        (field::scope_spans::SCHEMA_URL, "schema_url", TEXT),
    ],
    &[
        (field::scope::NAME, "name", TEXT),
        (field::scope::VERSION, "version", TEXT),
        (
            field::scope::ATTRIBUTES,
            "attributes",
            message(Message::KeyValue),
        ),
        (
            field::scope::DROPPED_ATTRIBUTES_COUNT,
            "dropped_attributes_count",
            VARINT,
        ),
    ],
    &[
        (field::span::TRACE_ID, "trace_id", TRACE_ID),
        (field::span::SPAN_ID, "span_id", SPAN_ID),
        (field::span::TRACE_STATE, "trace_state", TEXT),
        (field::span::PARENT_SPAN_ID, "parent_span_id", SPAN_ID),
        (field::span::NAME, "name", TEXT),
        (field::span::KIND, "kind", VARINT),
        (
            field::span::START_TIME_UNIX_NANO,
            "start_time_unix_nano",
            FIXED64,
        ),
        (
            field::span::END_TIME_UNIX_NANO,
            "end_time_unix_nano",
            FIXED64,
        ),
        (
            field::span::ATTRIBUTES,
            "attributes",
            message(Message::KeyValue),
        ),
        (
            field::span::DROPPED_ATTRIBUTES_COUNT,
            "dropped_attributes_count",
            VARINT,
        ),
        (field::span::EVENTS, "events", message(Message::Event)),
        (
            field::span::DROPPED_EVENTS_COUNT,
            "dropped_events_count",
            VARINT,
        ),
        (field::span::LINKS, "links", message(Message::Link)),
        (
            field::span::DROPPED_LINKS_COUNT,
            "dropped_links_count",
            VARINT,
        ),
        (field::span::STATUS, "status", message(Message::Status)),
        (field::span::FLAGS, "flags", FIXED32),
    ],
    &[
        (field::event::TIME_UNIX_NANO, "time_unix_nano", FIXED64),
        (field::event::NAME, "name", TEXT),
        (
            field::event::ATTRIBUTES,
            "attributes",
            message(Message::KeyValue),
        ),
        (
            field::event::DROPPED_ATTRIBUTES_COUNT,
            "dropped_attributes_count",
            VARINT,
        ),
    ],
    &[
        (field::link::TRACE_ID, "trace_id", TRACE_ID),
        (field::link::SPAN_ID, "span_id", SPAN_ID),
        (field::link::TRACE_STATE, "trace_state", TEXT),
        (
            field::link::ATTRIBUTES,
            "attributes",
            message(Message::KeyValue),
        ),
        (
            field::link::DROPPED_ATTRIBUTES_COUNT,
            "dropped_attributes_count",
            VARINT,
        ),
        (field::link::FLAGS, "flags", FIXED32),
    ],
    &[
        (field::status::MESSAGE, "message", TEXT),
        (field::status::CODE, "code", VARINT),
    ],
    &[
        (field::key_value::KEY, "key", TEXT),
        (field::key_value::VALUE, "value", message(Message::AnyValue)),
        (KEY_STRINDEX, "key_strindex", VARINT),
    ],
    &[
        (field::any_value::STRING_VALUE, "string_value", TEXT),
        (field::any_value::BOOL_VALUE, "bool_value", VARINT),
        (field::any_value::INT_VALUE, "int_value", VARINT),
        (field::any_value::DOUBLE_VALUE, "double_value", FIXED64),
        (
            field::any_value::ARRAY_VALUE,
            "array_value",
            message(Message::ArrayValue),
        ),
        (
            field::any_value::KVLIST_VALUE,
            "kvlist_value",
            message(Message::KeyValueList),
        ),
        (field::any_value::BYTES_VALUE, "bytes_value", BYTES),
        (STRING_VALUE_STRINDEX, "string_value_strindex", VARINT),
    ],
    &[(field::list::VALUES, "values", message(Message::AnyValue))],
    &[(field::list::VALUES, "values", message(Message::KeyValue))],
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
        assert_eq!(Message::Span.entry(0x85).kind, Kind::Fixed32);
        assert_eq!(Message::Span.entry(0x80).kind, Kind::Mistyped);
        assert_eq!(Message::Span.entry(0x86).kind, Kind::Unknown);
        assert_eq!(Message::Span.entry(0x88).kind, Kind::Unknown);
        assert_eq!(Message::Span.entry(u32::MAX).kind, Kind::Unknown);
        assert_eq!(Message::Status.entry(0x08).kind, Kind::Unknown);
        assert_eq!(
            Message::Request.entry(0x0a),
            message(Message::ResourceSpans)
        );
        assert_eq!(Message::Request.entry(0x0b).kind, Kind::Mistyped);
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
