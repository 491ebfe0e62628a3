use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::inline::Inline;

/// Up to 30 bytes in place, more behind a reference count.
///
/// `Arc<str>` and not `Bytes`: two words leave room for 30 bytes in 32, and the text stays known to be UTF-8.
pub(crate) enum Text {
    /// Of its own, so that the usual text is copied by one byte.
    Empty,
    /// Never empty.
    Inline(Inline),
    Shared(Arc<str>),
}

impl Clone for Text {
    #[inline(always)]
    fn clone(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            _ => self.clone_content(),
        }
    }
}

impl Text {
    pub(crate) const EMPTY: Self = Self::Empty;

    /// The same, made where it is wanted: a constant is copied there whole.
    #[inline(always)]
    pub(crate) const fn none() -> Self {
        Self::Empty
    }

    #[inline(never)]
    fn clone_content(&self) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Inline(inline) => Self::Inline(*inline),
            Self::Shared(text) => Self::Shared(text.clone()),
        }
    }

    /// The text in place.
    #[inline]
    const fn inline(inline: Inline) -> Self {
        if inline.is_empty() {
            Self::Empty
        } else {
            Self::Inline(inline)
        }
    }

    /// The longest text.
    pub(crate) const ROOM: usize = usize::MAX;

    /// The text: there is always room. Allocates if it has more than 30 bytes.
    #[inline]
    pub(crate) fn copy_from(text: &str) -> Option<Self> {
        Some(match Inline::copy_from(text) {
            Some(inline) => Self::inline(inline),
            None => Self::Shared(text.into()),
        })
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Inline(inline) => inline.as_bytes(),
            Self::Shared(text) => text.as_bytes(),
        }
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Empty => "",
            Self::Inline(inline) => inline.as_str(),
            Self::Shared(text) => text,
        }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

/// A text being put together: in place as long as it fits.
pub(crate) struct Draft {
    start: Inline,
    /// All of the text once it is longer than `start` has room for, otherwise nothing.
    long: Vec<u8>,
    /// How long it will be, or a guess.
    expected: usize,
}

impl Draft {
    /// A text that will have about this many bytes.
    pub(crate) const fn new(expected: usize) -> Self {
        Self {
            start: Inline::EMPTY,
            long: Vec::new(),
            expected,
        }
    }

    /// Appends a part; always true, since there is an allocator.
    #[inline]
    pub(crate) fn push(&mut self, part: &[u8]) -> bool {
        if self.long.is_empty() {
            if self.start.push(part) {
                return true;
            }
            self.long.reserve_exact(self.expected);
            self.long.extend_from_slice(self.start.as_bytes());
        }
        self.long.extend_from_slice(part);
        true
    }

    /// What was appended.
    #[inline]
    pub(crate) fn finish(self) -> Text {
        if self.long.is_empty() {
            return Text::inline(self.start);
        }
        // Parts are UTF-8: header text that was checked, or made here.
        Text::Shared(String::from_utf8(self.long).unwrap_or_default().into())
    }
}
