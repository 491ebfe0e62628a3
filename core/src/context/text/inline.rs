/// The longest text kept in place: with its length and the tag of `Text` it fills 32 bytes.
pub(crate) const INLINE: usize = 30;

/// Up to 30 bytes of text, in place.
#[derive(Clone, Copy)]
pub(crate) struct Inline {
    len: u8,
    bytes: [u8; INLINE],
}

impl Inline {
    pub(crate) const EMPTY: Self = Self {
        len: 0,
        bytes: [0; INLINE],
    };

    /// The same, made where it is wanted: a constant would be copied there whole.
    #[cfg(not(feature = "alloc"))]
    #[inline(always)]
    pub(crate) const fn none() -> Self {
        Self::EMPTY
    }

    /// The longest text.
    #[cfg(not(feature = "alloc"))]
    pub(crate) const ROOM: usize = INLINE;

    /// The text, if there is room for it.
    #[inline]
    pub(crate) fn copy_from(text: &str) -> Option<Self> {
        let mut this = Self::EMPTY;
        this.push(text.as_bytes()).then_some(this)
    }

    /// Appends a part; false, and nothing appended, if there is no room for it.
    #[inline]
    pub(crate) fn push(&mut self, part: &[u8]) -> bool {
        let start = usize::from(self.len);
        let end = start + part.len();
        match self.bytes.get_mut(start..end) {
            Some(room) => {
                room.copy_from_slice(part);
                // At most 30.
                self.len = end as u8;
                true
            }
            None => false,
        }
    }

    /// A text to be appended to.
    #[cfg(not(feature = "alloc"))]
    pub(crate) const fn new(_expected: usize) -> Self {
        Self::EMPTY
    }

    /// What was appended.
    #[cfg(not(feature = "alloc"))]
    pub(crate) const fn finish(self) -> Self {
        self
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }
}
