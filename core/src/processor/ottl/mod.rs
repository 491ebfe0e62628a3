//! Conditions in the OpenTelemetry Transformation Language, as far as they are about spans.

use alloc::string::String;
use core::fmt;

use crate::batch::{Head, Record};
use crate::wire::view::Span;

// Text to words.
mod words;

// What a condition computes with.
mod value;

// Where a value is.
mod path;

// What a condition calls.
mod call;

// What is computed.
mod expression;

// Words to expressions.
mod parse;

use expression::Expression;
use value::Mistake;

/// A condition of the OpenTelemetry Collector's `filter` processor: `span.kind == SPAN_KIND_CLIENT and
/// IsMatch(resource.attributes["service.name"], "^web-")`.
///
/// What there is of the language: `and`, `or`, `not` and parentheses; `==`, `!=`, `<`, `<=`, `>`, `>=`; `+`, `-`, `*`, `/`;
/// texts, integers, floats, bytes, `true`, `false`, `nil` and the names `SPAN_KIND_..` and `STATUS_CODE_..`; the paths of `span`,
/// `resource`, `scope` (and `instrumentation_scope`); and the functions `IsMatch`, `IsRootSpan`, `HasPrefix`, `HasSuffix`, `Len`,
/// `Int`, `Double`, `String`, `Duration`, `TraceID`, `SpanID`, `ToLowerCase`, `ToUpperCase`, `IsString`, `IsInt`, `IsDouble`,
/// `IsBool`, `IsMap` and `IsList`. Lists, maps and events are not in it.
///
/// Values of different types are unequal and in no order; an integer and a float are compared as floats. An attribute that is
/// not there is `nil`. Where a condition can't be computed, as for `1 / 0` or the prefix of a number, it is not true.
///
/// ```
/// use spanwire_core::processor::{Condition, FilterProcessor, OttlCondition, OttlContext};
///
/// let probes = r#"attributes["http.route"] == "/healthz" and status.code != STATUS_CODE_ERROR"#;
/// let probes = OttlCondition::parse(probes, OttlContext::Span)?;
/// let filter = FilterProcessor::new(vec![Condition::Ottl(probes)]);
///
/// let wrong = OttlCondition::parse("name == ", OttlContext::Span).unwrap_err();
/// assert_eq!(wrong.to_string(), "column 9: expected a value, found the end");
/// # Ok::<(), spanwire_core::processor::InvalidOttl>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct OttlCondition(Expression);

/// What a path is about that does not say it: `attributes["k"]`, `name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OttlContext {
    /// Paths have to say it.
    Explicit,
    /// The span.
    Span,
    /// The resource.
    Resource,
    /// The instrumentation scope.
    Scope,
}

impl OttlCondition {
    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// [`InvalidOttl`] says in which column something else was expected. `IsMatch` needs the feature `regex`.
    pub fn parse(text: &str, context: OttlContext) -> Result<Self, InvalidOttl> {
        parse::condition(text, context).map(Self)
    }

    /// What can't be computed is not true.
    pub(super) fn holds(&self, head: &Head, record: &Record<'_>, span: &Span<'_>) -> bool {
        self.try_holds(head, record, span) == Ok(true)
    }

    fn try_holds(
        &self,
        head: &Head,
        record: &Record<'_>,
        span: &Span<'_>,
    ) -> Result<bool, Mistake> {
        self.0.holds(&path::Subject { head, record, span })
    }
}

/// Where a text stops being a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOttl {
    column: usize,
    message: String,
}

impl InvalidOttl {
    /// The column in which it stops, in characters from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.column
    }
}

impl fmt::Display for InvalidOttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

impl core::error::Error for InvalidOttl {}
