//! Attributes whose lengths all take one byte: most of them.

use crate::attribute::{KeyValue, Value};
use crate::wire::encode::ValueLimit;
use crate::wire::field::{self, WireType, tag};
use crate::wire::varint;

/// Up to here a key and a text leave every length around them below 128.
const MOST: usize = 110;

/// The bytes around a key and a value: tag and length of the attribute, of the key, and of the value.
const AROUND: usize = 6;

/// An attribute of a simple kind, short enough.
pub(super) struct Short<'v> {
    key: &'v [u8],
    /// The tag of the value's field, then what follows it.
    tag: u8,
    value: Payload<'v>,
}

enum Payload<'v> {
    /// A length and a text.
    Text(&'v [u8]),
    /// Up to ten bytes.
    Number([u8; varint::MAX_LEN], usize),
}

impl<'v> Short<'v> {
    /// `None` where the general way has to be taken.
    #[inline]
    pub(super) fn of(attribute: &KeyValue<'v>, limit: ValueLimit) -> Option<Self> {
        use field::any_value as any;
        let key = attribute.key.as_bytes();
        let (number, wire_type, value) = match attribute.value {
            Value::Str(text) if key.len() + text.len() <= MOST && limit.keeps(text.len()) => (
                any::STRING_VALUE,
                WireType::Len,
                Payload::Text(text.as_bytes()),
            ),
            Value::Bool(truth) => (
                any::BOOL_VALUE,
                WireType::Varint,
                Payload::small(truth.into()),
            ),
            Value::Int(integer) if (0..128).contains(&integer) => (
                any::INT_VALUE,
                WireType::Varint,
                Payload::small(integer as u8),
            ),
            Value::Int(integer) => (
                any::INT_VALUE,
                WireType::Varint,
                Payload::varint(integer as u64),
            ),
            Value::Double(double) => (
                any::DOUBLE_VALUE,
                WireType::Fixed64,
                Payload::fixed64(double.to_bits()),
            ),
            _ => return None,
        };
        (!key.is_empty() && key.len() <= MOST).then_some(Self {
            key,
            tag: tag(number, wire_type) as u8,
            value,
        })
    }

    /// The bytes of the `attributes` field of a span.
    #[inline]
    pub(super) fn len(&self) -> usize {
        AROUND + self.key.len() + self.value.len()
    }

    /// Writes the field into exactly as many bytes.
    #[inline]
    pub(super) fn write(&self, out: &mut [u8]) {
        let value_len = self.value.len();
        let len = AROUND + self.key.len() + value_len;
        let Some((head, rest)) = out.split_first_chunk_mut::<4>() else {
            return;
        };
        *head = [
            tag(field::span::ATTRIBUTES, WireType::Len) as u8,
            (len - 2) as u8,
            tag(field::key_value::KEY, WireType::Len) as u8,
            self.key.len() as u8,
        ];
        let Some((key, rest)) = rest.split_at_mut_checked(self.key.len()) else {
            return;
        };
        key.copy_from_slice(self.key);
        let Some((value, rest)) = rest.split_first_chunk_mut::<3>() else {
            return;
        };
        *value = [
            tag(field::key_value::VALUE, WireType::Len) as u8,
            value_len as u8,
            self.tag,
        ];
        match &self.value {
            Payload::Text(text) => {
                if let Some((length, rest)) = rest.split_first_mut()
                    && rest.len() == text.len()
                {
                    *length = text.len() as u8;
                    rest.copy_from_slice(text);
                }
            }
            Payload::Number(bytes, _) => {
                for (to, from) in rest.iter_mut().zip(bytes) {
                    *to = *from;
                }
            }
        }
    }
}

impl Payload<'_> {
    /// The bytes of the value: its tag and what follows.
    #[inline]
    fn len(&self) -> usize {
        1 + match self {
            Self::Text(text) => 1 + text.len(),
            Self::Number(_, len) => *len,
        }
    }

    #[inline]
    fn small(number: u8) -> Self {
        let mut bytes = [0; varint::MAX_LEN];
        bytes[0] = number;
        Self::Number(bytes, 1)
    }

    #[inline]
    fn varint(number: u64) -> Self {
        let mut bytes = [0; varint::MAX_LEN];
        let len = varint::write(number, &mut bytes).unwrap_or(0);
        Self::Number(bytes, len)
    }

    #[inline]
    fn fixed64(bits: u64) -> Self {
        let mut bytes = [0; varint::MAX_LEN];
        if let Some(first) = bytes.first_chunk_mut() {
            *first = bits.to_le_bytes();
        }
        Self::Number(bytes, 8)
    }
}
