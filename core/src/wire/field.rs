//! Field numbers of the OTLP messages, and the tags made of them.

/// How a field's payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WireType {
    /// A base-128 number.
    Varint = 0,
    /// Eight bytes, little-endian.
    Fixed64 = 1,
    /// A length, then as many bytes.
    Len = 2,
    /// The start of a group: deprecated, skipped as unknown.
    StartGroup = 3,
    /// The end of a group.
    EndGroup = 4,
    /// Four bytes, little-endian.
    Fixed32 = 5,
}

/// The tag of a field: `number << 3 | wire type`.
#[must_use]
pub const fn tag(number: u32, wire_type: WireType) -> u32 {
    number << 3 | wire_type as u32
}

macro_rules! fields {
    ($($(#[$doc:meta])* $message:ident { $($field:ident = $number:literal),+ $(,)? })+) => {
        $($(#[$doc])* pub mod $message {
            $(#[doc = concat!("Field ", stringify!($number), ".")] pub const $field: u32 = $number;)+
        })+
    };
}

fields! {
    /// `ExportTraceServiceRequest`, `TracesData`.
    request { RESOURCE_SPANS = 1 }
    /// `ExportTraceServiceResponse`.
    response { PARTIAL_SUCCESS = 1 }
    /// `ExportTracePartialSuccess`.
    partial_success { REJECTED_SPANS = 1, ERROR_MESSAGE = 2 }
    /// `ResourceSpans`.
    resource_spans { RESOURCE = 1, SCOPE_SPANS = 2, SCHEMA_URL = 3 }
    /// `Resource`.
    resource { ATTRIBUTES = 1, DROPPED_ATTRIBUTES_COUNT = 2, ENTITY_REFS = 3 }
    /// `ScopeSpans`.
    scope_spans { SCOPE = 1, SPANS = 2, SCHEMA_URL = 3 }
    /// `InstrumentationScope`.
    scope { NAME = 1, VERSION = 2, ATTRIBUTES = 3, DROPPED_ATTRIBUTES_COUNT = 4 }
    /// `Span`.
    span {
        TRACE_ID = 1, SPAN_ID = 2, TRACE_STATE = 3, PARENT_SPAN_ID = 4, NAME = 5, KIND = 6,
        START_TIME_UNIX_NANO = 7, END_TIME_UNIX_NANO = 8, ATTRIBUTES = 9, DROPPED_ATTRIBUTES_COUNT = 10,
        EVENTS = 11, DROPPED_EVENTS_COUNT = 12, LINKS = 13, DROPPED_LINKS_COUNT = 14, STATUS = 15, FLAGS = 16,
    }
    /// `Span.Event`.
    event { TIME_UNIX_NANO = 1, NAME = 2, ATTRIBUTES = 3, DROPPED_ATTRIBUTES_COUNT = 4 }
    /// `Span.Link`.
    link { TRACE_ID = 1, SPAN_ID = 2, TRACE_STATE = 3, ATTRIBUTES = 4, DROPPED_ATTRIBUTES_COUNT = 5, FLAGS = 6 }
    /// `Status`.
    status { MESSAGE = 2, CODE = 3 }
    /// `KeyValue`.
    key_value { KEY = 1, VALUE = 2 }
    /// `AnyValue`.
    any_value {
        STRING_VALUE = 1, BOOL_VALUE = 2, INT_VALUE = 3, DOUBLE_VALUE = 4, ARRAY_VALUE = 5, KVLIST_VALUE = 6,
        BYTES_VALUE = 7,
    }
    /// `ArrayValue`, `KeyValueList`.
    list { VALUES = 1 }
}
