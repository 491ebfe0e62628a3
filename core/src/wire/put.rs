//! Where encoded bytes go.

/// Takes bytes that were measured beforehand.
pub trait Put {
    /// Takes these bytes, after those taken before.
    fn put(&mut self, bytes: &[u8]);

    /// Takes one byte.
    #[inline]
    fn put_byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }
}

#[cfg(feature = "alloc")]
impl Put for alloc::vec::Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Writes into a fixed buffer. What does not fit is not written, and remembered.
///
/// ```
/// use spanwire_core::wire::encode::{Put, Writer};
///
/// let mut buffer = [0; 4];
/// let mut writer = Writer::new(&mut buffer);
/// writer.put(b"abc");
/// assert_eq!(writer.finish(), Some(3));
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    /// Starts at the first byte of `out`.
    #[inline]
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0 }
    }

    /// The room that is left; none when something did not fit.
    pub(crate) fn rest(self) -> &'a mut [u8] {
        self.out.get_mut(self.at..).unwrap_or_default()
    }

    /// The bytes written, or `None` when something did not fit.
    #[must_use]
    #[inline]
    pub fn finish(self) -> Option<usize> {
        (self.at <= self.out.len()).then_some(self.at)
    }
}

impl Put for Writer<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let end = self.at.saturating_add(bytes.len());
        match self.out.get_mut(self.at..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.at = end;
            }
            None => self.at = usize::MAX,
        }
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) {
        match self.out.get_mut(self.at) {
            Some(room) => {
                *room = byte;
                self.at += 1;
            }
            None => self.at = usize::MAX,
        }
    }
}
