//! What is said about a span: keys, and typed values, borrowed from the caller.
//!
//! OpenTelemetry common specification, "Attribute" and "AnyValue".

use core::fmt;

/// One attribute: a key and its value.
///
/// ```
/// use spanwire_core::attribute::KeyValue;
///
/// let attributes = [KeyValue::new("pod.uid", "8f0f"), KeyValue::new("attempt", 3)];
/// assert_eq!(attributes[1].key, "attempt");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KeyValue<'a> {
    /// The key. An empty key is dropped and counted when it reaches a span.
    pub key: &'a str,
    /// The value.
    pub value: Value<'a>,
}

impl<'a> KeyValue<'a> {
    /// The attribute with this key and value.
    pub fn new(key: &'a str, value: impl Into<Value<'a>>) -> Self {
        Self {
            key,
            value: value.into(),
        }
    }
}

/// The value of an attribute, borrowed until it is encoded.
///
/// OTLP `AnyValue`: an empty string, zero or an empty array are values and are exported; [`Value::Empty`] is an
/// `AnyValue` with no member set.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Value<'a> {
    /// No value.
    Empty,
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// A string.
    Str(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Values of any kind, in order.
    Array(&'a [Self]),
    /// A map. Where a key occurs twice, the last one wins.
    Map(&'a [KeyValue<'a>]),
    /// Booleans, in order.
    Bools(&'a [bool]),
    /// Integers, in order.
    Ints(&'a [i64]),
    /// Doubles, in order.
    Doubles(&'a [f64]),
    /// Strings, in order.
    Strs(&'a [&'a str]),
    /// A string, formatted when the attribute is set and only if the span is recorded.
    Display(&'a dyn fmt::Display),
}

impl<'a> Value<'a> {
    /// A string made by `Display`, without a heap buffer.
    pub fn display(value: &'a dyn fmt::Display) -> Self {
        Self::Display(value)
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::Str(value) => value.fmt(f),
            Self::Bytes(value) => value.fmt(f),
            Self::Array(values) => values.fmt(f),
            Self::Map(entries) => entries.fmt(f),
            Self::Bools(values) => values.fmt(f),
            Self::Ints(values) => values.fmt(f),
            Self::Doubles(values) => values.fmt(f),
            Self::Strs(values) => values.fmt(f),
            Self::Display(value) => write!(f, "{:?}", format_args!("{value}")),
        }
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $variant:expr),+ $(,)?) => {
        $(impl<'a> From<$type> for Value<'a> {
            fn from($value: $type) -> Self {
                $variant
            }
        })+
    };
}

from! {
    bool => |value| Self::Bool(value),
    i8 => |value| Self::Int(value.into()),
    i16 => |value| Self::Int(value.into()),
    i32 => |value| Self::Int(value.into()),
    i64 => |value| Self::Int(value),
    u8 => |value| Self::Int(value.into()),
    u16 => |value| Self::Int(value.into()),
    u32 => |value| Self::Int(value.into()),
    f32 => |value| Self::Double(value.into()),
    f64 => |value| Self::Double(value),
    &'a str => |value| Self::Str(value),
    &'a [u8] => |value| Self::Bytes(value),
    &'a [bool] => |value| Self::Bools(value),
    &'a [i64] => |value| Self::Ints(value),
    &'a [f64] => |value| Self::Doubles(value),
    &'a [&'a str] => |value| Self::Strs(value),
    &'a [Value<'a>] => |value| Self::Array(value),
    &'a [KeyValue<'a>] => |value| Self::Map(value),
}

#[cfg(feature = "alloc")]
impl<'a> From<&'a alloc::string::String> for Value<'a> {
    fn from(value: &'a alloc::string::String) -> Self {
        Self::Str(value)
    }
}
