//! Values that outlive their caller.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::attribute::Value;
use crate::wire::encode;
use crate::wire::field::{any_value, key_value, list};

/// How many levels of messages a value may add: the decoders in use refuse more than 100 nested messages, and a
/// resource attribute starts at the fifth.
const NESTING: usize = 94;

/// A [`Value`] that owns what it says.
///
/// What lies so deep that decoders would refuse it (about 31 maps or 47 arrays within each other) is [`Empty`].
/// Within a map each key occurs once; the last one wins. An empty key is left out.
///
/// [`Empty`]: OwnedValue::Empty
///
/// ```
/// use spanwire_core::attribute::Value;
/// use spanwire_core::resource::OwnedValue;
///
/// let value = OwnedValue::from(Value::Str("kubelet"));
/// assert_eq!(value.as_str(), Some("kubelet"));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OwnedValue {
    /// No value.
    Empty,
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// A string.
    Str(Box<str>),
    /// Bytes.
    Bytes(Box<[u8]>),
    /// Values of any kind, in order.
    Array(Vec<Self>),
    /// A map, in order of its keys' last occurrence.
    Map(Vec<(Box<str>, Self)>),
}

impl OwnedValue {
    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    fn copy(value: &Value<'_>, nesting: usize) -> Self {
        let deeper = match value {
            Value::Map(_) => nesting.checked_sub(3),
            Value::Array(_)
            | Value::Bools(_)
            | Value::Ints(_)
            | Value::Doubles(_)
            | Value::Strs(_) => nesting.checked_sub(2),
            _ => Some(nesting),
        };
        let Some(nesting) = deeper else {
            return Self::Empty;
        };
        match *value {
            Value::Empty => Self::Empty,
            Value::Bool(truth) => Self::Bool(truth),
            Value::Int(number) => Self::Int(number),
            Value::Double(number) => Self::Double(number),
            Value::Str(text) => Self::Str(text.into()),
            Value::Bytes(bytes) => Self::Bytes(bytes.into()),
            Value::Array(values) => Self::Array(
                values
                    .iter()
                    .map(|value| Self::copy(value, nesting))
                    .collect(),
            ),
            Value::Map(entries) => Self::Map(
                encode::unique(entries)
                    .map(|entry| (entry.key.into(), Self::copy(&entry.value, nesting)))
                    .collect(),
            ),
            Value::Bools(values) => Self::Array(values.iter().copied().map(Self::Bool).collect()),
            Value::Ints(values) => Self::Array(values.iter().copied().map(Self::Int).collect()),
            Value::Doubles(values) => {
                Self::Array(values.iter().copied().map(Self::Double).collect())
            }
            Value::Strs(values) => Self::Array(
                values
                    .iter()
                    .map(|text| Self::Str((*text).into()))
                    .collect(),
            ),
            Value::Display(value) => {
                let mut text = String::new();
                // A `Display` that fails keeps what it wrote.
                let _ = write!(text, "{value}");
                Self::Str(text.into())
            }
        }
    }

    /// The fields of the `AnyValue` message.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Empty => {}
            Self::Bool(truth) => {
                encode::write_varint_field(&mut out, any_value::BOOL_VALUE, (*truth).into())
            }
            Self::Int(number) => {
                encode::write_varint_field(&mut out, any_value::INT_VALUE, *number as u64)
            }
            Self::Double(number) => {
                encode::write_fixed64_field(&mut out, any_value::DOUBLE_VALUE, number.to_bits());
            }
            Self::Str(text) => {
                encode::write_len_field(&mut out, any_value::STRING_VALUE, text.as_bytes())
            }
            Self::Bytes(bytes) => encode::write_len_field(&mut out, any_value::BYTES_VALUE, bytes),
            Self::Array(values) => {
                let mut payload = Vec::new();
                for value in values {
                    encode::write_len_field(&mut payload, list::VALUES, &value.encode());
                }
                encode::write_len_field(&mut out, any_value::ARRAY_VALUE, &payload);
            }
            Self::Map(entries) => {
                let mut payload = Vec::new();
                for (key, value) in entries {
                    value.encode_entry(list::VALUES, key, &mut payload);
                }
                encode::write_len_field(&mut out, any_value::KVLIST_VALUE, &payload);
            }
        }
        out
    }

    /// Appends a `KeyValue` field with this number.
    pub(super) fn encode_entry(&self, number: u32, key: &str, out: &mut Vec<u8>) {
        let value = self.encode();
        let len = encode::len_field_len(key_value::KEY, key.len())
            + encode::len_field_len(key_value::VALUE, value.len());
        encode::write_len_prefix(out, number, len);
        encode::write_len_field(out, key_value::KEY, key.as_bytes());
        encode::write_len_field(out, key_value::VALUE, &value);
    }
}

impl From<Value<'_>> for OwnedValue {
    fn from(value: Value<'_>) -> Self {
        Self::copy(&value, NESTING)
    }
}

/// Attributes in the order of their keys' first occurrence; of values for the same key the last wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AttributeSet(Vec<(Box<str>, OwnedValue)>);

impl AttributeSet {
    /// Sets the value of `key`; an empty key is left out.
    pub(super) fn set(&mut self, key: &str, value: OwnedValue) {
        match self.0.iter_mut().find(|(own, _)| **own == *key) {
            Some((_, own)) => *own = value,
            None if key.is_empty() => {}
            None => self.0.push((key.into(), value)),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&OwnedValue> {
        self.0
            .iter()
            .find(|(own, _)| **own == *key)
            .map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &OwnedValue)> + Clone {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// Appends one `KeyValue` field with this number for each attribute.
    pub(super) fn encode(&self, number: u32, out: &mut Vec<u8>) {
        for (key, value) in &self.0 {
            value.encode_entry(number, key, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::attribute::KeyValue;
    use crate::wire::encode::ValueLimit;

    #[test]
    fn every_kind_is_encoded_as_the_borrowed_form_is() {
        let five = 5;
        let inner = [Value::Bool(false), Value::Str(""), Value::Empty];
        let entries = [
            KeyValue::new("a", 1),
            KeyValue::new("b", Value::Array(&inner)),
            KeyValue::new("a", 2.5),
            KeyValue::new("", 1),
        ];
        for value in [
            Value::Empty,
            Value::Bool(true),
            Value::Int(-1),
            Value::Double(-0.0),
            Value::Str("é"),
            Value::Bytes(b"\xff\x00"),
            Value::Array(&inner),
            Value::Array(&[]),
            Value::Map(&entries),
            Value::Bools(&[true, false]),
            Value::Ints(&[1, -1]),
            Value::Doubles(&[0.5]),
            Value::Strs(&["x", "y"]),
            Value::Display(&five),
        ] {
            let mut expected = vec![];
            encode::write_value(&mut expected, &value, ValueLimit::NONE).unwrap();
            assert_eq!(OwnedValue::from(value).encode(), expected, "{value:?}");
        }
    }

    #[test]
    fn what_lies_too_deep_is_empty_in_both_forms() {
        fn nest(depth: usize, inside: &Value<'_>, check: &mut dyn FnMut(&Value<'_>)) {
            check(inside);
            if depth > 0 {
                match depth % 2 {
                    0 => nest(depth - 1, &Value::Array(&[*inside]), check),
                    _ => nest(
                        depth - 1,
                        &Value::Map(&[KeyValue::new("k", *inside)]),
                        check,
                    ),
                }
            }
        }
        nest(60, &Value::Int(7), &mut |value| {
            let mut expected = vec![];
            encode::write_value(&mut expected, value, ValueLimit::NONE).unwrap();
            assert_eq!(OwnedValue::from(*value).encode(), expected);
        });
    }
}
