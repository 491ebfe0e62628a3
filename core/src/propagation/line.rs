//! Room for one header value or name on the stack.

use super::hex;

/// A text of at most `N` bytes, put together from parts of ASCII.
pub(super) struct Line<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Line<N> {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    /// Appends a part; false, and nothing appended, if there is no room for it.
    #[inline]
    pub(super) fn push(&mut self, part: &[u8]) -> bool {
        let end = self.len + part.len();
        match self.bytes.get_mut(self.len..end) {
            Some(room) => {
                room.copy_from_slice(part);
                self.len = end;
                true
            }
            None => false,
        }
    }

    /// Appends two digits for each byte.
    #[inline]
    pub(super) fn push_hex(&mut self, bytes: &[u8]) -> bool {
        let end = self.len + 2 * bytes.len();
        let Some(room) = self.bytes.get_mut(self.len..end) else {
            return false;
        };
        for (pair, &byte) in room.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            *pair = hex::pair(byte);
        }
        self.len = end;
        true
    }

    #[inline]
    pub(super) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}
