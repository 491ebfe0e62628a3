//! The messages that are read: names in JSON, numbers and types in protobuf.
//!
//! `opentelemetry/proto/trace/v1/trace.proto`, `common/v1/common.proto`, `resource/v1/resource.proto`,
//! `collector/trace/v1/trace_service.proto`; `google/rpc/status.proto`.

use spanwire_core::wire::field as f;

/// A message.
pub(super) struct Message {
    pub(super) fields: &'static [Field],
    /// Its fields are members of one `oneof`: one may be set, and it is written even if it holds its default.
    pub(super) oneof: bool,
}

/// A field of a message.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) repeated: bool,
}

/// What a field is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Message(&'static Message),
    Str,
    /// An id of this many bytes.
    Id(usize),
    Bytes,
    Bool,
    Int64,
    Uint32,
    Fixed32,
    Fixed64,
    Double,
    /// The names of its values, from 0.
    Enum(&'static [&'static str]),
    Int32,
}

impl Field {
    /// Whether this is its name, in JSON or, with small letters and underscores, in protobuf: `traceId` or `trace_id`.
    pub(super) fn is_called(&self, name: &str) -> bool {
        if self.name == name {
            return true;
        }
        if !name.contains('_') {
            return false;
        }
        let spelled = self.name.bytes().flat_map(|byte| {
            let underscore = byte.is_ascii_uppercase().then_some(b'_');
            underscore.into_iter().chain([byte.to_ascii_lowercase()])
        });
        spelled.eq(name.bytes())
    }
}

/// `Span.SpanKind`.
const SPAN_KIND: Kind = Kind::Enum(&[
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
]);

/// `Status.StatusCode`.
const STATUS_CODE: Kind = Kind::Enum(&["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"]);

const fn one(name: &'static str, number: u32, kind: Kind) -> Field {
    Field {
        name,
        number,
        kind,
        repeated: false,
    }
}

const fn many(name: &'static str, number: u32, kind: Kind) -> Field {
    Field {
        name,
        number,
        kind,
        repeated: true,
    }
}

const fn message(fields: &'static [Field]) -> Message {
    Message {
        fields,
        oneof: false,
    }
}

const fn attributes(number: u32) -> Field {
    many("attributes", number, Kind::Message(&KEY_VALUE))
}

const fn dropped_attributes(number: u32) -> Field {
    one("droppedAttributesCount", number, Kind::Uint32)
}

pub(super) static REQUEST: Message = message(&[many(
    "resourceSpans",
    f::request::RESOURCE_SPANS,
    Kind::Message(&RESOURCE_SPANS),
)]);

static RESOURCE_SPANS: Message = message(&[
    one(
        "resource",
        f::resource_spans::RESOURCE,
        Kind::Message(&RESOURCE),
    ),
    many(
        "scopeSpans",
        f::resource_spans::SCOPE_SPANS,
        Kind::Message(&SCOPE_SPANS),
    ),
    one("schemaUrl", f::resource_spans::SCHEMA_URL, Kind::Str),
]);

static RESOURCE: Message = message(&[
    attributes(f::resource::ATTRIBUTES),
    dropped_attributes(f::resource::DROPPED_ATTRIBUTES_COUNT),
    many(
        "entityRefs",
        f::resource::ENTITY_REFS,
        Kind::Message(&ENTITY_REF),
    ),
]);

static ENTITY_REF: Message = message(&[
    one("schemaUrl", 1, Kind::Str),
    one("type", 2, Kind::Str),
    many("idKeys", 3, Kind::Str),
    many("descriptionKeys", 4, Kind::Str),
]);

static SCOPE_SPANS: Message = message(&[
    one("scope", f::scope_spans::SCOPE, Kind::Message(&SCOPE)),
    many("spans", f::scope_spans::SPANS, Kind::Message(&SPAN)),
    one("schemaUrl", f::scope_spans::SCHEMA_URL, Kind::Str),
]);

static SCOPE: Message = message(&[
    one("name", f::scope::NAME, Kind::Str),
    one("version", f::scope::VERSION, Kind::Str),
    attributes(f::scope::ATTRIBUTES),
    dropped_attributes(f::scope::DROPPED_ATTRIBUTES_COUNT),
]);

static SPAN: Message = message(&[
    one("traceId", f::span::TRACE_ID, Kind::Id(16)),
    one("spanId", f::span::SPAN_ID, Kind::Id(8)),
    one("traceState", f::span::TRACE_STATE, Kind::Str),
    one("parentSpanId", f::span::PARENT_SPAN_ID, Kind::Id(8)),
    one("name", f::span::NAME, Kind::Str),
    one("kind", f::span::KIND, SPAN_KIND),
    one(
        "startTimeUnixNano",
        f::span::START_TIME_UNIX_NANO,
        Kind::Fixed64,
    ),
    one(
        "endTimeUnixNano",
        f::span::END_TIME_UNIX_NANO,
        Kind::Fixed64,
    ),
    attributes(f::span::ATTRIBUTES),
    dropped_attributes(f::span::DROPPED_ATTRIBUTES_COUNT),
    many("events", f::span::EVENTS, Kind::Message(&EVENT)),
    one(
        "droppedEventsCount",
        f::span::DROPPED_EVENTS_COUNT,
        Kind::Uint32,
    ),
    many("links", f::span::LINKS, Kind::Message(&LINK)),
    one(
        "droppedLinksCount",
        f::span::DROPPED_LINKS_COUNT,
        Kind::Uint32,
    ),
    one("status", f::span::STATUS, Kind::Message(&STATUS)),
    one("flags", f::span::FLAGS, Kind::Fixed32),
]);

static EVENT: Message = message(&[
    one("timeUnixNano", f::event::TIME_UNIX_NANO, Kind::Fixed64),
    one("name", f::event::NAME, Kind::Str),
    attributes(f::event::ATTRIBUTES),
    dropped_attributes(f::event::DROPPED_ATTRIBUTES_COUNT),
]);

static LINK: Message = message(&[
    one("traceId", f::link::TRACE_ID, Kind::Id(16)),
    one("spanId", f::link::SPAN_ID, Kind::Id(8)),
    one("traceState", f::link::TRACE_STATE, Kind::Str),
    attributes(f::link::ATTRIBUTES),
    dropped_attributes(f::link::DROPPED_ATTRIBUTES_COUNT),
    one("flags", f::link::FLAGS, Kind::Fixed32),
]);

static STATUS: Message = message(&[
    one("message", f::status::MESSAGE, Kind::Str),
    one("code", f::status::CODE, STATUS_CODE),
]);

// `keyStrindex` and `stringValueStrindex` point into a table that only profiles have: unknown here.
static KEY_VALUE: Message = message(&[
    one("key", f::key_value::KEY, Kind::Str),
    one("value", f::key_value::VALUE, Kind::Message(&ANY_VALUE)),
]);

static ANY_VALUE: Message = Message {
    fields: &[
        one("stringValue", f::any_value::STRING_VALUE, Kind::Str),
        one("boolValue", f::any_value::BOOL_VALUE, Kind::Bool),
        one("intValue", f::any_value::INT_VALUE, Kind::Int64),
        one("doubleValue", f::any_value::DOUBLE_VALUE, Kind::Double),
        one(
            "arrayValue",
            f::any_value::ARRAY_VALUE,
            Kind::Message(&ARRAY_VALUE),
        ),
        one(
            "kvlistValue",
            f::any_value::KVLIST_VALUE,
            Kind::Message(&KVLIST),
        ),
        one("bytesValue", f::any_value::BYTES_VALUE, Kind::Bytes),
    ],
    oneof: true,
};

static ARRAY_VALUE: Message =
    message(&[many("values", f::list::VALUES, Kind::Message(&ANY_VALUE))]);

static KVLIST: Message = message(&[many("values", f::list::VALUES, Kind::Message(&KEY_VALUE))]);

pub(super) static RESPONSE: Message = message(&[one(
    "partialSuccess",
    f::response::PARTIAL_SUCCESS,
    Kind::Message(&PARTIAL_SUCCESS),
)]);

static PARTIAL_SUCCESS: Message = message(&[
    one(
        "rejectedSpans",
        f::partial_success::REJECTED_SPANS,
        Kind::Int64,
    ),
    one("errorMessage", f::partial_success::ERROR_MESSAGE, Kind::Str),
]);

pub(super) static RPC_STATUS: Message =
    message(&[one("code", 1, Kind::Int32), one("message", 2, Kind::Str)]);
