//! Attributes whose lengths all take one byte: most of them.
//!
//! ```text
//! tag len  tag len key...  tag len  tag value...
//!         |<------------ len ------------------>|
//! ```

use crate::attribute::Value;
use crate::wire::field::{self, WireType, tag};
use crate::wire::varint;

/// Up to here a key and a value leave every length around them below 128.
pub(super) const MOST: usize = 110;

/// The tags and lengths before a key, and before a text.
const HEAD: usize = 4;

/// The most bytes of a short attribute.
pub(super) const WHOLE: usize = HEAD + HEAD + MOST;

const ATTRIBUTE: u8 = tag(field::span::ATTRIBUTES, WireType::Len) as u8;
const KEY: u8 = tag(field::key_value::KEY, WireType::Len) as u8;
const VALUE: u8 = tag(field::key_value::VALUE, WireType::Len) as u8;

const INTEGER: u8 = tag(field::any_value::INT_VALUE, WireType::Varint) as u8;

/// A value that is written behind its key.
pub(super) trait ShortValue {
    /// Writes the value with its tags and lengths to the start of the room; returns how many bytes that are. `left` is how
    /// long a text may be beside its key, and the room is that and [`HEAD`] bytes. `None` when it is not short.
    fn write(&self, left: usize, room: &mut [u8]) -> Option<usize>;
}

/// A text of at most so many bytes.
pub(super) struct Text<'t>(pub(super) &'t str, pub(super) u16);

impl ShortValue for Text<'_> {
    #[inline(always)]
    fn write(&self, left: usize, room: &mut [u8]) -> Option<usize> {
        const STRING: u8 = tag(field::any_value::STRING_VALUE, WireType::Len) as u8;
        let text = self.0.as_bytes();
        if text.len() > left || text.len() > usize::from(self.1) {
            return None;
        }
        let (head, room) = room.split_first_chunk_mut::<HEAD>()?;
        *head = four(VALUE, text.len() + 2, STRING, text.len());
        copy(room.get_mut(..text.len())?, text);
        Some(HEAD + text.len())
    }
}

/// A value of any kind, and the most bytes of a text. Of some kinds none is short.
pub(super) struct Common<'a, 'v>(pub(super) &'a Value<'v>, pub(super) u16);

impl ShortValue for Common<'_, '_> {
    #[inline(always)]
    fn write(&self, left: usize, room: &mut [u8]) -> Option<usize> {
        match *self.0 {
            Value::Str(text) => Text(text, self.1).write(left, room),
            Value::Int(integer) => integer.write(left, room),
            Value::Bool(truth) => truth.write(left, room),
            // Three kinds are told apart by comparing, four would be by a table.
            _ => write_other(self.0, left, room),
        }
    }
}

#[cold]
#[inline(never)]
fn write_other(value: &Value<'_>, left: usize, room: &mut [u8]) -> Option<usize> {
    match *value {
        Value::Double(double) => double.write(left, room),
        _ => None,
    }
}

impl ShortValue for i64 {
    #[inline(always)]
    fn write(&self, _left: usize, room: &mut [u8]) -> Option<usize> {
        if (0..128).contains(self) {
            return write_fixed([VALUE, 2, INTEGER, *self as u8], room);
        }
        write_integer(*self, room)
    }
}

/// Writes an integer that takes more than one byte.
// Not inlined, so that those of one byte keep what they know in registers.
#[cold]
#[inline(never)]
fn write_integer(integer: i64, room: &mut [u8]) -> Option<usize> {
    let mut bytes = [0; 10];
    let len = varint::write(integer as u64, &mut bytes)?;
    let (head, room) = room.split_first_chunk_mut()?;
    *head = [VALUE, (len + 1) as u8, INTEGER];
    copy(room.get_mut(..len)?, bytes.get(..len)?);
    Some(3 + len)
}

impl ShortValue for bool {
    #[inline(always)]
    fn write(&self, _left: usize, room: &mut [u8]) -> Option<usize> {
        const TRUTH: u8 = tag(field::any_value::BOOL_VALUE, WireType::Varint) as u8;
        write_fixed([VALUE, 2, TRUTH, (*self).into()], room)
    }
}

impl ShortValue for f64 {
    #[inline(always)]
    fn write(&self, _left: usize, room: &mut [u8]) -> Option<usize> {
        const DOUBLE: u8 = tag(field::any_value::DOUBLE_VALUE, WireType::Fixed64) as u8;
        let [a, b, c, d, e, f, g, h] = self.to_bits().to_le_bytes();
        write_fixed([VALUE, 9, DOUBLE, a, b, c, d, e, f, g, h], room)
    }
}

#[inline(always)]
fn write_fixed<const N: usize>(value: [u8; N], room: &mut [u8]) -> Option<usize> {
    *room.first_chunk_mut()? = value;
    Some(N)
}

/// Writes a short attribute to the start of the room; returns the fingerprint of its key, and how many bytes it takes.
/// `None` when it is not short, or its key is not new: what was written then means nothing.
// Room for the longest: what is shorter is known to fit, and is not asked about again.
#[inline(always)]
pub(super) fn write(
    key: &str,
    room: &mut [u8; WHOLE],
    is_new: impl FnOnce(u16) -> bool,
    value: &impl ShortValue,
) -> Option<(u16, usize)> {
    let key = key.as_bytes();
    let left = MOST.checked_sub(key.len())?;
    let (head, room) = room.split_first_chunk_mut::<HEAD>()?;
    let (name, room) = room.split_at_mut_checked(key.len())?;
    // The usual length first, with one look at it and at the key.
    let fingerprint = if let 8..=16 = key.len()
        && let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk())
    {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        if let Some(room) = name.first_chunk_mut() {
            *room = first.to_le_bytes();
        }
        if let Some(room) = name.last_chunk_mut() {
            *room = last.to_le_bytes();
        }
        mix(first, last)
    } else {
        copy(name, key);
        fingerprint(key)?
    };
    if !is_new(fingerprint) {
        return None;
    }
    let len = value.write(left, room)?;
    *head = four(ATTRIBUTE, 2 + key.len() + len, KEY, key.len());
    Some((fingerprint, HEAD + key.len() + len))
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
    Some(mix(first, last))
}

/// The fingerprint of a key with these ends.
#[inline(always)]
fn mix(first: u64, last: u64) -> u16 {
    // An odd constant without structure: the fractional bits of a square root.
    let mixed = first ^ last.rotate_left(29);
    (mixed.wrapping_mul(0x6a09_e667_f3bc_c909) >> 48) as u16
}

/// Two tags and two lengths below 128.
#[inline(always)]
fn four(tag: u8, len: usize, inner: u8, inner_len: usize) -> [u8; HEAD] {
    [tag, len as u8, inner, inner_len as u8]
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
        let key = &text[..MOST];
        let longest = written(key, &Text("", u16::MAX));
        assert_eq!(longest, general(&KeyValue::new(key, "")));
        assert_eq!(longest.len(), WHOLE);
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
    fn values_of_a_few_kinds_are_short() {
        let is_common = |value: Value<'_>| is_short("key", &Common(&value, 3));
        for value in [
            Value::Str("abc"),
            Value::Int(-1),
            Value::Int(5),
            Value::Bool(true),
        ] {
            assert!(is_common(value), "{value:?}");
        }
        assert!(is_common(Value::Double(0.5)));
        for value in [
            Value::Str("abcd"),
            Value::Empty,
            Value::Bytes(b"b"),
            Value::Ints(&[1]),
        ] {
            assert!(!is_common(value), "{value:?}");
        }
        assert!(
            write("key", &mut [0; WHOLE], |_| false, &true).is_none(),
            "not new"
        );
    }

    #[test]
    fn what_is_not_short_is_left() {
        let key: std::string::String = (0..=MOST).map(|_| 'k').collect();
        let most = &key[..MOST];
        assert!(is_short(most, &Text("", u16::MAX)));
        assert!(!is_short(most, &Text("v", u16::MAX)));
        assert!(!is_short(&key, &Text("", u16::MAX)));
        assert!(!is_short("", &Text("", u16::MAX)));
        assert!(!is_short("key", &Text("four", 3)));
        assert!(is_short(most, &true));
        assert!(!is_short(&key, &true));
        assert!(!is_short(most, &0.1));
        assert!(is_short(&key[..MOST - 7], &0.1));
        assert!(is_short(most, &127) && !is_short(most, &128));
        assert!(is_short(&key[..MOST - 9], &-1) && !is_short(&key[..MOST - 8], &-1));
    }

    fn is_short(key: &str, value: &impl ShortValue) -> bool {
        write_to(&mut [0; WHOLE], key, value).is_some()
    }

    fn write_to(room: &mut [u8; WHOLE], key: &str, value: &impl ShortValue) -> Option<usize> {
        let (_, len) = write(key, room, |_| true, value)?;
        Some(len)
    }

    fn written(key: &str, value: &impl ShortValue) -> Vec<u8> {
        let mut room = [0; WHOLE];
        let len = write_to(&mut room, key, value).unwrap();
        room[..len].to_vec()
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
