//! Fields of a message, one after another.

use crate::wire::field::{self, WireType};
use crate::wire::varint;

/// One field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Its tag: number and wire type.
    pub(crate) tag: u32,
    /// Its bytes, tag included.
    pub(crate) raw: &'a [u8],
    /// Its payload: what follows the tag, and the length if there is one.
    pub(crate) payload: &'a [u8],
}

impl Field<'_> {
    pub(crate) fn is(&self, number: u32, wire_type: WireType) -> bool {
        self.tag == field::tag(number, wire_type)
    }
}

/// The fields of a message. Ends early where the bytes are not well-formed.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self(message)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let bytes = self.0;
        if bytes.is_empty() {
            return None;
        }
        let (tag, from, to) = extent(bytes)?;
        let (raw, rest) = bytes.split_at_checked(to)?;
        self.0 = rest;
        Some(Field {
            tag,
            raw,
            payload: raw.get(from..)?,
        })
    }
}

/// The tag of the first field, and where its payload starts and ends. The payload of a group includes its end tag.
fn extent(bytes: &[u8]) -> Option<(u32, usize, usize)> {
    let (tag, from, to) = plain_extent(bytes)?;
    if tag & 7 != WireType::StartGroup as u32 {
        return (tag & 7 != WireType::EndGroup as u32).then_some((tag, from, to));
    }
    // Groups nest; counting them takes no stack.
    let (mut depth, mut at) = (1_usize, from);
    while depth > 0 {
        let (inner, _, end) = plain_extent(bytes.get(at..)?)?;
        at += end;
        match inner & 7 {
            3 => depth += 1,
            4 => depth -= 1,
            _ => {}
        }
    }
    Some((tag, from, at))
}

/// As [`extent`], with the tags of a group as fields without payload.
fn plain_extent(bytes: &[u8]) -> Option<(u32, usize, usize)> {
    let (tag, from) = varint::read(bytes)?;
    let tag = u32::try_from(tag).ok()?;
    let rest = bytes.get(from..)?;
    let (from, to) = match tag & 7 {
        0 => (from, from + varint::read(rest)?.1),
        1 => (from, from + 8),
        2 => {
            let (len, len_len) = varint::read(rest)?;
            let from = from + len_len;
            (from, from.checked_add(usize::try_from(len).ok()?)?)
        }
        3 | 4 => (from, from),
        5 => (from, from + 4),
        _ => return None,
    };
    (to <= bytes.len()).then_some((tag, from, to))
}
