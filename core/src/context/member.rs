//! Members of a trace state: finding them, and choosing which stay when there is no room for all.

use super::chars;
use super::trace_state::InvalidTraceState;

/// The most members a list may have.
pub(crate) const MAX_MEMBERS: usize = 32;

/// Members longer than this go first when a list is cut.
const LONG: usize = 128;

/// Checks a key: W3C Trace Context Level 2, section 3.3.1.3.1.
pub(crate) fn check_key(key: &[u8]) -> Result<(), InvalidTraceState> {
    match key {
        [first, rest @ ..]
            if rest.len() <= 255
                && chars::is(*first, chars::STATE_KEY_START)
                && chars::all(rest, chars::STATE_KEY) =>
        {
            Ok(())
        }
        _ => Err(InvalidTraceState::Key),
    }
}

/// Checks a value: W3C Trace Context Level 2, section 3.3.1.3.2.
pub(crate) fn check_value(value: &[u8]) -> Result<(), InvalidTraceState> {
    match value {
        [.., last]
            if value.len() <= 256 && *last != b' ' && chars::all(value, chars::STATE_VALUE) =>
        {
            Ok(())
        }
        _ => Err(InvalidTraceState::Value),
    }
}

/// The value of a checked member, if this is its key.
#[inline]
pub(crate) fn value_of<'a>(member: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    member.strip_prefix(key)?.strip_prefix(b"=")
}

/// Calls `each` with the key and the text of every member that is not empty, trimmed and checked.
///
/// Each byte is looked at once.
#[inline]
pub(crate) fn walk<'a>(
    list: &'a [u8],
    mut each: impl FnMut(&'a [u8], &'a [u8]) -> Result<(), InvalidTraceState>,
) -> Result<(), InvalidTraceState> {
    let mut rest = list;
    loop {
        rest = chars::skip(rest, chars::SPACE | chars::COMMA);
        let Some(&first) = rest.first() else {
            return Ok(());
        };
        let key_len = chars::count(rest, chars::STATE_KEY);
        let (key, after) = rest.split_at(key_len);
        let [b'=', after @ ..] = after else {
            return Err(InvalidTraceState::Key);
        };
        if !(1..=256).contains(&key_len) || !chars::is(first, chars::STATE_KEY_START) {
            return Err(InvalidTraceState::Key);
        }
        let (value, after) = after.split_at(chars::count(after, chars::STATE_VALUE));
        let value = chars::skip_end(value, chars::SPACE);
        let after = chars::skip(after, chars::SPACE);
        if !(1..=256).contains(&value.len()) || !matches!(after, [] | [b',', ..]) {
            return Err(InvalidTraceState::Value);
        }
        let (member, _) = rest.split_at(key_len + 1 + value.len());
        each(key, member)?;
        rest = after;
    }
}

/// Tells new keys from those seen before, up to `N` of them, by 32 bits of each.
pub(crate) struct Seen<const N: usize> {
    prints: [u32; N],
    len: usize,
}

impl<const N: usize> Seen<N> {
    pub(crate) const fn new() -> Self {
        Self {
            prints: [0; N],
            len: 0,
        }
    }

    /// Whether the key may have been added before; adds it. Never false for a key that was, unless `N` were.
    #[inline]
    pub(crate) fn add(&mut self, key: &[u8]) -> bool {
        let print = Self::print(key);
        let known = self
            .prints
            .iter()
            .take(self.len)
            .any(|other| *other == print);
        if let Some(slot) = self.prints.get_mut(self.len) {
            *slot = print;
            self.len += 1;
        }
        known
    }

    /// The first and the last four bytes, and the length.
    #[inline]
    fn print(key: &[u8]) -> u32 {
        let short = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
        };
        let head = key
            .first_chunk()
            .map_or_else(|| short(key), |four| u32::from_be_bytes(*four));
        let tail = key.last_chunk().map_or(0, |four| u32::from_be_bytes(*four));
        head ^ tail.rotate_left(13) ^ (key.len() as u32).rotate_left(24)
    }
}

/// Members of a list in order, each key once, borrowed.
pub(crate) struct Members<'a> {
    items: [&'a [u8]; MAX_MEMBERS],
    len: usize,
    /// Members added, those of a known key included.
    added: usize,
    seen: Seen<MAX_MEMBERS>,
}

impl<'a> Members<'a> {
    pub(crate) const fn new() -> Self {
        Self {
            items: [&[]; MAX_MEMBERS],
            len: 0,
            added: 0,
            seen: Seen::new(),
        }
    }

    /// Adds every member of one header value. Of members with one key the first stays.
    ///
    /// # Errors
    /// A member is malformed, or there are more than 32.
    pub(crate) fn add_list(&mut self, list: &'a [u8]) -> Result<(), InvalidTraceState> {
        walk(list, |key, member| self.add(key, member))
    }

    /// Adds a checked member, unless its key is there.
    fn add(&mut self, key: &[u8], member: &'a [u8]) -> Result<(), InvalidTraceState> {
        self.added += 1;
        if self.added > MAX_MEMBERS {
            return Err(InvalidTraceState::TooManyMembers);
        }
        if self.seen.add(key)
            && self
                .as_slice()
                .iter()
                .any(|other| value_of(other, key).is_some())
        {
            return Ok(());
        }
        let slot = self
            .items
            .get_mut(self.len)
            .ok_or(InvalidTraceState::TooManyMembers)?;
        *slot = member;
        self.len += 1;
        Ok(())
    }

    /// Adds the members of kept text but the one with this key.
    pub(crate) fn add_others(&mut self, text: &'a [u8], key: &[u8]) {
        for member in text.split(|&byte| byte == b',') {
            if !member.is_empty()
                && value_of(member, key).is_none()
                && let Some(slot) = self.items.get_mut(self.len)
            {
                *slot = member;
                self.len += 1;
            }
        }
    }

    pub(crate) fn as_slice(&self) -> &[&'a [u8]] {
        self.items.get(..self.len).unwrap_or_default()
    }

    /// Keeps at most `count` members: the left-most.
    pub(crate) fn keep_left(&mut self, count: usize) {
        self.len = self.len.min(count);
    }

    /// Removes whole members until the list has at most `max` bytes: first those longer than 128, then others, each
    /// time the right-most. W3C Trace Context Level 2, section 3.3.1.5.
    pub(crate) fn cut_to(&mut self, max: usize) {
        let mut total = self.text_len();
        while total > max && self.len > 0 {
            let at = self
                .as_slice()
                .iter()
                .rposition(|member| member.len() > LONG)
                .unwrap_or(self.len - 1);
            let Some(tail) = self.items.get_mut(at..self.len) else {
                return;
            };
            tail.rotate_left(1);
            self.len -= 1;
            total = self.text_len();
        }
    }

    /// The bytes of the list, commas included.
    pub(crate) fn text_len(&self) -> usize {
        let members = self.as_slice();
        members.iter().map(|member| member.len()).sum::<usize>() + members.len().saturating_sub(1)
    }
}
