//! Where a value is.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::OttlContext;
use super::value::Value;
use crate::batch::{Head, Record, payload_of};
use crate::context::TraceStateRef;
use crate::wire::field::scope_spans;
use crate::wire::view::{self, KeyValue, Span};

/// What a condition is asked of.
pub(super) struct Subject<'a> {
    pub(super) head: &'a Head,
    pub(super) record: &'a Record<'a>,
    pub(super) span: &'a Span<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Path {
    Span(Field),
    SpanAttribute(String, Vec<Index>),
    TraceState(String),
    ResourceAttribute(String, Vec<Index>),
    ResourceDropped,
    ScopeName,
    ScopeVersion,
    ScopeAttribute(String, Vec<Index>),
}

/// A step into a map or an array.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Index {
    Key(String),
    At(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    Kind,
    KindString,
    KindDeprecatedString,
    StatusCode,
    StatusMessage,
    TraceId,
    TraceIdString,
    SpanId,
    SpanIdString,
    ParentSpanId,
    ParentSpanIdString,
    TraceState,
    StartTime,
    StartTimeUnixNano,
    EndTime,
    EndTimeUnixNano,
    DroppedAttributesCount,
    DroppedEventsCount,
    DroppedLinksCount,
    Flags,
}

const FIELDS: [(&str, Field); 21] = [
    ("name", Field::Name),
    ("kind", Field::Kind),
    ("kind.string", Field::KindString),
    ("kind.deprecated_string", Field::KindDeprecatedString),
    ("status.code", Field::StatusCode),
    ("status.message", Field::StatusMessage),
    ("trace_id", Field::TraceId),
    ("trace_id.string", Field::TraceIdString),
    ("span_id", Field::SpanId),
    ("span_id.string", Field::SpanIdString),
    ("parent_span_id", Field::ParentSpanId),
    ("parent_span_id.string", Field::ParentSpanIdString),
    ("trace_state", Field::TraceState),
    ("start_time", Field::StartTime),
    ("start_time_unix_nano", Field::StartTimeUnixNano),
    ("end_time", Field::EndTime),
    ("end_time_unix_nano", Field::EndTimeUnixNano),
    ("dropped_attributes_count", Field::DroppedAttributesCount),
    ("dropped_events_count", Field::DroppedEventsCount),
    ("dropped_links_count", Field::DroppedLinksCount),
    ("flags", Field::Flags),
];

/// The names of kinds by number, in both spellings.
const KINDS: [(&str, &str); 6] = [
    ("Unspecified", "SPAN_KIND_UNSPECIFIED"),
    ("Internal", "SPAN_KIND_INTERNAL"),
    ("Server", "SPAN_KIND_SERVER"),
    ("Client", "SPAN_KIND_CLIENT"),
    ("Producer", "SPAN_KIND_PRODUCER"),
    ("Consumer", "SPAN_KIND_CONSUMER"),
];

/// The number that a capital name stands for.
pub(super) fn named(name: &str) -> Option<i64> {
    let codes = ["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"];
    let kind = KINDS.iter().position(|(_, kind)| *kind == name);
    let code = || codes.iter().position(|code| *code == name);
    kind.or_else(code).map(|number| number as i64)
}

impl Path {
    /// The path of these names, and the indexes after the last of them.
    ///
    /// # Errors
    ///
    /// What was expected instead.
    pub(super) fn new(
        names: &[String],
        indexes: Vec<Index>,
        context: OttlContext,
    ) -> Result<Self, String> {
        let dotted = names.join(".");
        let (of, rest) = match names.split_first() {
            Some((of, rest)) if !rest.is_empty() && is_context(of) => (of.as_str(), rest.join(".")),
            _ => match context {
                OttlContext::Span => ("span", dotted.clone()),
                OttlContext::Resource => ("resource", dotted.clone()),
                OttlContext::Scope => ("scope", dotted.clone()),
                OttlContext::Explicit => {
                    return Err(format!(
                        "expected a path that starts with span, resource or scope, found `{dotted}`"
                    ));
                }
            },
        };
        let is_indexed = !indexes.is_empty();
        let mut indexes = indexes.into_iter();
        let mut first_key = || match indexes.next() {
            Some(Index::Key(key)) => Ok(key),
            _ => Err(format!("expected [\"key\"] after `{dotted}`")),
        };
        let path = match (of, rest.as_str()) {
            ("span", "attributes") => {
                return Ok(Self::SpanAttribute(first_key()?, indexes.collect()));
            }
            ("resource", "attributes") => {
                return Ok(Self::ResourceAttribute(first_key()?, indexes.collect()));
            }
            ("scope" | "instrumentation_scope", "attributes") => {
                return Ok(Self::ScopeAttribute(first_key()?, indexes.collect()));
            }
            ("span", "trace_state") if is_indexed => Self::TraceState(first_key()?),
            ("resource", "dropped_attributes_count") => Self::ResourceDropped,
            ("scope" | "instrumentation_scope", "name") => Self::ScopeName,
            ("scope" | "instrumentation_scope", "version") => Self::ScopeVersion,
            ("span", rest) => match FIELDS.iter().find(|(name, _)| *name == rest) {
                Some((_, field)) => Self::Span(*field),
                None => {
                    let known: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
                    return Err(format!(
                        "expected attributes, {} of a span, found `{dotted}`",
                        known.join(", ")
                    ));
                }
            },
            ("resource", _) => {
                return Err(format!(
                    "expected attributes or dropped_attributes_count of a resource, found `{dotted}`"
                ));
            }
            ("scope" | "instrumentation_scope", _) => {
                return Err(format!(
                    "expected name, version or attributes of a scope, found `{dotted}`"
                ));
            }
            _ => {
                return Err(format!(
                    "expected a path of span, resource or scope, found `{dotted}`: conditions of events and links are not supported"
                ));
            }
        };
        match indexes.next() {
            None => Ok(path),
            Some(_) => Err(format!("expected no index after `{dotted}`")),
        }
    }

    pub(super) fn get<'a>(&'a self, subject: &Subject<'a>) -> Value<'a> {
        match self {
            Self::Span(field) => field.get(subject.span),
            Self::SpanAttribute(key, indexes) => find(subject.span.attributes(), key, indexes),
            Self::TraceState(key) => {
                let state = TraceStateRef::parse(subject.span.trace_state());
                text(state.ok().and_then(|state| state.get(key)).unwrap_or(""))
            }
            Self::ResourceAttribute(key, indexes) => {
                let resource = view::ResourceSpans::new(subject.head.as_bytes()).resource();
                resource.map_or(Value::Nil, |resource| {
                    find(resource.attributes(), key, indexes)
                })
            }
            Self::ResourceDropped => {
                let resource = view::ResourceSpans::new(subject.head.as_bytes()).resource();
                let count = resource.map_or(0, |resource| resource.dropped_attributes_count());
                Value::Int(count.into())
            }
            Self::ScopeName => {
                let names = scopes(subject.record).map(|scope| scope.name());
                text(names.filter(|name| !name.is_empty()).last().unwrap_or(""))
            }
            Self::ScopeVersion => {
                let versions = scopes(subject.record).map(|scope| scope.version());
                text(
                    versions
                        .filter(|version| !version.is_empty())
                        .last()
                        .unwrap_or(""),
                )
            }
            Self::ScopeAttribute(key, indexes) => {
                let attributes = scopes(subject.record).flat_map(|scope| scope.attributes());
                find(attributes, key, indexes)
            }
        }
    }
}

fn is_context(name: &str) -> bool {
    let contexts = [
        "span",
        "resource",
        "scope",
        "instrumentation_scope",
        "spanevent",
        "metric",
        "log",
    ];
    contexts.contains(&name)
}

/// The parts of a scope; a well-behaved sender writes one.
fn scopes<'a>(record: &Record<'a>) -> impl Iterator<Item = view::Scope<'a>> + use<'a> {
    let parts = record.all();
    parts.filter_map(|field| payload_of(&field, scope_spans::SCOPE).map(view::Scope::new))
}

/// Of a key that repeats, the last value counts.
fn find<'a>(
    attributes: impl Iterator<Item = KeyValue<'a>>,
    key: &str,
    indexes: &[Index],
) -> Value<'a> {
    let Some(found) = attributes.filter(|one| one.key() == key).last() else {
        return Value::Nil;
    };
    let mut value = found.value();
    for index in indexes {
        let inner = match (value, index) {
            (view::Value::Map(map), Index::Key(key)) => map
                .iter()
                .filter(|one| one.key() == key)
                .last()
                .map(|one| one.value()),
            (view::Value::Array(array), Index::At(at)) => array.iter().nth(*at),
            _ => None,
        };
        let Some(inner) = inner else {
            return Value::Nil;
        };
        value = inner;
    }
    value.into()
}

fn text(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

impl Field {
    fn get<'a>(self, span: &'a Span<'a>) -> Value<'a> {
        let hex = |text: String, is_valid: bool| {
            Value::Text(Cow::Owned(if is_valid { text } else { String::new() }))
        };
        let kind = || {
            usize::try_from(span.kind_number())
                .ok()
                .and_then(|kind| KINDS.get(kind))
        };
        let nanos = |nanos: u64| Value::Int(nanos as i64);
        match self {
            Self::Name => text(span.name()),
            Self::Kind => Value::Int(span.kind_number().into()),
            Self::KindString => text(kind().map_or("", |kind| kind.0)),
            Self::KindDeprecatedString => text(kind().map_or("", |kind| kind.1)),
            Self::StatusCode => {
                let code = span.status().map_or(0, |status| status.code_number());
                Value::Int(code.into())
            }
            Self::StatusMessage => text(span.status().map_or("", |status| status.message())),
            Self::TraceId => Value::TraceId(span.trace_id().to_bytes()),
            Self::TraceIdString => hex(span.trace_id().to_string(), span.trace_id().is_valid()),
            Self::SpanId => Value::SpanId(span.span_id().to_bytes()),
            Self::SpanIdString => hex(span.span_id().to_string(), span.span_id().is_valid()),
            Self::ParentSpanId => Value::SpanId(span.parent_span_id().to_bytes()),
            Self::ParentSpanIdString => {
                let id = span.parent_span_id();
                hex(id.to_string(), id.is_valid())
            }
            Self::TraceState => text(span.trace_state()),
            Self::StartTime => Value::Time(span.start_time_unix_nano()),
            Self::StartTimeUnixNano => nanos(span.start_time_unix_nano()),
            Self::EndTime => Value::Time(span.end_time_unix_nano()),
            Self::EndTimeUnixNano => nanos(span.end_time_unix_nano()),
            Self::DroppedAttributesCount => Value::Int(span.dropped_attributes_count().into()),
            Self::DroppedEventsCount => Value::Int(span.dropped_events_count().into()),
            Self::DroppedLinksCount => Value::Int(span.dropped_links_count().into()),
            Self::Flags => Value::Int(span.flags().into()),
        }
    }
}
