//! What is computed.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::call::Call;
use super::path::{Path, Subject};
use super::value::{Comparison, Mistake, Operator, Value};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Duration(i64),
    List(Vec<Self>),
    Path(Path),
    Call(Call),
    Compute(Operator, Box<Self>, Box<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Expression {
    /// Whether it says that something is true or not.
    pub(super) fn is_condition(&self) -> bool {
        match self {
            Self::Bool(_) | Self::Compare(..) | Self::Not(_) | Self::All(_) | Self::Any(_) => true,
            Self::Call(call) => call.is_condition(),
            _ => false,
        }
    }

    /// Whether it can be compared and computed with.
    pub(super) fn is_value(&self) -> bool {
        !matches!(
            self,
            Self::Compare(..) | Self::Not(_) | Self::All(_) | Self::Any(_)
        )
    }

    /// What comes first and decides ends it: what comes after is not computed.
    pub(super) fn holds(&self, subject: &Subject<'_>) -> Result<bool, Mistake> {
        match self {
            Self::Compare(how, this, other) => {
                Ok(this.value(subject)?.compare(*how, &other.value(subject)?))
            }
            Self::Not(inner) => Ok(!inner.holds(subject)?),
            Self::All(parts) => {
                for part in parts {
                    if !part.holds(subject)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(parts) => {
                for part in parts {
                    if part.holds(subject)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => match self.value(subject)? {
                Value::Bool(value) => Ok(value),
                _ => Err(Mistake::Type),
            },
        }
    }

    pub(super) fn value<'a>(&'a self, subject: &Subject<'a>) -> Result<Value<'a>, Mistake> {
        Ok(match self {
            Self::Nil => Value::Nil,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Duration(nanos) => Value::Duration(*nanos),
            Self::List(list) => {
                let values = list.iter().map(|one| one.value(subject));
                Value::List(values.collect::<Result<_, _>>()?)
            }
            Self::Path(path) => path.get(subject),
            Self::Call(call) => call.value(subject)?,
            Self::Compute(how, this, other) => {
                this.value(subject)?.compute(*how, &other.value(subject)?)?
            }
            Self::Compare(..) | Self::Not(_) | Self::All(_) | Self::Any(_) => {
                Value::Bool(self.holds(subject)?)
            }
        })
    }
}
