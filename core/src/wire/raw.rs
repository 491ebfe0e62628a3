//! Fields of a message, without knowing the message.
//!
//! Protobuf encoding guide, "Message Structure", "Length-Delimited Records" and "Groups".

use core::fmt;

use super::field::WireType;
use super::varint;

/// The most nested messages that widespread decoders take: C++, Java, upb, prost and protobufjs stop here.
pub const MAX_DEPTH: u32 = 100;

/// The longest message or string: protobuf lengths are signed 32-bit numbers.
pub const MAX_LEN: usize = i32::MAX as usize;

/// The most bytes of a tag or a length. Some decoders refuse longer ones even where the value is small.
const MAX_PREFIX: u8 = 5;

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The bytes, or the enclosing message, end inside the field.
    Truncated,
    /// The tag takes more than five bytes or more than 32 bits.
    Tag,
    /// The field number is zero.
    FieldNumber,
    /// The wire type is 6 or 7, which do not exist.
    WireType,
    /// The wire type is not that of this field.
    UnexpectedWireType,
    /// The length takes more than five bytes or exceeds [`MAX_LEN`].
    Length,
    /// The number takes more than ten bytes or more than 64 bits.
    Varint,
    /// A group ends that has not begun, or under another number.
    EndGroup,
    /// The text is not UTF-8.
    Utf8,
    /// More messages are nested than the limit allows.
    Depth,
    /// A trace id that has neither 0 nor 16 bytes, or a span id that has neither 0 nor 8.
    IdLength,
    /// The request is longer than the limit.
    TooLarge,
    /// The request has more `ResourceSpans` than the limit.
    TooManyResourceSpans,
}

impl Fault {
    /// Whether the bytes are no protobuf message of their type at all. `false` for well-formed messages that break a
    /// limit or a rule of OTLP.
    #[must_use]
    pub const fn is_malformed(self) -> bool {
        !matches!(
            self,
            Self::Depth | Self::IdLength | Self::TooLarge | Self::TooManyResourceSpans
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "field ends after its message",
            Self::Tag => "tag is longer than 5 bytes or 32 bits",
            Self::FieldNumber => "field number is zero",
            Self::WireType => "wire type does not exist",
            Self::UnexpectedWireType => "wire type is not that of the field",
            Self::Length => "length is longer than 5 bytes or 31 bits",
            Self::Varint => "number is longer than 10 bytes or 64 bits",
            Self::EndGroup => "group ends that has not begun",
            Self::Utf8 => "text is not UTF-8",
            Self::Depth => "messages are nested too deeply",
            Self::IdLength => "id has the wrong length",
            Self::TooLarge => "request is too large",
            Self::TooManyResourceSpans => "request has too many resources",
        })
    }
}

/// A field of any message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// The field number: at least 1.
    pub number: u32,
    /// What it holds.
    pub payload: Payload<'a>,
    /// All its bytes: tag, length if any, and payload.
    pub record: &'a [u8],
}

/// What a field holds, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Payload<'a> {
    /// A base-128 number: integers, booleans, enumerations.
    Varint(u64),
    /// Eight bytes: `fixed64`, `double`.
    Fixed64(u64),
    /// Strings, bytes, messages.
    Len(&'a [u8]),
    /// A group, which OTLP does not use.
    Group,
    /// Four bytes: `fixed32`, `float`.
    Fixed32(u32),
}

/// Walks the fields of a message in the order in which they are written.
///
/// Ends at the first field that is malformed: with bytes that were validated, that is the end of the message.
///
/// ```
/// use spanwire_core::wire::raw::{Fields, Payload};
///
/// let mut fields = Fields::new(b"\x0a\x02hi\x10\x96\x01");
/// assert_eq!(fields.next().unwrap().payload, Payload::Len(b"hi"));
/// let field = fields.next().unwrap();
/// assert_eq!((field.number, field.payload), (2, Payload::Varint(150)));
/// assert_eq!(fields.next(), None);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of this message.
    #[must_use]
    #[inline]
    pub const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The bytes of the fields not yet walked.
    #[must_use]
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    // Inlined, a field stays in registers; returned, it takes six words of memory.
    #[inline(always)]
    fn next(&mut self) -> Option<Field<'a>> {
        let start = self.rest;
        // Whatever goes wrong from here on is the end of the walk.
        self.rest = &[];
        let (tag, rest) = read_tag(start).ok()?;
        let (payload, rest) = match tag & 7 {
            2 => {
                let (payload, rest) = read_len(rest).ok()?;
                (Payload::Len(payload), rest)
            }
            0 => {
                let (value, rest) = read_varint(rest).ok()?;
                (Payload::Varint(value), rest)
            }
            1 => {
                let (payload, rest) = rest.split_first_chunk()?;
                (Payload::Fixed64(u64::from_le_bytes(*payload)), rest)
            }
            5 => {
                let (payload, rest) = rest.split_first_chunk()?;
                (Payload::Fixed32(u32::from_le_bytes(*payload)), rest)
            }
            3 => (Payload::Group, skip(tag, rest, MAX_DEPTH).ok()?),
            _ => return None,
        };
        self.rest = rest;
        Some(Field {
            number: tag >> 3,
            payload,
            record: start.get(..start.len() - rest.len())?,
        })
    }
}

impl core::iter::FusedIterator for Fields<'_> {}

impl WireType {
    /// The wire type of a tag; `None` for 6 and 7.
    #[inline]
    pub(super) const fn of(tag: u32) -> Option<Self> {
        Some(match tag & 7 {
            0 => Self::Varint,
            1 => Self::Fixed64,
            2 => Self::Len,
            3 => Self::StartGroup,
            4 => Self::EndGroup,
            5 => Self::Fixed32,
            _ => return None,
        })
    }
}

/// Reads a tag whose field number is not zero. The wire type may be one that does not exist.
#[inline]
pub(super) fn read_tag(bytes: &[u8]) -> Result<(u32, &[u8]), Fault> {
    match bytes {
        [tag @ 8..=0x7f, rest @ ..] => Ok((u32::from(*tag), rest)),
        _ => long_tag(bytes).split(bytes),
    }
}

#[inline(never)]
fn long_tag(bytes: &[u8]) -> Prefix {
    let prefix = Prefix::read(bytes, u64::from(u32::MAX), Fault::Tag);
    match prefix.fault {
        None if WireType::of(prefix.value).is_none() => Prefix::of(Fault::WireType),
        None if prefix.value >> 3 == 0 => Prefix::of(Fault::FieldNumber),
        _ => prefix,
    }
}

/// Reads a length and as many bytes.
#[inline]
pub(super) fn read_len(bytes: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let (len, rest) = match bytes {
        [len @ 0..=0x7f, rest @ ..] => (usize::from(*len), rest),
        [low, high @ 0..=0x7f, rest @ ..] => {
            (usize::from(*low & 0x7f) | usize::from(*high) << 7, rest)
        }
        _ => {
            let (len, rest) = long_len(bytes).split(bytes)?;
            (usize::try_from(len).map_err(|_| Fault::Length)?, rest)
        }
    };
    rest.split_at_checked(len).ok_or(Fault::Truncated)
}

#[inline(never)]
fn long_len(bytes: &[u8]) -> Prefix {
    Prefix::read(bytes, MAX_LEN as u64, Fault::Length)
}

/// A number of at most five bytes. Small enough to be returned in a register, which keeps the callers' fast paths out
/// of memory.
#[derive(Clone, Copy)]
struct Prefix {
    value: u32,
    len: u8,
    fault: Option<Fault>,
}

impl Prefix {
    const fn of(fault: Fault) -> Self {
        Self {
            value: 0,
            len: 0,
            fault: Some(fault),
        }
    }

    fn read(bytes: &[u8], most: u64, excess: Fault) -> Self {
        let mut value = 0;
        for (byte, len) in bytes.iter().zip(1..=MAX_PREFIX) {
            value |= u64::from(byte & 0x7f) << (7 * (len - 1));
            if *byte < 0x80 {
                return match u32::try_from(value) {
                    Ok(small) if value <= most => Self {
                        value: small,
                        len,
                        fault: None,
                    },
                    _ => Self::of(excess),
                };
            }
        }
        Self::of(if bytes.len() < usize::from(MAX_PREFIX) {
            Fault::Truncated
        } else {
            excess
        })
    }

    #[inline]
    fn split(self, bytes: &[u8]) -> Result<(u32, &[u8]), Fault> {
        match (self.fault, bytes.get(usize::from(self.len)..)) {
            (Some(fault), _) => Err(fault),
            (None, Some(rest)) => Ok((self.value, rest)),
            (None, None) => Err(Fault::Truncated),
        }
    }
}

/// Reads a 64-bit number.
#[inline]
pub(super) fn read_varint(bytes: &[u8]) -> Result<(u64, &[u8]), Fault> {
    match bytes {
        [value @ 0..=0x7f, rest @ ..] => Ok((u64::from(*value), rest)),
        _ => {
            let (value, len) = long_varint(bytes)?;
            Ok((value, bytes.get(len..).ok_or(Fault::Truncated)?))
        }
    }
}

#[inline(never)]
fn long_varint(bytes: &[u8]) -> Result<(u64, usize), Fault> {
    match varint::read(bytes) {
        Some(read) => Ok(read),
        None if bytes.len() < varint::MAX_LEN => Err(Fault::Truncated),
        None => Err(Fault::Varint),
    }
}

/// Reads past a 64-bit number.
#[inline]
pub(super) fn skip_varint(bytes: &[u8]) -> Result<&[u8], Fault> {
    match bytes {
        [0..=0x7f, rest @ ..] => Ok(rest),
        [_, 0..=0x7f, rest @ ..] => Ok(rest),
        _ => {
            let len = match long_varint(bytes) {
                Ok((_, len)) => len,
                Err(fault) => return Err(fault),
            };
            bytes.get(len..).ok_or(Fault::Truncated)
        }
    }
}

/// Skips what follows a tag that nobody knows. `depth` is how many levels may still be entered: each level of groups
/// takes one, and so does the field itself, as prost counts.
pub(super) fn skip(tag: u32, bytes: &[u8], depth: u32) -> Result<&[u8], Fault> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Fault::Depth);
    };
    let skip_bytes = |len| bytes.get(len..).ok_or(Fault::Truncated);
    match WireType::of(tag) {
        Some(WireType::Varint) => skip_varint(bytes),
        Some(WireType::Len) => read_len(bytes).map(|(_, rest)| rest),
        Some(WireType::Fixed64) => skip_bytes(8),
        Some(WireType::Fixed32) => skip_bytes(4),
        Some(WireType::StartGroup) => {
            let mut rest = bytes;
            loop {
                let (inner, after) = read_tag(rest)?;
                if WireType::of(inner) != Some(WireType::EndGroup) {
                    rest = skip(inner, after, depth)?;
                } else if inner >> 3 == tag >> 3 {
                    return Ok(after);
                } else {
                    return Err(Fault::EndGroup);
                }
            }
        }
        Some(WireType::EndGroup) => Err(Fault::EndGroup),
        None => Err(Fault::WireType),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_at_most_five_bytes_and_32_bits() {
        assert_eq!(read_tag(b"\x0a"), Ok((10, &b""[..])));
        assert_eq!(read_tag(b"\x8a\x80\x80\x80\x00!"), Ok((10, &b"!"[..])));
        assert_eq!(
            read_tag(b"\xfd\xff\xff\xff\x0f"),
            Ok((u32::MAX - 2, &b""[..]))
        );
        assert_eq!(read_tag(b"\xfd\xff\xff\xff\x1f"), Err(Fault::Tag));
        assert_eq!(read_tag(b"\x8a\x80\x80\x80\x80\x00"), Err(Fault::Tag));
        assert_eq!(read_tag(b"\x8a\x80"), Err(Fault::Truncated));
        assert_eq!(read_tag(b""), Err(Fault::Truncated));
        assert_eq!(read_tag(b"\x02"), Err(Fault::FieldNumber));
        assert_eq!(read_tag(b"\x82\x00"), Err(Fault::FieldNumber));
        assert_eq!(read_tag(b"\x07"), Err(Fault::WireType));
    }

    #[test]
    fn a_length_has_at_most_five_bytes_and_31_bits() {
        assert_eq!(read_len(b"\x02abc"), Ok((&b"ab"[..], &b"c"[..])));
        for padded in [
            &b"\x82\x00"[..],
            b"\x82\x80\x00",
            b"\x82\x80\x80\x00",
            b"\x82\x80\x80\x80\x00",
        ] {
            let bytes = [padded, b"abc"].concat();
            assert_eq!(read_len(&bytes), Ok((&b"ab"[..], &b"c"[..])));
        }
        assert_eq!(read_len(b"\x82\x80\x80\x80\x80\x00abc"), Err(Fault::Length));
        // 2^32 + 5: on a 32-bit target a careless cast reads 5.
        assert_eq!(
            read_len(b"\x85\x80\x80\x80\x10abcdefgh"),
            Err(Fault::Length)
        );
        assert_eq!(read_len(b"\xff\xff\xff\xff\x07abc"), Err(Fault::Truncated));
        assert_eq!(read_len(b"\x80\x80\x80\x80\x08abc"), Err(Fault::Length));
        assert_eq!(read_len(b"\x03ab"), Err(Fault::Truncated));
        assert_eq!(read_len(b"\x80"), Err(Fault::Truncated));
    }

    #[test]
    fn groups_are_skipped_to_their_own_end() {
        // 3: { 1: 150, 2: { }, 3: "x" }, then 4: 1
        let bytes = b"\x1b\x08\x96\x01\x13\x14\x1a\x01x\x1c\x20\x01";
        let mut fields = Fields::new(bytes);
        let group = fields.next().unwrap();
        assert_eq!(
            (group.number, group.payload, group.record.len()),
            (3, Payload::Group, 10)
        );
        assert_eq!(fields.next().unwrap().payload, Payload::Varint(1));
        assert_eq!(Fields::new(b"\x1b\x24").next(), None);
        assert_eq!(skip(0x1b, b"\x24", 9), Err(Fault::EndGroup));
        assert_eq!(skip(0x1b, b"\x13\x14\x1c", 2), Ok(&b""[..]));
        assert_eq!(skip(0x1b, b"\x13\x14\x1c", 1), Err(Fault::Depth));
    }

    #[test]
    fn a_deep_pile_of_groups_ends_the_walk() {
        let bytes = [0x1b; 100_000];
        assert_eq!(Fields::new(&bytes).next(), None);
    }
}
