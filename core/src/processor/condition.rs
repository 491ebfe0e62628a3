//! What is asked of a span.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::read::{self, AnyValue};
use crate::attribute::Value;
use crate::batch::{Fields, Head, Record};
use crate::wire::encode::{self, ValueLimit};
use crate::wire::field::{WireType, resource, scope, scope_spans, span, status};
use crate::wire::{SpanKind, StatusCode};

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
    /// All of these are true; true when there are none.
    All(Vec<Self>),
    /// At least one of these is true; false when there are none.
    Any(Vec<Self>),
    /// This is not true.
    Not(Box<Self>),
}

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
    pub(crate) fn holds(&self, head: &Head, record: &Record<'_>, message: &[u8]) -> bool {
        match self {
            Self::Name(pattern) => pattern.matches(read::last(message, span::NAME)),
            Self::Kind(kind) => read::last_number(message, span::KIND) == Some(*kind as u64),
            Self::Status(code) => status_code(message) == *code as u64,
            Self::Root => read::last(message, span::PARENT_SPAN_ID)
                .iter()
                .all(|byte| *byte == 0),
            Self::Attribute(attribute) => attribute.holds(Fields::new(message), span::ATTRIBUTES),
            Self::ResourceAttribute(attribute) => {
                attribute.holds(head.resources().flat_map(Fields::new), resource::ATTRIBUTES)
            }
            Self::Scope(pattern) => pattern.matches(scope_name(record)),
            Self::All(conditions) => conditions
                .iter()
                .all(|condition| condition.holds(head, record, message)),
            Self::Any(conditions) => conditions
                .iter()
                .any(|condition| condition.holds(head, record, message)),
            Self::Not(condition) => !condition.holds(head, record, message),
        }
    }
}

fn status_code(message: &[u8]) -> u64 {
    let parts = Fields::new(message).filter(|field| field.is(span::STATUS, WireType::Len));
    let codes = parts.filter_map(|part| read::last_number(part.payload, status::CODE));
    codes.last().unwrap_or(0)
}

fn scope_name<'a>(record: &Record<'a>) -> &'a [u8] {
    let parts = record
        .all()
        .filter(|field| field.is(scope_spans::SCOPE, WireType::Len));
    let names = parts
        .flat_map(|part| Fields::new(part.payload))
        .filter(|field| field.is(scope::NAME, WireType::Len));
    names.last().map_or(&[], |field| field.payload)
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
}

impl AttributeCondition {
    /// There is one with this key, whatever its value.
    #[must_use]
    pub fn exists(key: &str) -> Self {
        Self::new(key, ValueCondition::Any)
    }

    /// There is one with this key and this value, of this type: the integer 1 is neither 1.0 nor "1", and NaN is
    /// nothing. Arrays and maps are equal when their bytes are.
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

    fn new(key: &str, value: ValueCondition) -> Self {
        Self {
            key: key.into(),
            value,
        }
    }

    /// Of a key that repeats, the last value counts.
    fn holds<'a>(
        &self,
        fields: impl Iterator<Item = crate::batch::Field<'a>>,
        number: u32,
    ) -> bool {
        let attributes = fields
            .filter(|field| field.is(number, WireType::Len))
            .map(|field| field.payload);
        let Some(found) = attributes
            .filter(|message| read::key(message) == self.key.as_bytes())
            .last()
        else {
            return false;
        };
        let found = AnyValue::read(read::value(found));
        match &self.value {
            ValueCondition::Any => true,
            ValueCondition::Equals(wanted) => AnyValue::read(wanted) == found,
            ValueCondition::Matches(pattern) => {
                matches!(found, AnyValue::Str(text) if pattern.matches(text))
            }
        }
    }
}

/// What a text is to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Equals(String),
    Glob(String),
}

impl Pattern {
    /// Exactly this text.
    #[must_use]
    pub fn equals(text: &str) -> Self {
        Self(Kind::Equals(text.into()))
    }

    /// This text, in which `*` stands for any number of characters and `?` for any one. There is no escape.
    ///
    /// ```
    /// use spanwire_core::processor::Pattern;
    ///
    /// assert!(Pattern::glob("GET /pods/*").matches(b"GET /pods/web-0"));
    /// assert!(!Pattern::glob("GET /pods/?").matches(b"GET /pods/web-0"));
    /// ```
    #[must_use]
    pub fn glob(text: &str) -> Self {
        Self(Kind::Glob(text.into()))
    }

    /// Whether `text`, which is UTF-8, is like this.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        match &self.0 {
            Kind::Equals(wanted) => wanted.as_bytes() == text,
            Kind::Glob(glob) => glob_matches(glob.as_bytes(), text),
        }
    }
}

/// Only the last `*` is ever gone back to, so the time is at most the product of the lengths.
fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut glob_at, mut text_at) = (0, 0);
    let mut retry = None;
    while let Some(byte) = text.get(text_at) {
        match glob.get(glob_at) {
            Some(b'*') => {
                glob_at += 1;
                retry = Some((glob_at, text_at));
            }
            Some(b'?') => {
                glob_at += 1;
                text_at += character_len(text, text_at);
            }
            Some(wanted) if wanted == byte => {
                glob_at += 1;
                text_at += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else {
                    return false;
                };
                let from = from + 1;
                retry = Some((after_star, from));
                (glob_at, text_at) = (after_star, from);
            }
        }
    }
    glob.get(glob_at..)
        .unwrap_or_default()
        .iter()
        .all(|byte| *byte == b'*')
}

/// The bytes of the character that starts here.
fn character_len(text: &[u8], at: usize) -> usize {
    let after = text.get(at + 1..).unwrap_or_default();
    1 + after
        .iter()
        .take_while(|byte| **byte & 0xc0 == 0x80)
        .count()
}
