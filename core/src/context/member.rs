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

/// Splits a member at its first `=`.
#[inline]
pub(crate) fn split(member: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = member.iter().position(|&byte| byte == b'=')?;
    Some((member.get(..at)?, member.get(at + 1..)?))
}

/// The key of a member.
#[inline]
pub(crate) fn key(member: &[u8]) -> &[u8] {
    split(member).map_or(member, |(key, _)| key)
}

/// Calls `each` with every member that is not empty, trimmed and checked.
pub(crate) fn walk<'a>(
    list: &'a [u8],
    mut each: impl FnMut(&'a [u8]) -> Result<(), InvalidTraceState>,
) -> Result<(), InvalidTraceState> {
    for member in list.split(|&byte| byte == b',') {
        let member = chars::trim(member);
        if member.is_empty() {
            continue;
        }
        let (key, value) = split(member).ok_or(InvalidTraceState::Key)?;
        check_key(key)?;
        check_value(value)?;
        each(member)?;
    }
    Ok(())
}

/// A small filter that tells most new keys from those seen before.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen(u64);

impl Seen {
    pub(crate) const NONE: Self = Self(0);

    /// Whether the key may have been added before; adds it.
    #[inline]
    pub(crate) fn add(&mut self, key: &[u8]) -> bool {
        let first = key.first().copied().unwrap_or_default();
        let last = key.last().copied().unwrap_or_default();
        let mark = usize::from(first)
            .wrapping_mul(31)
            .wrapping_add(usize::from(last).wrapping_mul(7))
            .wrapping_add(key.len());
        let bit = 1 << (mark % 64);
        let seen = self.0 & bit != 0;
        self.0 |= bit;
        seen
    }
}

/// Members of a list in order, each key once, borrowed.
pub(crate) struct Members<'a> {
    items: [&'a [u8]; MAX_MEMBERS],
    len: usize,
    /// Members added, those of a known key included.
    added: usize,
    seen: Seen,
}

impl<'a> Members<'a> {
    pub(crate) const fn new() -> Self {
        Self {
            items: [&[]; MAX_MEMBERS],
            len: 0,
            added: 0,
            seen: Seen::NONE,
        }
    }

    /// Adds every member of one header value. Of members with one key the first stays.
    ///
    /// # Errors
    /// A member is malformed, or there are more than 32.
    pub(crate) fn add_list(&mut self, list: &'a [u8]) -> Result<(), InvalidTraceState> {
        walk(list, |member| self.add(member))
    }

    /// Adds a checked member, unless its key is there.
    pub(crate) fn add(&mut self, member: &'a [u8]) -> Result<(), InvalidTraceState> {
        self.added += 1;
        if self.added > MAX_MEMBERS {
            return Err(InvalidTraceState::TooManyMembers);
        }
        let name = key(member);
        if self.seen.add(name) && self.as_slice().iter().any(|other| key(other) == name) {
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
