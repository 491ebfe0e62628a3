//! Attributes whose lengths all take one byte: most of them.
//!
//! ```text
//! tag len  tag len key...  tag len  tag value...
//!         |<------------ len ------------------>|
//! ```

use crate::wire::field::{self, WireType, tag};
use crate::wire::varint;

/// Up to here a key and a value leave every length around them below 128.
pub(super) const MOST: usize = 110;

/// The bytes before a value that are not the key's: tag and length of the attribute, of the key, and of the value,
/// and the tag of what is in it.
pub(super) const AROUND: usize = 7;

/// The most bytes of a short attribute.
pub(super) const WHOLE: usize = MOST + AROUND + 1;

/// What follows the tag of a value.
#[derive(Clone, Copy)]
pub(super) struct Number {
    bytes: [u8; 16],
    len: usize,
}

impl Number {
    #[inline(always)]
    pub(super) const fn truth(truth: bool) -> Self {
        Self {
            bytes: (truth as u128).to_le_bytes(),
            len: 1,
        }
    }

    #[inline(always)]
    pub(super) fn integer(integer: i64) -> Self {
        if (0..128).contains(&integer) {
            return Self {
                bytes: (integer as u128).to_le_bytes(),
                len: 1,
            };
        }
        let mut bytes = [0; 16];
        let len = varint::write(integer as u64, &mut bytes).unwrap_or(0);
        Self { bytes, len }
    }

    #[inline(always)]
    pub(super) fn double(double: f64) -> Self {
        Self {
            bytes: u128::from(double.to_bits()).to_le_bytes(),
            len: 8,
        }
    }

    #[inline(always)]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Writes the attribute with this value into [`AROUND`], the key's and this value's bytes.
    #[inline(always)]
    pub(super) fn write(&self, key: &[u8], number: u32, wire_type: WireType, out: &mut [u8]) {
        let Some(rest) = write_key(key, out) else {
            return;
        };
        let Some((head, rest)) = rest.split_first_chunk_mut::<3>() else {
            return;
        };
        *head = [VALUE, (self.len + 1) as u8, tag(number, wire_type) as u8];
        if let [first] = rest {
            *first = self.bytes[0];
        } else if let Some(bytes) = self.bytes.get(..rest.len()) {
            copy(rest, bytes);
        }
    }
}

const VALUE: u8 = tag(field::key_value::VALUE, WireType::Len) as u8;

/// Writes the attribute with this text into [`AROUND`], one more, the key's and the text's bytes.
#[inline(always)]
pub(super) fn write_text(key: &[u8], text: &[u8], out: &mut [u8]) {
    const STRING: u8 = tag(field::any_value::STRING_VALUE, WireType::Len) as u8;
    let Some(rest) = write_key(key, out) else {
        return;
    };
    if let Some((head, rest)) = rest.split_first_chunk_mut() {
        *head = four(VALUE, text.len() + 2, STRING, text.len());
        copy(rest, text);
    }
}

/// Writes what precedes a value; returns the room that is left for it.
#[inline(always)]
fn write_key<'o>(key: &[u8], out: &'o mut [u8]) -> Option<&'o mut [u8]> {
    const ATTRIBUTE: u8 = tag(field::span::ATTRIBUTES, WireType::Len) as u8;
    const KEY: u8 = tag(field::key_value::KEY, WireType::Len) as u8;
    let len = out.len();
    let (head, rest) = out.split_first_chunk_mut()?;
    *head = four(ATTRIBUTE, len - 2, KEY, key.len());
    let (room, rest) = rest.split_at_mut_checked(key.len())?;
    copy(room, key);
    Some(rest)
}

/// Two tags and two lengths below 128, as one word: it is written at once.
#[inline(always)]
fn four(tag: u8, len: usize, inner: u8, inner_len: usize) -> [u8; 4] {
    let word =
        u32::from(tag) | u32::from(inner) << 16 | (len as u32) << 8 | (inner_len as u32) << 24;
    word.to_le_bytes()
}

/// Copies bytes to as many: few, so by overlapping words instead of a call.
#[inline(always)]
pub(super) fn copy(to: &mut [u8], from: &[u8]) {
    #[inline(always)]
    fn ends<const N: usize>(to: &mut [u8], from: &[u8]) {
        if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk()) {
            *to = *from;
        }
        if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk()) {
            *to = *from;
        }
    }
    if to.len() != from.len() {
        return;
    }
    // Halved, so that no length is asked about more than three times.
    match from.len() {
        8.. => match from.len() {
            0..=16 => ends::<8>(to, from),
            17..=32 => ends::<16>(to, from),
            33..=64 => ends::<32>(to, from),
            _ => to.copy_from_slice(from),
        },
        4.. => ends::<4>(to, from),
        2.. => ends::<2>(to, from),
        _ => ends::<1>(to, from),
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::attribute::KeyValue;
    use crate::wire::encode::{ValueLimit, attributes_len, write_attributes};

    #[test]
    fn short_and_general_ways_write_the_same() {
        let text: std::string::String = (0..200).map(|n| char::from(b'a' + n % 26)).collect();
        for key in (1..40).chain([64, 100]) {
            for value in (0..70).chain([100]) {
                let (key, value) = (&text[..key], &text[..value]);
                if key.len() + value.len() > MOST {
                    continue;
                }
                let mut out = vec![0; AROUND + 1 + key.len() + value.len()];
                write_text(key.as_bytes(), value.as_bytes(), &mut out);
                assert_eq!(out, general(&KeyValue::new(key, value)));
            }
        }
        for integer in [0, 1, 127, 128, 300, -1, i64::MIN, i64::MAX] {
            let number = Number::integer(integer);
            let mut out = vec![0; AROUND + 3 + number.len()];
            number.write(
                b"key",
                field::any_value::INT_VALUE,
                WireType::Varint,
                &mut out,
            );
            assert_eq!(out, general(&KeyValue::new("key", integer)));
        }
        let mut out = vec![0; AROUND + 3 + 8];
        Number::double(0.1).write(
            b"key",
            field::any_value::DOUBLE_VALUE,
            WireType::Fixed64,
            &mut out,
        );
        assert_eq!(out, general(&KeyValue::new("key", 0.1)));
    }

    fn general(attribute: &KeyValue<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let attributes = [*attribute];
        write_attributes(
            &mut out,
            field::span::ATTRIBUTES,
            &attributes,
            ValueLimit::NONE,
        )
        .unwrap();
        assert_eq!(
            out.len(),
            attributes_len(field::span::ATTRIBUTES, &attributes, ValueLimit::NONE)
        );
        out
    }
}
