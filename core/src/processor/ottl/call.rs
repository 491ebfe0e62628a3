//! What a condition calls.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use super::expression::Expression;
use super::path::Subject;
use super::value::{Mistake, Value};
use crate::processor::Pattern;
use crate::processor::held::scalar_text;
use crate::wire::view;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Call {
    IsRootSpan,
    IsMatch(Box<Expression>, Pattern),
    Is(Type, Box<Expression>),
    HasPrefix(Box<Expression>, Box<Expression>),
    HasSuffix(Box<Expression>, Box<Expression>),
    Len(Box<Expression>),
    Int(Box<Expression>),
    Double(Box<Expression>),
    String(Box<Expression>),
    ToLowerCase(Box<Expression>),
    ToUpperCase(Box<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    String,
    Int,
    Double,
    Bool,
    Map,
    List,
}

/// What the language has, and is not built.
const LATER: [&str; 14] = [
    "Concat",
    "ConvertCase",
    "Split",
    "SHA256",
    "SHA1",
    "MD5",
    "FNV",
    "Substring",
    "Time",
    "Now",
    "UnixNano",
    "Hex",
    "ParseJSON",
    "ExtractPatterns",
];

const KNOWN: &str = "IsMatch, IsRootSpan, HasPrefix, HasSuffix, Len, Int, Double, String, Duration, TraceID, SpanID, ToLowerCase, ToUpperCase, IsString, IsInt, IsDouble, IsBool, IsMap, IsList";

/// The call of this function.
///
/// # Errors
///
/// What was expected instead.
pub(super) fn call(
    name: &str,
    arguments: impl ExactSizeIterator<Item = Expression>,
) -> Result<Expression, String> {
    let wanted = match name {
        "IsRootSpan" => 0,
        "IsMatch" | "HasPrefix" | "HasSuffix" => 2,
        "Len" | "Int" | "Double" | "String" | "Duration" | "TraceID" | "SpanID" | "ToLowerCase"
        | "ToUpperCase" | "IsString" | "IsInt" | "IsDouble" | "IsBool" | "IsMap" | "IsList" => 1,
        _ if LATER.contains(&name) => {
            return Err(format!("`{name}` is not built yet; there are {KNOWN}"));
        }
        _ => {
            return Err(format!(
                "expected a function, found `{name}`; there are {KNOWN}"
            ));
        }
    };
    let given = arguments.len();
    if given != wanted {
        let s = if wanted == 1 { "" } else { "s" };
        return Err(format!(
            "expected {wanted} argument{s} of `{name}`, found {given}"
        ));
    }
    let mut arguments = arguments.map(Box::new);
    let mut next = || arguments.next().ok_or_else(String::new);
    let call = match name {
        "IsRootSpan" => Call::IsRootSpan,
        "IsMatch" => {
            let target = next()?;
            let Expression::Text(pattern) = *next()? else {
                return Err("expected a text as the pattern of `IsMatch`".into());
            };
            let pattern = Pattern::regex(&pattern);
            Call::IsMatch(target, pattern.map_err(|error| error.to_string())?)
        }
        "HasPrefix" => Call::HasPrefix(next()?, next()?),
        "HasSuffix" => Call::HasSuffix(next()?, next()?),
        "Len" => Call::Len(next()?),
        "Int" => Call::Int(next()?),
        "Double" => Call::Double(next()?),
        "String" => Call::String(next()?),
        "ToLowerCase" => Call::ToLowerCase(next()?),
        "ToUpperCase" => Call::ToUpperCase(next()?),
        "Duration" => match *next()? {
            Expression::Text(text) => {
                let nanos = duration(&text);
                let expected = || format!("expected a duration such as \"1m30s\", found {text:?}");
                return Ok(Expression::Duration(nanos.ok_or_else(expected)?));
            }
            _ => return Err("expected a text as the argument of `Duration`".into()),
        },
        "TraceID" => match *next()? {
            Expression::Bytes(bytes) if bytes.len() == 16 => return Ok(Expression::Bytes(bytes)),
            _ => return Err("expected 16 bytes, 0x.., as the argument of `TraceID`".into()),
        },
        "SpanID" => match *next()? {
            Expression::Bytes(bytes) if bytes.len() == 8 => return Ok(Expression::Bytes(bytes)),
            _ => return Err("expected 8 bytes, 0x.., as the argument of `SpanID`".into()),
        },
        "IsString" => Call::Is(Type::String, next()?),
        "IsInt" => Call::Is(Type::Int, next()?),
        "IsDouble" => Call::Is(Type::Double, next()?),
        "IsBool" => Call::Is(Type::Bool, next()?),
        "IsMap" => Call::Is(Type::Map, next()?),
        _ => Call::Is(Type::List, next()?),
    };
    Ok(Expression::Call(call))
}

impl Call {
    /// Whether it says that something is true or not.
    pub(super) fn is_condition(&self) -> bool {
        matches!(
            self,
            Self::IsRootSpan
                | Self::IsMatch(..)
                | Self::Is(..)
                | Self::HasPrefix(..)
                | Self::HasSuffix(..)
        )
    }

    pub(super) fn value<'a>(&'a self, subject: &Subject<'a>) -> Result<Value<'a>, Mistake> {
        Ok(match self {
            Self::IsRootSpan => Value::Bool(!subject.span.parent_span_id().is_valid()),
            Self::IsMatch(target, pattern) => {
                let text = text_of(target.value(subject)?)?;
                Value::Bool(text.is_some_and(|text| pattern.matches(&text)))
            }
            Self::Is(what, target) => {
                let value = target.value(subject)?;
                let is = matches!(
                    (what, value),
                    (Type::String, Value::Text(_))
                        | (Type::Int, Value::Int(_))
                        | (Type::Double, Value::Float(_))
                        | (Type::Bool, Value::Bool(_))
                        | (Type::Map, Value::Map(_))
                        | (Type::List, Value::Array(_))
                );
                Value::Bool(is)
            }
            Self::HasPrefix(target, prefix) => {
                let (text, prefix) = (only_text(target, subject)?, only_text(prefix, subject)?);
                Value::Bool(text.starts_with(&*prefix))
            }
            Self::HasSuffix(target, suffix) => {
                let (text, suffix) = (only_text(target, subject)?, only_text(suffix, subject)?);
                Value::Bool(text.ends_with(&*suffix))
            }
            Self::Len(target) => {
                let len = match target.value(subject)? {
                    Value::Text(text) => text.len(),
                    Value::Array(array) => array.iter().count(),
                    Value::Map(map) => map.iter().count(),
                    value => value.bytes().ok_or(Mistake::Type)?.len(),
                };
                Value::Int(len as i64)
            }
            Self::Int(target) => match target.value(subject)? {
                Value::Int(value) => Value::Int(value),
                Value::Float(value) => Value::Int(value as i64),
                Value::Bool(value) => Value::Int(value.into()),
                Value::Text(text) => text.parse().map_or(Value::Nil, Value::Int),
                Value::Duration(value) => Value::Int(value),
                Value::Nil => Value::Nil,
                _ => return Err(Mistake::Type),
            },
            Self::Double(target) => match target.value(subject)? {
                Value::Int(value) => Value::Float(value as f64),
                Value::Float(value) => Value::Float(value),
                Value::Bool(value) => Value::Float(if value { 1.0 } else { 0.0 }),
                Value::Text(text) => text.parse().map_or(Value::Nil, Value::Float),
                Value::Nil => Value::Nil,
                _ => return Err(Mistake::Type),
            },
            Self::String(target) => {
                text_of(target.value(subject)?)?.map_or(Value::Nil, Value::Text)
            }
            Self::ToLowerCase(target) => {
                Value::Text(Cow::Owned(only_text(target, subject)?.to_lowercase()))
            }
            Self::ToUpperCase(target) => {
                Value::Text(Cow::Owned(only_text(target, subject)?.to_uppercase()))
            }
        })
    }
}

fn only_text<'a>(target: &'a Expression, subject: &Subject<'a>) -> Result<Cow<'a, str>, Mistake> {
    match target.value(subject)? {
        Value::Text(text) => Ok(text),
        _ => Err(Mistake::Type),
    }
}

/// The text of a text or a scalar; nothing of nothing.
fn text_of(value: Value<'_>) -> Result<Option<Cow<'_, str>>, Mistake> {
    let scalar = match value {
        Value::Nil => return Ok(None),
        Value::Text(text) => return Ok(Some(text)),
        Value::Bool(value) => view::Value::Bool(value),
        Value::Int(value) => view::Value::Int(value),
        Value::Float(value) => view::Value::Double(value),
        _ => return Err(Mistake::Type),
    };
    Ok(scalar_text(&scalar))
}

/// The nanoseconds of a span of time as Go writes it.
fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanos = 0_i128;
    while !rest.is_empty() || nanos == 0 {
        let len = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at(len);
        let units: [(&str, i128); 8] = [
            ("ns", 1),
            ("us", 1000),
            ("µs", 1000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000),
            ("", 0),
        ];
        let (unit, scale) = units.into_iter().find(|(name, _)| unit.starts_with(name))?;
        if scale == 0 || number.is_empty() || number == "." {
            return None;
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if !whole.is_empty() {
            nanos += whole.parse::<u64>().ok().map(i128::from)? * scale;
        }
        let mut worth = scale;
        for digit in fraction.chars() {
            worth /= 10;
            nanos += i128::from(digit.to_digit(10)?) * worth;
        }
        rest = &rest[len + unit.len()..];
        if rest.is_empty() {
            break;
        }
    }
    i64::try_from(nanos * sign).ok()
}
