use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::inline::Inline;

/// Up to 30 bytes in place, more behind a reference count.
///
/// `Arc<str>` and not `Bytes`: two words leave room for 30 bytes in 32, and the text stays known to be UTF-8.
#[derive(Clone)]
pub(crate) enum Text {
    Inline(Inline),
    Shared(Arc<str>),
}

impl Text {
    pub(crate) const EMPTY: Self = Self::Inline(Inline::EMPTY);

    /// The longest text.
    pub(crate) const ROOM: usize = usize::MAX;

    /// The text: there is always room. Allocates if it has more than 30 bytes.
    #[inline]
    pub(crate) fn copy_from(text: &str) -> Option<Self> {
        Some(match Inline::copy_from(text) {
            Some(inline) => Self::Inline(inline),
            None => Self::Shared(text.into()),
        })
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline(inline) => inline.as_bytes(),
            Self::Shared(text) => text.as_bytes(),
        }
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Inline(inline) => inline.as_str(),
            Self::Shared(text) => text,
        }
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        matches!(self, Self::Inline(inline) if inline.is_empty())
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
            return Text::Inline(self.start);
        }
        // Parts are UTF-8: header text that was checked, or made here.
        Text::Shared(String::from_utf8(self.long).unwrap_or_default().into())
    }
}
