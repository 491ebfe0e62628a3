use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use super::chars;
use super::member::{self, MAX_MEMBERS, Members, Seen};
use super::text::{Draft, Text, least};

/// What vendors add to a trace context: an ordered list of at most 32 `key=value` members, newest first.
///
/// The list is kept as header text: up to 30 bytes inside the value (a clone is a plain copy), up to 512 behind a
/// reference count. Without the `alloc` feature 30 bytes are all there is; [`TraceStateRef`] forwards longer lists
/// unchanged. A longer list loses whole members, as W3C Trace Context Level 2, section 3.3.1.5 asks: first those longer
/// than 128 bytes, then others, each time the right-most.
///
/// ```
/// use spanwire_core::context::TraceState;
///
/// let state: TraceState = "a=1,b=2,c=3".parse()?;
/// let state = state.insert("b", "9")?;
/// assert_eq!(state.as_str(), "b=9,a=1,c=3");
/// assert_eq!(state.get("a"), Some("1"));
/// assert_eq!(state.remove("b").as_str(), "a=1,c=3");
/// # Ok::<(), spanwire_core::context::InvalidTraceState>(())
/// ```
#[derive(Clone)]
pub struct TraceState(Text);

impl TraceState {
    /// The list without members.
    pub const EMPTY: Self = Self(Text::EMPTY);

    /// The same, made where it is wanted: a constant would be copied there whole.
    #[inline(always)]
    pub(crate) const fn none() -> Self {
        Self(Text::none())
    }

    /// The most bytes a list keeps: 512, or 30 without the `alloc` feature.
    pub const MAX_LEN: usize = least(512, Text::ROOM);

    /// Reads the value of one `tracestate` header.
    ///
    /// White space around members and empty members are dropped; of members with one key the first stays; a list
    /// longer than [`MAX_LEN`](Self::MAX_LEN) is cut. Allocates only for more than 30 bytes.
    ///
    /// # Errors
    /// A member breaks the grammar, or there are more than 32. A malformed list is to be ignored as a whole.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(text: &T) -> Result<Self, InvalidTraceState> {
        TraceStateRef::parse(text).map(Self::from)
    }

    /// Whether there is no member.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The list as header text: `key=value` joined by commas.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The list as the bytes of its header text. Cheaper than [`as_str`](Self::as_str).
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The same list, borrowed.
    #[inline]
    #[must_use]
    pub fn view(&self) -> TraceStateRef<'_> {
        TraceStateRef {
            text: self.as_str(),
            canonical: true,
        }
    }

    /// The value of the member with this key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        find(self.as_bytes(), key.as_bytes()).and_then(|value| core::str::from_utf8(value).ok())
    }

    /// The members from left to right, which is from newest to oldest.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> TraceStateIter<'_> {
        TraceStateIter {
            rest: self.as_str(),
        }
    }

    /// The list with this member at its left, and no other member of that key.
    ///
    /// The right-most member goes if there would be 33; others go if the list would be longer than
    /// [`MAX_LEN`](Self::MAX_LEN). Allocates only if the result has more than 30 bytes.
    ///
    /// # Errors
    /// The key or the value breaks the grammar, or the member alone is longer than [`MAX_LEN`](Self::MAX_LEN).
    pub fn insert(&self, key: &str, value: &str) -> Result<Self, InvalidTraceState> {
        member::check_key(key.as_bytes())?;
        member::check_value(value.as_bytes())?;
        let len = key.len() + 1 + value.len();
        if len > Self::MAX_LEN {
            return Err(InvalidTraceState::TooLong);
        }
        let kept = self.as_bytes();
        let mut draft = Draft::new(least(len + 1 + kept.len(), Self::MAX_LEN));
        draft.push(key.as_bytes());
        draft.push(b"=");
        draft.push(value.as_bytes());
        // A list of at most 63 bytes has at most 16 members.
        if len + 1 + kept.len() <= least(63, Self::MAX_LEN) {
            for other in split(kept) {
                if !other.is_empty() && member::value_of(other, key.as_bytes()).is_none() {
                    draft.push(b",");
                    draft.push(other);
                }
            }
            return Ok(Self(draft.finish()));
        }
        let mut others = self.others(key.as_bytes());
        others.keep_left(MAX_MEMBERS - 1);
        others.cut_to((Self::MAX_LEN - len).saturating_sub(1));
        for other in others.as_slice() {
            draft.push(b",");
            draft.push(other);
        }
        Ok(Self(draft.finish()))
    }

    /// The list without the member of this key.
    ///
    /// Allocates only if there is such a member and the result has more than 30 bytes.
    #[must_use]
    pub fn remove(&self, key: &str) -> Self {
        if find(self.as_bytes(), key.as_bytes()).is_none() {
            return self.clone();
        }
        Self::from_members(self.others(key.as_bytes()))
    }

    fn others(&self, key: &[u8]) -> Members<'_> {
        let mut others = Members::new();
        others.add_others(self.as_bytes(), key);
        others
    }

    /// Reads the values of several `tracestate` headers as one list.
    pub(crate) fn collect<'c>(
        headers: impl FnOnce(&mut dyn FnMut(&'c [u8])),
    ) -> Result<Self, InvalidTraceState> {
        let mut members = Members::new();
        let mut result = Ok(());
        headers(&mut |list| {
            if result.is_ok() {
                result = members.add_list(list);
            }
        });
        result.map(|()| Self::from_members(members))
    }

    /// The list of these members, cut to what fits.
    fn from_members(mut members: Members<'_>) -> Self {
        members.cut_to(Self::MAX_LEN);
        let mut draft = Draft::new(members.text_len());
        for (at, member) in members.as_slice().iter().enumerate() {
            if at > 0 {
                draft.push(b",");
            }
            draft.push(member);
        }
        Self(draft.finish())
    }
}

/// A checked list of members, borrowed from header text.
///
/// Reading and forwarding it never allocates. Where a key occurs twice, both members stand in the text and
/// [`get`](Self::get) finds the first. W3C Trace Context Level 2, section 3.3.1.
///
/// ```
/// use spanwire_core::context::{InvalidTraceState, TraceStateRef};
///
/// let state = TraceStateRef::parse("ot=th:8 , congo=t61rcWkgMzE")?;
/// assert_eq!(state.get("ot"), Some("th:8"));
/// assert_eq!(state.iter().count(), 2);
/// assert_eq!(TraceStateRef::parse("FOO=1").unwrap_err(), InvalidTraceState::Key);
/// # Ok::<(), InvalidTraceState>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceStateRef<'a> {
    text: &'a str,
    /// Whether the text is what a `TraceState` would hold: no white space, no empty member, each key once.
    canonical: bool,
}

impl<'a> TraceStateRef<'a> {
    /// The list without members.
    pub const EMPTY: Self = TraceStateRef {
        text: "",
        canonical: true,
    };

    /// Checks the value of one `tracestate` header.
    ///
    /// # Errors
    /// A member breaks the grammar, or there are more than 32. A malformed list is to be ignored as a whole.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(text: &'a T) -> Result<Self, InvalidTraceState> {
        let bytes = chars::trim(text.as_ref());
        let mut members = 0;
        let mut canonical_len = 0;
        let mut unique = true;
        let mut seen = Seen::<MAX_MEMBERS>::new();
        member::walk(bytes, |key, each| {
            unique &= !seen.add(key);
            members += 1;
            canonical_len += each.len() + 1;
            if members > MAX_MEMBERS {
                return Err(InvalidTraceState::TooManyMembers);
            }
            Ok(())
        })?;
        // The filter may take a new key for an old one, never the other way round.
        if !unique {
            let mut once = Members::new();
            once.add_list(bytes)?;
            unique = once.as_slice().len() == members;
        }
        // What the walk let through is ASCII.
        let text = core::str::from_utf8(bytes).map_err(|_| InvalidTraceState::Value)?;
        Ok(Self {
            text,
            canonical: unique && canonical_len == bytes.len() + usize::from(members > 0),
        })
    }

    /// Whether there is no member.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// The header text, without white space at its ends.
    #[inline]
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.text
    }

    /// The value of the first member with this key.
    #[must_use]
    pub fn get(self, key: &str) -> Option<&'a str> {
        self.iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// The members from left to right.
    #[inline]
    #[must_use]
    pub const fn iter(self) -> TraceStateIter<'a> {
        TraceStateIter { rest: self.text }
    }
}

impl From<TraceStateRef<'_>> for TraceState {
    /// Copies the list; what is longer than [`TraceState::MAX_LEN`] is cut.
    fn from(state: TraceStateRef<'_>) -> Self {
        if state.canonical
            && state.text.len() <= Self::MAX_LEN
            && let Some(text) = Text::copy_from(state.text)
        {
            return Self(text);
        }
        let mut members = Members::new();
        // The list was checked when the view was made.
        match members.add_list(state.text.as_bytes()) {
            Ok(()) => Self::from_members(members),
            Err(_) => Self::EMPTY,
        }
    }
}

/// The members of a trace state from left to right: `(key, value)`.
#[derive(Clone, Debug)]
pub struct TraceStateIter<'a> {
    rest: &'a str,
}

impl<'a> Iterator for TraceStateIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (member, rest) = self.rest.split_once(',').unwrap_or((self.rest, ""));
            self.rest = rest;
            let member = member.trim_matches([' ', '\t']);
            if !member.is_empty() {
                return member.split_once('=');
            }
        }
        None
    }
}

/// Text that is no trace state, or a member that can't be added to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidTraceState {
    /// A key is empty, is longer than 256 bytes, or has a character that may not stand there.
    Key,
    /// A value is empty, is longer than 256 bytes, ends in a space, or has a character that may not stand there.
    Value,
    /// There are more than 32 members.
    TooManyMembers,
    /// The member alone is longer than [`TraceState::MAX_LEN`].
    TooLong,
}

impl fmt::Display for InvalidTraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "malformed trace state key",
            Self::Value => "malformed trace state value",
            Self::TooManyMembers => "more than 32 trace state members",
            Self::TooLong => "trace state member too long to be kept",
        })
    }
}

impl core::error::Error for InvalidTraceState {}

/// Splits text into members; no text has one, empty, member.
fn split(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b',')
}

fn find<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    split(text).find_map(|member| member::value_of(member, key))
}

impl FromStr for TraceState {
    type Err = InvalidTraceState;

    fn from_str(text: &str) -> Result<Self, InvalidTraceState> {
        Self::parse(text)
    }
}

impl Default for TraceState {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for TraceState {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for TraceState {}

impl Hash for TraceState {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceState({:?})", self.as_str())
    }
}

impl<'a> IntoIterator for &'a TraceState {
    type Item = (&'a str, &'a str);
    type IntoIter = TraceStateIter<'a>;

    fn into_iter(self) -> TraceStateIter<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_state_takes_32_bytes() {
        assert!(size_of::<TraceState>() <= 32);
        assert_eq!(size_of::<Option<TraceState>>(), 32);
    }

    /// Guarantees: 30 bytes stay in place in every tier; more needs an allocator.
    #[test]
    fn thirty_bytes_need_no_allocator() {
        let state = TraceState::parse("ot=th:8,congo=t61rcWkgMzE,aa=1").unwrap();
        assert_eq!(state.as_str().len(), 30);
        assert_eq!(state.get("aa"), Some("1"));
        let state = TraceState::EMPTY.insert("ot", "th:8").unwrap();
        assert_eq!(state.as_str(), "ot=th:8");
        assert_eq!(state.insert("a", "1").unwrap().as_str(), "a=1,ot=th:8");
    }

    #[test]
    fn a_member_of_a_known_key_counts_too() {
        let list = "a=1,".repeat(33);
        assert_eq!(
            TraceState::parse(&list),
            Err(InvalidTraceState::TooManyMembers)
        );
        assert_eq!(
            TraceState::collect(|each| {
                each(&list.as_bytes()[..64]);
                each(&list.as_bytes()[64..]);
            }),
            Err(InvalidTraceState::TooManyMembers)
        );
        assert_eq!(TraceState::parse(&list[..128]).unwrap().as_str(), "a=1");
    }
}
