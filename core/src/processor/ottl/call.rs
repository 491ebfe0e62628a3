//! What a condition calls.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::expression::Expression;
use super::path::Subject;
use super::value::{Mistake, Value};
use crate::processor::Pattern;
use crate::processor::held::scalar_text;
#[cfg(feature = "sha256")]
use crate::processor::sha256::text_digest;
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
    Concat(Vec<Expression>, String),
    Split(Box<Expression>, Box<Expression>),
    #[cfg(feature = "sha256")]
    Sha256(Box<Expression>),
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

/// What the language has, and this has not.
const LATER: [&str; 10] = [
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

const KNOWN: &str = "IsMatch, IsRootSpan, HasPrefix, HasSuffix, Len, Int, Double, String, Duration, TraceID, SpanID, ToLowerCase, ToUpperCase, ConvertCase, Concat, Split, SHA256, IsString, IsInt, IsDouble, IsBool, IsMap, IsList";

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
        "IsMatch" | "HasPrefix" | "HasSuffix" | "Concat" | "ConvertCase" | "Split" => 2,
        "Len" | "Int" | "Double" | "String" | "Duration" | "TraceID" | "SpanID" | "ToLowerCase"
        | "ToUpperCase" | "SHA256" | "IsString" | "IsInt" | "IsDouble" | "IsBool" | "IsMap"
        | "IsList" => 1,
        _ if LATER.contains(&name) => {
            return Err(format!("`{name}` is not supported; there are {KNOWN}"));
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
        "ConvertCase" => {
            let target = next()?;
            match *next()? {
                Expression::Text(case) if case == "lower" => Call::ToLowerCase(target),
                Expression::Text(case) if case == "upper" => Call::ToUpperCase(target),
                _ => {
                    return Err(
                        "expected \"lower\" or \"upper\" as the case of `ConvertCase`".into(),
                    );
                }
            }
        }
        "Concat" => match (*next()?, *next()?) {
            (Expression::List(parts), Expression::Text(between)) => Call::Concat(parts, between),
            _ => return Err("expected a list and a text as the arguments of `Concat`".into()),
        },
        "Split" => Call::Split(next()?, next()?),
        #[cfg(feature = "sha256")]
        "SHA256" => Call::Sha256(next()?),
        #[cfg(not(feature = "sha256"))]
        "SHA256" => return Err("`SHA256` needs the feature `sha256`".into()),
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
                        | (Type::List, Value::Array(_) | Value::List(_))
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
                    Value::List(list) => list.len(),
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
            Self::Concat(parts, between) => {
                let mut whole = String::new();
                for (at, part) in parts.iter().enumerate() {
                    if at > 0 {
                        whole.push_str(between);
                    }
                    // What is not there is told as Go tells it.
                    let text = text_of(part.value(subject)?)?;
                    whole.push_str(text.as_deref().unwrap_or("<nil>"));
                }
                Value::Text(Cow::Owned(whole))
            }
            Self::Split(target, between) => {
                let (text, between) = (only_text(target, subject)?, only_text(between, subject)?);
                let part = |part: &str| Value::Text(Cow::Owned(part.into()));
                Value::List(match &*between {
                    // Into its characters.
                    "" => {
                        let parts = text.chars();
                        parts
                            .map(|one| part(one.encode_utf8(&mut [0; 4])))
                            .collect()
                    }
                    between => text.split(between).map(part).collect(),
                })
            }
            #[cfg(feature = "sha256")]
            Self::Sha256(target) => Value::Text(text_digest(&only_text(target, subject)?)),
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
