//! Conditions in the OpenTelemetry Transformation Language, as far as they are about spans.

use alloc::string::String;
use core::fmt;

use super::condition::Failed;
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
/// `Int`, `Double`, `String`, `Duration`, `TraceID`, `SpanID`, `ToLowerCase`, `ToUpperCase`, `ConvertCase` (to `lower` and `upper`),
/// `Concat`, `Split`, `SHA256` (with the feature `sha256`), `IsString`, `IsInt`, `IsDouble`, `IsBool`, `IsMap` and `IsList`; and lists,
/// `["a", 1]`. Maps, events and links are not in it.
///
/// Values of different types are unequal and in no order; an integer and a float are compared as floats. An attribute that is
/// not there is `nil`. Where a condition can't be computed, as for `1 / 0` or the prefix of a number, it is not true, or
/// [fails](Self::or_fail).
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
pub struct OttlCondition {
    expression: Expression,
    fails: bool,
}

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
        parse::condition(text, context).map(|expression| Self {
            expression,
            fails: false,
        })
    }

    /// The same condition, which fails where it can't be computed, in the place of being not true: what is asked of it loses the
    /// spans that came together, as [`ConditionFailed`](crate::stats::DropReason::ConditionFailed), and who sent them is told if it
    /// waits. The Collector's `error_mode: propagate`.
    #[must_use]
    pub fn or_fail(self) -> Self {
        Self {
            fails: true,
            ..self
        }
    }

    pub(super) fn holds(
        &self,
        head: &Head,
        record: &Record<'_>,
        span: &Span<'_>,
    ) -> Result<bool, Failed> {
        match self.try_holds(head, record, span) {
            Ok(holds) => Ok(holds),
            Err(_) if self.fails => Err(Failed),
            Err(_) => Ok(false),
        }
    }

    fn try_holds(
        &self,
        head: &Head,
        record: &Record<'_>,
        span: &Span<'_>,
    ) -> Result<bool, Mistake> {
        self.expression.holds(&path::Subject { head, record, span })
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
