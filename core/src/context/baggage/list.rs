use core::fmt;

use super::value::BaggageValue;
use crate::context::chars;
use crate::context::member::Seen;

/// The most members that are read or kept.
pub(super) const MAX_MEMBERS: usize = 64;

/// The most bytes that are read or kept, over all headers.
pub(super) const MAX_LEN: usize = 8192;

/// Baggage as it stands in one header value, borrowed.
///
/// Nothing is checked beforehand and nothing allocated: members are checked while they are read, and malformed ones
/// skipped. Reading stops after 64 members or 8192 bytes; a member that crosses the limit is left out whole. Where a
/// name occurs twice, both are seen and [`get`](Self::get) takes the last. W3C Baggage, section 3.3.
///
/// ```
/// use spanwire_core::context::BaggageRef;
///
/// let baggage = BaggageRef::new("user=alice;scope=eu , tier=gold");
/// assert!(baggage.get("tier").unwrap() == "gold");
/// let members: Vec<_> = baggage.iter().map(|member| (member.key, member.metadata)).collect();
/// assert_eq!(members, [("user", "scope=eu"), ("tier", "")]);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BaggageRef<'a> {
    text: &'a [u8],
}

impl<'a> BaggageRef<'a> {
    /// The baggage in this header value.
    #[must_use]
    pub fn new<T: AsRef<[u8]> + ?Sized>(text: &'a T) -> Self {
        Self {
            text: text.as_ref(),
        }
    }

    /// The members in order.
    #[must_use]
    pub const fn iter(self) -> BaggageIter<'a> {
        BaggageIter {
            rest: Some(self.text),
            members: MAX_MEMBERS,
            bytes: MAX_LEN,
        }
    }

    /// The value of the last member with this name.
    #[must_use]
    pub fn get(self, key: &str) -> Option<BaggageValue<'a>> {
        self.iter()
            .filter(|member| member.key == key)
            .last()
            .map(|member| member.value)
    }
}

impl fmt::Debug for BaggageRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// One member of baggage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaggageMember<'a> {
    /// The name: an RFC 7230 token, case-sensitive.
    pub key: &'a str,
    /// The value, percent-encoded until it is read.
    pub value: BaggageValue<'a>,
    /// The properties, opaque: what follows the first `;`, or nothing.
    pub metadata: &'a str,
}

impl<'a> BaggageMember<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let text = chars::skip(text, chars::SPACE);
        let (key, rest) = text.split_at(chars::count(text, chars::TOKEN));
        let [b'=', rest @ ..] = chars::skip(rest, chars::SPACE) else {
            return None;
        };
        let rest = chars::skip(rest, chars::SPACE);
        let (value, rest) = rest.split_at(chars::count(rest, chars::BAGGAGE_VALUE));
        let metadata = match chars::skip(rest, chars::SPACE) {
            [] => &[],
            [b';', metadata @ ..] => chars::trim(metadata),
            _ => return None,
        };
        if key.is_empty() || !is_metadata(metadata) {
            return None;
        }
        Some(Self {
            key: core::str::from_utf8(key).ok()?,
            value: BaggageValue(core::str::from_utf8(value).ok()?),
            metadata: core::str::from_utf8(metadata).ok()?,
        })
    }

    /// The bytes the member takes in a header.
    pub(super) const fn encoded_len(&self) -> usize {
        let metadata = match self.metadata.len() {
            0 => 0,
            len => len + 1,
        };
        self.key.len() + 1 + self.value.0.len() + metadata
    }
}

/// A token: RFC 7230, section 3.2.6.
pub(super) fn is_key(key: &[u8]) -> bool {
    !key.is_empty() && chars::all(key, chars::TOKEN)
}

/// Properties: opaque, but of characters that can stand in one member.
pub(super) fn is_metadata(text: &[u8]) -> bool {
    text.iter()
        .all(|&byte| byte == b';' || chars::is(byte, chars::BAGGAGE_VALUE | chars::SPACE))
}

/// The members of baggage in order.
#[derive(Clone, Debug)]
pub struct BaggageIter<'a> {
    rest: Option<&'a [u8]>,
    /// How many may still come.
    members: usize,
    /// How many bytes they may take, the commas between them included.
    bytes: usize,
}

impl<'a> Iterator for BaggageIter<'a> {
    type Item = BaggageMember<'a>;

    fn next(&mut self) -> Option<BaggageMember<'a>> {
        while let Some(text) = self.rest
            && self.members > 0
        {
            // What lies past the limit is not even looked at.
            let near = text.get(..=self.bytes).unwrap_or(text);
            let end = near.iter().position(|&byte| byte == b',');
            let end = match end {
                Some(at) => at,
                None if text.len() <= self.bytes => text.len(),
                None => break,
            };
            self.rest = text.get(end + 1..);
            self.bytes = self.bytes.saturating_sub(end + 1);
            if self.bytes == 0 {
                self.rest = None;
            }
            let member = BaggageMember::parse(text.get(..end).unwrap_or_default());
            if member.is_some() {
                self.members -= 1;
                return member;
            }
        }
        self.rest = None;
        None
    }
}

/// Members of several header values, each name once, in the order in which the names first came.
pub(super) struct Members<'a> {
    items: [Option<BaggageMember<'a>>; MAX_MEMBERS],
    len: usize,
    seen: Seen<MAX_MEMBERS>,
}

impl<'a> Members<'a> {
    pub(super) const fn new() -> Self {
        Self {
            items: [None; MAX_MEMBERS],
            len: 0,
            seen: Seen::new(),
        }
    }

    /// Adds a member; of members with one name the last stays. There is room for all that `walk` gives.
    pub(super) fn add(&mut self, member: BaggageMember<'a>) {
        let known = self.seen.add(member.key.as_bytes());
        let mut slots = self.items.iter_mut().take(self.len).flatten();
        if known && let Some(slot) = slots.find(|slot| slot.key == member.key) {
            *slot = member;
        } else if let Some(slot) = self.items.get_mut(self.len) {
            *slot = Some(member);
            self.len += 1;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = BaggageMember<'a>> {
        self.items.iter().take(self.len).copied().flatten()
    }
}

/// Calls `each` with the members of several header values, within the limits of one list.
pub(super) fn walk<'a>(
    headers: impl FnOnce(&mut dyn FnMut(&'a [u8])),
    each: &mut dyn FnMut(BaggageMember<'a>),
) {
    let mut bytes = MAX_LEN;
    let mut members = MAX_MEMBERS;
    headers(&mut |text| {
        let list = BaggageIter {
            rest: Some(text),
            members,
            bytes,
        };
        for member in list {
            members -= 1;
            each(member);
        }
        bytes = bytes.saturating_sub(text.len() + 1);
    });
}
