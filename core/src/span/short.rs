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
const AROUND: usize = 7;

/// The most bytes of a short attribute.
pub(super) const WHOLE: usize = MOST + AROUND + 1;

const ATTRIBUTE: u8 = tag(field::span::ATTRIBUTES, WireType::Len) as u8;
const KEY: u8 = tag(field::key_value::KEY, WireType::Len) as u8;
const VALUE: u8 = tag(field::key_value::VALUE, WireType::Len) as u8;

/// A value that is written behind its key.
pub(super) trait ShortValue {
    /// Writes the value with its tag and length to the start of the room, if it and a key of this length are short.
    /// Returns how many bytes that are, and the rest of the room; `None` when there is too little room, or it is not short.
    fn write<'o>(&self, key: usize, out: &'o mut [u8]) -> Option<(usize, &'o mut [u8])>;
}

/// A text of at most so many bytes.
pub(super) struct Text<'t>(pub(super) &'t str, pub(super) u16);

impl ShortValue for Text<'_> {
    #[inline(always)]
    fn write<'o>(&self, key: usize, out: &'o mut [u8]) -> Option<(usize, &'o mut [u8])> {
        const STRING: u8 = tag(field::any_value::STRING_VALUE, WireType::Len) as u8;
        let text = self.0.as_bytes();
        if key + text.len() > MOST || text.len() > usize::from(self.1) {
            return None;
        }
        let (head, out) = out.split_first_chunk_mut()?;
        *head = four(VALUE, text.len() + 2, STRING, text.len());
        let (room, out) = out.split_at_mut_checked(text.len())?;
        copy(room, text);
        Some((4 + text.len(), out))
    }
}

impl ShortValue for i64 {
    #[inline(always)]
    fn write<'o>(&self, key: usize, out: &'o mut [u8]) -> Option<(usize, &'o mut [u8])> {
        const INTEGER: u8 = tag(field::any_value::INT_VALUE, WireType::Varint) as u8;
        if (0..128).contains(self) {
            return write_fixed(key, [VALUE, 2, INTEGER, *self as u8], out);
        }
        let mut bytes = [0; 10];
        let len = varint::write(*self as u64, &mut bytes)?;
        if key > MOST - bytes.len() {
            return None;
        }
        let (head, out) = out.split_first_chunk_mut()?;
        *head = [VALUE, (len + 1) as u8, INTEGER];
        let (room, out) = out.split_at_mut_checked(len)?;
        copy(room, bytes.get(..len)?);
        Some((3 + len, out))
    }
}

impl ShortValue for bool {
    #[inline(always)]
    fn write<'o>(&self, key: usize, out: &'o mut [u8]) -> Option<(usize, &'o mut [u8])> {
        const TRUTH: u8 = tag(field::any_value::BOOL_VALUE, WireType::Varint) as u8;
        write_fixed(key, [VALUE, 2, TRUTH, (*self).into()], out)
    }
}

impl ShortValue for f64 {
    #[inline(always)]
    fn write<'o>(&self, key: usize, out: &'o mut [u8]) -> Option<(usize, &'o mut [u8])> {
        const DOUBLE: u8 = tag(field::any_value::DOUBLE_VALUE, WireType::Fixed64) as u8;
        let [a, b, c, d, e, f, g, h] = self.to_bits().to_le_bytes();
        write_fixed(key, [VALUE, 9, DOUBLE, a, b, c, d, e, f, g, h], out)
    }
}

#[inline(always)]
fn write_fixed<const N: usize>(
    key: usize,
    value: [u8; N],
    out: &mut [u8],
) -> Option<(usize, &mut [u8])> {
    if key > MOST - N {
        return None;
    }
    let (room, out) = out.split_first_chunk_mut()?;
    *room = value;
    Some((N, out))
}

/// Writes a short attribute to the start of the room; returns the fingerprint of its key, and the rest. `None` when it is
/// not short, or finds no room, or its key is not new: what was written then means nothing.
#[inline(always)]
pub(super) fn write<'o>(
    key: &str,
    out: &'o mut [u8],
    is_new: impl FnOnce(u16) -> bool,
    value: impl FnOnce(usize, &'o mut [u8]) -> Option<(usize, &'o mut [u8])>,
) -> Option<(u16, &'o mut [u8])> {
    let key = key.as_bytes();
    let (head, out) = out.split_first_chunk_mut()?;
    let (room, out) = out.split_at_mut_checked(key.len())?;
    // The usual length first, with one look at it and at the key.
    let fingerprint = if let 8..=16 = key.len()
        && let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk())
    {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        if let Some(room) = room.first_chunk_mut() {
            *room = first.to_le_bytes();
        }
        if let Some(room) = room.last_chunk_mut() {
            *room = last.to_le_bytes();
        }
        mix(first, last, key.len())
    } else {
        copy(room, key);
        fingerprint(key)?
    };
    if !is_new(fingerprint) {
        return None;
    }
    let (len, out) = value(key.len(), out)?;
    *head = four(ATTRIBUTE, 2 + key.len() + len, KEY, key.len());
    Some((fingerprint, out))
}

/// Sixteen bits that differ for most keys. `None` for the empty key.
#[inline(always)]
pub(super) fn fingerprint(key: &[u8]) -> Option<u16> {
    let (first, last) = if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
        (
            u32::from_le_bytes(*first).into(),
            u32::from_le_bytes(*last).into(),
        )
    } else {
        let (first, last) = (key.first()?, key.last()?);
        let middle = key.get(1).copied().unwrap_or_default();
        ((*first).into(), u64::from(*last) << 8 | u64::from(middle))
    };
    Some(mix(first, last, key.len()))
}

#[inline(always)]
fn mix(first: u64, last: u64, len: usize) -> u16 {
    // An odd constant without structure: the fractional bits of a square root.
    let mixed = first ^ last.rotate_left(29) ^ (len as u64) << 57;
    (mixed.wrapping_mul(0x6a09_e667_f3bc_c909) >> 48) as u16
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
                let written = written(key, &Text(value, u16::MAX));
                assert_eq!(written, general(&KeyValue::new(key, value)));
            }
        }
        for integer in [0, 1, 127, 128, 300, -1, i64::MIN, i64::MAX] {
            let general = general(&KeyValue::new("key", integer));
            assert_eq!(written("key", &integer), general);
        }
        for truth in [false, true] {
            let general = general(&KeyValue::new("key", truth));
            assert_eq!(written("key", &truth), general);
        }
        assert_eq!(written("key", &0.1), general(&KeyValue::new("key", 0.1)));
    }

    #[test]
    fn what_is_not_short_or_finds_no_room_is_left() {
        let key: std::string::String = (0..MOST).map(|_| 'k').collect();
        assert!(finds_room(WHOLE, &key, &Text("", u16::MAX)));
        assert!(!finds_room(WHOLE, &key, &Text("v", u16::MAX)));
        assert!(!finds_room(WHOLE, "key", &Text("four", 3)));
        assert!(!finds_room(WHOLE, &key, &true));
        assert!(!finds_room(WHOLE, &key, &0.1));
        assert!(!finds_room(WHOLE, &key, &1));
        assert!(!finds_room(WHOLE, &key[..101], &-1));
        let whole = AROUND + 1 + 3 + 5;
        for len in 0..whole {
            assert!(!finds_room(len, "key", &Text("value", u16::MAX)));
        }
        assert!(finds_room(whole, "key", &Text("value", u16::MAX)));
    }

    fn finds_room(len: usize, key: &str, value: &impl ShortValue) -> bool {
        write_to(&mut vec![0; len], key, value).is_some()
    }

    fn write_to(room: &mut [u8], key: &str, value: &impl ShortValue) -> Option<usize> {
        let (_, rest) = write(key, room, |_| true, |key, out| value.write(key, out))?;
        Some(rest.len())
    }

    fn written(key: &str, value: &impl ShortValue) -> Vec<u8> {
        let mut room = vec![0; WHOLE];
        let rest = write_to(&mut room, key, value).unwrap();
        room.truncate(WHOLE - rest);
        room
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

    #[test]
    fn fingerprints_differ_for_the_usual_keys() {
        let keys = [
            "k",
            "k1",
            "k2",
            "http.request.method",
            "http.response.status_code",
            "k8s.pod.name",
            "k8s.pod.uid",
        ];
        for (at, key) in keys.iter().enumerate() {
            for other in &keys[at + 1..] {
                assert_ne!(
                    fingerprint(key.as_bytes()),
                    fingerprint(other.as_bytes()),
                    "{key} {other}"
                );
            }
        }
    }
}
