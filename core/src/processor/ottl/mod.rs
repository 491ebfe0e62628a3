//! Conditions in the OpenTelemetry Transformation Language, as far as they are about spans.

use alloc::string::String;
use alloc::sync::Arc;
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
/// not there is `nil`. Where a condition can't be computed, as for `1 / 0` or the prefix of a number, it is not true, which
/// [somebody may be told](Self::or_tell), or it [fails](Self::or_fail).
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
    otherwise: Otherwise,
}

/// What becomes of a condition that can't be computed.
#[derive(Clone)]
enum Otherwise {
    NotTrue,
    /// The same, and somebody is told.
    Tell(Arc<Tell>),
    Fail,
}

type Tell = dyn Fn(fmt::Arguments<'_>) + Send + Sync;

impl PartialEq for Otherwise {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tell(one), Self::Tell(other)) => Arc::ptr_eq(one, other),
            _ => core::mem::discriminant(self) == core::mem::discriminant(other),
        }
    }
}

impl fmt::Debug for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTrue => "NotTrue",
            Self::Tell(_) => "Tell",
            Self::Fail => "Fail",
        })
    }
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
            otherwise: Otherwise::NotTrue,
        })
    }

    /// The same condition, which fails where it can't be computed, in the place of being not true: what is asked of it loses the
    /// spans that came together, as [`ConditionFailed`](crate::stats::DropReason::ConditionFailed), and who sent them is told if it
    /// waits. The Collector's `error_mode: propagate`.
    #[must_use]
    pub fn or_fail(self) -> Self {
        Self {
            otherwise: Otherwise::Fail,
            ..self
        }
    }

    /// The same condition, which is not true where it can't be computed, and says why to `tell`: for every span that it is asked of,
    /// so whoever prints that bounds how often. The Collector's `error_mode: ignore`.
    ///
    /// ```
    /// use spanwire_core::processor::{OttlCondition, OttlContext};
    ///
    /// let half = OttlCondition::parse(r#"attributes["n"] / 2 == 1"#, OttlContext::Span)?;
    /// let half = half.or_tell(|why| eprintln!("half: {why}"));
    /// # Ok::<(), spanwire_core::processor::InvalidOttl>(())
    /// ```
    #[must_use]
    pub fn or_tell(self, tell: impl Fn(fmt::Arguments<'_>) + Send + Sync + 'static) -> Self {
        Self {
            otherwise: Otherwise::Tell(Arc::new(tell)),
            ..self
        }
    }

    pub(super) fn holds(
        &self,
        head: &Head,
        record: &Record<'_>,
        span: &Span<'_>,
    ) -> Result<bool, Failed> {
        let mistake = match self.try_holds(head, record, span) {
            Ok(holds) => return Ok(holds),
            Err(mistake) => mistake,
        };
        match &self.otherwise {
            Otherwise::NotTrue => {}
            Otherwise::Tell(tell) => tell(format_args!("{mistake}")),
            Otherwise::Fail => return Err(Failed),
        }
        Ok(false)
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
