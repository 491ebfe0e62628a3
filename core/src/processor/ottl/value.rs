//! What a condition computes with.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use crate::processor::held::equal;
use crate::wire::view;

/// Something that can't be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A function or an operator can do nothing with a value of this type.
    Type,
    DivisionByZero,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "a value is of a type that this can't be computed with",
            Self::DivisionByZero => "division by zero",
        })
    }
}

#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    TraceId([u8; 16]),
    SpanId([u8; 8]),
    /// Nanoseconds since 1970.
    Time(u64),
    /// Nanoseconds.
    Duration(i64),
    /// One that a condition has made.
    List(Vec<Self>),
    Array(view::Array<'a>),
    Map(view::Map<'a>),
}

impl<'a> From<view::Value<'a>> for Value<'a> {
    fn from(value: view::Value<'a>) -> Self {
        match value {
            view::Value::Str(text) => Self::Text(Cow::Borrowed(text)),
            view::Value::Bool(value) => Self::Bool(value),
            view::Value::Int(value) => Self::Int(value),
            view::Value::Double(value) => Self::Float(value),
            view::Value::Bytes(bytes) => Self::Bytes(bytes),
            view::Value::Array(array) => Self::Array(array),
            view::Value::Map(map) => Self::Map(map),
            view::Value::Empty | view::Value::StrIndex(_) => Self::Nil,
        }
    }
}

/// `==` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// `+` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Plus,
    Minus,
    Times,
    Over,
}

impl<'a> Value<'a> {
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::TraceId(id) => Some(id),
            Self::SpanId(id) => Some(id),
            _ => None,
        }
    }

    pub(super) fn compare(&self, how: Comparison, other: &Self) -> bool {
        let order = match (self, other) {
            (Self::Nil, Self::Nil) => return how == Comparison::Equal,
            (Self::Nil, Self::Bytes([])) | (Self::Bytes([]), Self::Nil) => {
                return how == Comparison::Equal;
            }
            (Self::Bool(this), Self::Bool(other)) => Some(this.cmp(other)),
            (Self::Int(this), Self::Int(other)) => Some(this.cmp(other)),
            (Self::Int(this), Self::Float(other)) => (*this as f64).partial_cmp(other),
            (Self::Float(this), Self::Int(other)) => this.partial_cmp(&(*other as f64)),
            (Self::Float(this), Self::Float(other)) => this.partial_cmp(other),
            (Self::Text(this), Self::Text(other)) => Some(this.cmp(other)),
            (Self::Time(this), Self::Time(other)) => Some(this.cmp(other)),
            (Self::Duration(this), Self::Duration(other)) => Some(this.cmp(other)),
            (Self::Array(this), Self::Array(other)) => {
                equal(view::Value::Array(*this), view::Value::Array(*other))
                    .then_some(Ordering::Equal)
            }
            (Self::List(this), Self::List(other)) => {
                let (this, other) = (this.iter().cloned(), other.iter().cloned());
                are_equal(this, other).then_some(Ordering::Equal)
            }
            (Self::List(this), Self::Array(other)) | (Self::Array(other), Self::List(this)) => {
                let (this, other) = (this.iter().cloned(), other.iter().map(Value::from));
                are_equal(this, other).then_some(Ordering::Equal)
            }
            (Self::Map(this), Self::Map(other)) => {
                equal(view::Value::Map(*this), view::Value::Map(*other)).then_some(Ordering::Equal)
            }
            _ => match (self.bytes(), other.bytes()) {
                (Some(this), Some(other)) => Some(this.cmp(other)),
                _ => None,
            },
        };
        match how {
            Comparison::Equal => order == Some(Ordering::Equal),
            Comparison::NotEqual => order != Some(Ordering::Equal),
            Comparison::Less => order.is_some_and(Ordering::is_lt),
            Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
            Comparison::Greater => order.is_some_and(Ordering::is_gt),
            Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }

    /// Whole numbers wrap around, as they do where the language comes from.
    pub(super) fn compute(&self, how: Operator, other: &Self) -> Result<Value<'static>, Mistake> {
        use Operator::{Minus, Over, Plus, Times};
        Ok(match (self, how, other) {
            (Self::Int(this), Plus, Self::Int(other)) => Value::Int(this.wrapping_add(*other)),
            (Self::Int(this), Minus, Self::Int(other)) => Value::Int(this.wrapping_sub(*other)),
            (Self::Int(this), Times, Self::Int(other)) => Value::Int(this.wrapping_mul(*other)),
            (Self::Int(_), Over, Self::Int(0)) => return Err(Mistake::DivisionByZero),
            (Self::Int(this), Over, Self::Int(other)) => Value::Int(this.wrapping_div(*other)),
            (Self::Float(this), Plus, Self::Float(other)) => Value::Float(this + other),
            (Self::Float(this), Minus, Self::Float(other)) => Value::Float(this - other),
            (Self::Float(this), Times, Self::Float(other)) => Value::Float(this * other),
            (Self::Float(_), Over, Self::Float(0.0)) => return Err(Mistake::DivisionByZero),
            (Self::Float(this), Over, Self::Float(other)) => Value::Float(this / other),
            (Self::Time(this), Minus, Self::Time(other)) => {
                Value::Duration(this.wrapping_sub(*other) as i64)
            }
            (Self::Time(time), Plus, Self::Duration(by))
            | (Self::Duration(by), Plus, Self::Time(time)) => {
                Value::Time(time.wrapping_add_signed(*by))
            }
            (Self::Time(time), Minus, Self::Duration(by)) => {
                Value::Time(time.wrapping_sub(*by as u64))
            }
            (Self::Duration(this), Plus, Self::Duration(other)) => {
                Value::Duration(this.wrapping_add(*other))
            }
            (Self::Duration(this), Minus, Self::Duration(other)) => {
                Value::Duration(this.wrapping_sub(*other))
            }
            _ => return Err(Mistake::Type),
        })
    }
}

/// Whether these are as many, and equal one by one.
fn are_equal<'a>(
    mut this: impl Iterator<Item = Value<'a>>,
    mut other: impl Iterator<Item = Value<'a>>,
) -> bool {
    this.all(|this| {
        let other = other.next();
        other.is_some_and(|other| this.compare(Comparison::Equal, &other))
    }) && other.next().is_none()
}
