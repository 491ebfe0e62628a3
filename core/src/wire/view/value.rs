//! Attributes and their values.

use core::fmt;

use super::{Merged, Repeated, text_of};
use crate::wire::field::{any_value, key_value, list};
use crate::wire::raw::{Field, Fields, MAX_DEPTH, Payload};
use crate::wire::schema::STRING_VALUE_STRINDEX;

/// `KeyValue`: one attribute.
#[derive(Clone, Copy)]
pub struct KeyValue<'a> {
    bytes: &'a [u8],
    key: &'a [u8],
    value: Option<Merged<'a>>,
}

impl<'a> KeyValue<'a> {
    /// The attribute with these bytes, without tag and length.
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut attribute = Self {
            bytes,
            key: &[],
            value: None,
        };
        let mut fields = Fields::new(bytes);
        while let Some(found) = fields.next() {
            match (found.number, found.payload) {
                (key_value::KEY, Payload::Len(text)) => attribute.key = text,
                (key_value::VALUE, Payload::Len(value)) if attribute.value.is_none() => {
                    attribute.value = Some(Merged {
                        record: Fields::new(value),
                        parent: fields,
                        number: key_value::VALUE,
                    });
                }
                _ => {}
            }
        }
        attribute
    }

    /// The bytes of the attribute, without tag and length.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The key; empty if nobody said.
    #[must_use]
    pub fn key(&self) -> &'a str {
        text_of(self.key)
    }

    /// The value; [`Value::Empty`] if there is none.
    #[must_use]
    pub fn value(&self) -> Value<'a> {
        self.value.map_or(Value::Empty, Value::read)
    }
}

impl<'a> Repeated<'a, KeyValue<'a>> {
    /// The value of the first attribute with this key.
    ///
    /// ```
    /// use spanwire_core::wire::view::Resource;
    ///
    /// let resource = Resource::new(b"\x0a\x15\x0a\x0cservice.name\x12\x05\x0a\x03svc");
    /// assert_eq!(resource.attributes().get("service.name").unwrap().as_str(), Some("svc"));
    /// assert!(resource.attributes().get("host.name").is_none());
    /// ```
    #[must_use]
    pub fn get(mut self, key: &str) -> Option<Value<'a>> {
        self.find(|attribute| attribute.key == key.as_bytes())
            .map(|attribute| attribute.value())
    }
}

/// `AnyValue`: the value of an attribute.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Value<'a> {
    /// No value.
    Empty,
    /// A string.
    Str(&'a str),
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// Values of any kind, in order.
    Array(Array<'a>),
    /// A map, in order.
    Map(Map<'a>),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A string in a table that only profiles have. Senders of traces do not use it.
    StrIndex(i32),
}

impl<'a> Value<'a> {
    /// The value with these bytes, without tag and length.
    #[must_use]
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self::read(Merged::of(bytes))
    }

    /// The last member wins. Arrays in a row are one array, and so are maps in a row.
    fn read(mut fields: Merged<'a>) -> Self {
        let mut value = Value::Empty;
        loop {
            let here = fields;
            let Some(found) = fields.next() else {
                return value;
            };
            value = match (found.number, found.payload) {
                (any_value::STRING_VALUE, Payload::Len(text)) => Value::Str(text_of(text)),
                (any_value::BOOL_VALUE, Payload::Varint(number)) => Value::Bool(number != 0),
                (any_value::INT_VALUE, Payload::Varint(number)) => Value::Int(number as i64),
                (any_value::DOUBLE_VALUE, Payload::Fixed64(bits)) => {
                    Value::Double(f64::from_bits(bits))
                }
                (any_value::ARRAY_VALUE, Payload::Len(_)) => match value {
                    Value::Array(_) => value,
                    _ => Value::Array(Array {
                        elements: Elements::new(here, any_value::ARRAY_VALUE),
                    }),
                },
                (any_value::KVLIST_VALUE, Payload::Len(_)) => match value {
                    Value::Map(_) => value,
                    _ => Value::Map(Map {
                        elements: Elements::new(here, any_value::KVLIST_VALUE),
                    }),
                },
                (any_value::BYTES_VALUE, Payload::Len(bytes)) => Value::Bytes(bytes),
                (STRING_VALUE_STRINDEX, Payload::Varint(index)) => Value::StrIndex(index as i32),
                _ => value,
            };
        }
    }

    /// The string, if it is one.
    #[must_use]
    pub const fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if it is one.
    #[must_use]
    pub const fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The double, if it is one.
    #[must_use]
    pub const fn as_double(&self) -> Option<f64> {
        match self {
            Self::Double(value) => Some(*value),
            _ => None,
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(*self, MAX_DEPTH).fmt(f)
    }
}

/// A value, and how many more levels of it are shown: bytes that were not validated may nest without end.
struct Shown<'a>(Value<'a>, u32);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(depth) = self.1.checked_sub(1) else {
            return f.write_str("..");
        };
        match self.0 {
            Value::Empty => f.write_str("Empty"),
            Value::Str(value) => value.fmt(f),
            Value::Bool(value) => value.fmt(f),
            Value::Int(value) => value.fmt(f),
            Value::Double(value) => value.fmt(f),
            Value::Array(array) => f
                .debug_list()
                .entries(array.iter().map(|value| Shown(value, depth)))
                .finish(),
            Value::Map(map) => f
                .debug_map()
                .entries(
                    map.iter()
                        .map(|entry| (entry.key(), Shown(entry.value(), depth))),
                )
                .finish(),
            Value::Bytes(value) => value.fmt(f),
            Value::StrIndex(index) => write!(f, "StrIndex({index})"),
        }
    }
}

/// `ArrayValue`: values of any kind.
#[derive(Clone, Copy)]
pub struct Array<'a> {
    elements: Elements<'a>,
}

impl<'a> Array<'a> {
    /// The values, in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + Clone + use<'a> {
        self.elements.map(Value::new)
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::Array(*self).fmt(f)
    }
}

/// `KeyValueList`: values with names.
#[derive(Clone, Copy)]
pub struct Map<'a> {
    elements: Elements<'a>,
}

impl<'a> Map<'a> {
    /// The entries, in order. A key may occur more than once.
    pub fn iter(&self) -> impl Iterator<Item = KeyValue<'a>> + Clone + use<'a> {
        self.elements.map(KeyValue::new)
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::Map(*self).fmt(f)
    }
}

impl fmt::Debug for KeyValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?}", self.key(), self.value())
    }
}

/// The elements of an array or a map, which may be in several records of a value that may itself be in several.
#[derive(Clone, Copy)]
struct Elements<'a> {
    value: Merged<'a>,
    member: u32,
    list: Fields<'a>,
}

impl<'a> Elements<'a> {
    fn new(value: Merged<'a>, member: u32) -> Self {
        Self {
            value,
            member,
            list: Fields::default(),
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            for found in self.list.by_ref() {
                if let (list::VALUES, Payload::Len(bytes)) = (found.number, found.payload) {
                    return Some(bytes);
                }
            }
            if let Field {
                number,
                payload: Payload::Len(list),
                ..
            } = self.value.next()?
                && number == self.member
            {
                self.list = Fields::new(list);
            }
        }
    }
}
