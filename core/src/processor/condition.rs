//! What is asked of a span.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::held::{equal, scalar_text};
use super::{OttlCondition, Pattern};
use crate::attribute::Value;
use crate::batch::{Head, Record, payload_of};
use crate::wire::encode::{self, ValueLimit};
use crate::wire::field::{scope, scope_spans};
use crate::wire::raw::Fields;
use crate::wire::{SpanKind, StatusCode, view};

/// Something that is true of a span or not.
///
/// ```
/// use spanwire_core::processor::{Condition, Pattern};
///
/// // Health checks that did not fail.
/// let noise = Condition::All(vec![
///     Condition::Name(Pattern::glob("GET /health*")),
///     Condition::not(Condition::Status(spanwire_core::wire::StatusCode::Error)),
/// ]);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Condition {
    /// Its name is like this.
    Name(Pattern),
    /// It is of this kind. A span that names no kind is of none.
    Kind(SpanKind),
    /// Its status is this; a span without one is `Unset`.
    Status(StatusCode),
    /// It has no parent.
    Root,
    /// It has such an attribute.
    Attribute(AttributeCondition),
    /// Its resource has such an attribute.
    ResourceAttribute(AttributeCondition),
    /// The name of its instrumentation scope is like this.
    Scope(Pattern),
    /// The version of its instrumentation scope is like this.
    ScopeVersion(Pattern),
    /// This is true in the language of the Collector's conditions.
    Ottl(OttlCondition),
    /// All of these are true; true when there are none.
    All(Vec<Self>),
    /// At least one of these is true; false when there are none.
    Any(Vec<Self>),
    /// This is not true.
    Not(Box<Self>),
}

/// It can't be said whether a condition is true, and the condition is to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed;

impl Condition {
    /// What is true when `condition` is not.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "a constructor, not an operator on a value"
    )]
    pub fn not(condition: Self) -> Self {
        Self::Not(Box::new(condition))
    }

    /// Whether it is true of a span.
    pub(crate) fn holds(
        &self,
        head: &Head,
        record: &Record<'_>,
        span: &view::Span<'_>,
    ) -> Result<bool, Failed> {
        Ok(match self {
            Self::Name(pattern) => pattern.matches(span.name()),
            Self::Kind(kind) => span.kind() == Some(*kind),
            Self::Status(code) => {
                span.status().map_or(0, |status| status.code_number()) == *code as i32
            }
            Self::Root => !span.parent_span_id().is_valid(),
            Self::Attribute(attribute) => attribute.holds(span.attributes()),
            Self::ResourceAttribute(attribute) => {
                let resource = view::ResourceSpans::new(head.as_bytes()).resource();
                resource.is_some_and(|resource| attribute.holds(resource.attributes()))
            }
            Self::Scope(pattern) => {
                pattern.matches(scope_text(record, scope::NAME, |scope| scope.name()))
            }
            Self::ScopeVersion(pattern) => {
                pattern.matches(scope_text(record, scope::VERSION, |scope| scope.version()))
            }
            Self::Ottl(condition) => condition.holds(head, record, span)?,
            // What comes first and decides ends it.
            Self::All(conditions) => {
                for condition in conditions {
                    if !condition.holds(head, record, span)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Any(conditions) => {
                for condition in conditions {
                    if condition.holds(head, record, span)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::Not(condition) => !condition.holds(head, record, span)?,
        })
    }
}

/// Of a scope in several parts, what the last part says that has this field.
fn scope_text<'a>(
    record: &Record<'a>,
    number: u32,
    text: impl Fn(view::Scope<'a>) -> &'a str,
) -> &'a str {
    let parts = record
        .all()
        .filter_map(|field| payload_of(&field, scope_spans::SCOPE));
    let saying =
        parts.filter(|part| Fields::new(part).any(|field| payload_of(&field, number).is_some()));
    saying
        .last()
        .map_or("", |part| text(view::Scope::new(part)))
}

/// What is asked of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeCondition {
    key: String,
    value: ValueCondition,
}

#[derive(Clone, Debug, PartialEq)]
enum ValueCondition {
    Any,
    Equals(Vec<u8>),
    Matches(Pattern),
    TextMatches(Pattern),
}

impl AttributeCondition {
    /// There is one with this key, whatever its value.
    #[must_use]
    pub fn exists(key: &str) -> Self {
        Self::new(key, ValueCondition::Any)
    }

    /// There is one with this key and this value, of this type: the integer 1 is neither 1.0 nor "1", and NaN is
    /// nothing. Arrays and maps are equal when their elements are, in order.
    #[must_use]
    pub fn equals<'a>(key: &str, value: impl Into<Value<'a>>) -> Self {
        let mut encoded = Vec::new();
        // A `Display` that contradicts itself has no text to compare: it is taken for an empty value.
        if encode::write_value(&mut encoded, &value.into(), ValueLimit::NONE).is_err() {
            encoded.clear();
        }
        Self::new(key, ValueCondition::Equals(encoded))
    }

    /// There is one with this key, and its value is a string like this.
    #[must_use]
    pub fn matches(key: &str, pattern: Pattern) -> Self {
        Self::new(key, ValueCondition::Matches(pattern))
    }

    /// There is one with this key, and its value is a string, a boolean or a number that is like this as a text.
    #[must_use]
    pub fn text_matches(key: &str, pattern: Pattern) -> Self {
        Self::new(key, ValueCondition::TextMatches(pattern))
    }

    fn new(key: &str, value: ValueCondition) -> Self {
        Self {
            key: key.into(),
            value,
        }
    }

    /// Of a key that repeats, the last value counts.
    fn holds<'a>(&self, attributes: impl Iterator<Item = view::KeyValue<'a>>) -> bool {
        let Some(found) = attributes
            .filter(|attribute| attribute.key() == self.key)
            .last()
        else {
            return false;
        };
        match &self.value {
            ValueCondition::Any => true,
            ValueCondition::Equals(wanted) => equal(view::Value::new(wanted), found.value()),
            ValueCondition::Matches(pattern) => found
                .value()
                .as_str()
                .is_some_and(|text| pattern.matches(text)),
            ValueCondition::TextMatches(pattern) => {
                scalar_text(&found.value()).is_some_and(|text| pattern.matches(&text))
            }
        }
    }
}
