//! Attributes, read in place.

use crate::batch::{Field, Fields};
use crate::wire::field::{WireType, any_value, key_value};
use crate::wire::varint;

/// The key of an encoded `KeyValue`. Of a field that repeats, the last one counts.
pub(super) fn key(message: &[u8]) -> &[u8] {
    last(message, key_value::KEY)
}

/// The encoded `AnyValue` of an encoded `KeyValue`.
pub(super) fn value(message: &[u8]) -> &[u8] {
    last(message, key_value::VALUE)
}

/// The payload of the last field of this number and type `Len`; nothing, as protobuf has it, when there is none.
pub(super) fn last(message: &[u8], number: u32) -> &[u8] {
    let fields = Fields::new(message).filter(|field| field.is(number, WireType::Len));
    fields.last().map_or(&[], |field| field.payload)
}

/// The number in the last varint field of this number.
pub(super) fn last_number(message: &[u8], number: u32) -> Option<u64> {
    let fields = Fields::new(message).filter(|field| field.is(number, WireType::Varint));
    fields.last().and_then(|field| self::number(&field))
}

fn number(field: &Field<'_>) -> Option<u64> {
    varint::read(field.payload).map(|(number, _)| number)
}

/// An `AnyValue`, as far as conditions tell values apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum AnyValue<'a> {
    Empty,
    Str(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// An array or map: its bytes, tag included.
    Compound(&'a [u8]),
}

impl<'a> AnyValue<'a> {
    pub(super) fn read(message: &'a [u8]) -> Self {
        let Some(field) = Fields::new(message).last() else {
            return Self::Empty;
        };
        let number = number(&field);
        match (field.tag >> 3, number) {
            (any_value::STRING_VALUE, _) => Self::Str(field.payload),
            (any_value::BOOL_VALUE, Some(number)) => Self::Bool(number != 0),
            (any_value::INT_VALUE, Some(number)) => Self::Int(number as i64),
            (any_value::DOUBLE_VALUE, _) => match field.payload.try_into() {
                Ok(bits) => Self::Double(f64::from_le_bytes(bits)),
                Err(_) => Self::Empty,
            },
            (any_value::BYTES_VALUE, _) => Self::Bytes(field.payload),
            (any_value::ARRAY_VALUE | any_value::KVLIST_VALUE, _) => Self::Compound(field.raw),
            _ => Self::Empty,
        }
    }
}
