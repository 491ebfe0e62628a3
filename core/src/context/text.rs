//! Where the text of a trace state lives.

#[cfg(not(feature = "alloc"))]
pub(crate) use inline::Inline as Text;
#[cfg(feature = "alloc")]
pub(crate) use shared::Text;

/// The longest text kept inside the value.
pub(crate) const INLINE: usize = 30;

mod inline {
    use super::INLINE;

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

        /// The longest text.
        #[cfg(not(feature = "alloc"))]
        pub(crate) const MAX: usize = INLINE;

        /// The text, if it has at most 30 bytes.
        #[inline]
        pub(crate) fn copy_from(text: &str) -> Option<Self> {
            let mut this = Self::EMPTY;
            this.bytes
                .get_mut(..text.len())?
                .copy_from_slice(text.as_bytes());
            this.len = u8::try_from(text.len()).ok()?;
            Some(this)
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
}

#[cfg(feature = "alloc")]
mod shared {
    use alloc::sync::Arc;

    use super::inline::Inline;

    /// Up to 30 bytes in place, up to 512 behind a reference count.
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
        pub(crate) const MAX: usize = 512;

        /// The text, if it has at most 512 bytes. Allocates if it has more than 30.
        #[inline]
        pub(crate) fn copy_from(text: &str) -> Option<Self> {
            match Inline::copy_from(text) {
                Some(inline) => Some(Self::Inline(inline)),
                None if text.len() <= Self::MAX => Some(Self::Shared(text.into())),
                None => None,
            }
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
}
