//! Where a field of a live span is written: one piece of a page, or pages.

use super::told::Notes;
use crate::ring::BodyWriter;
use crate::wire::encode::{Put, Writer};

/// Either one piece of a page, or pages.
pub(super) enum AnyPut<'w, 'b> {
    Piece(Writer<'w>),
    Pages(&'w mut BodyWriter<'b, Notes>),
}

impl AnyPut<'_, '_> {
    /// The bytes written into a piece, if they fit it.
    #[inline]
    pub(super) fn finish(self) -> Option<usize> {
        match self {
            Self::Piece(out) => out.finish(),
            Self::Pages(_) => None,
        }
    }
}

impl Put for AnyPut<'_, '_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        match self {
            Self::Piece(out) => out.put(bytes),
            Self::Pages(out) => out.put(bytes),
        }
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) {
        match self {
            Self::Piece(out) => out.put_byte(byte),
            Self::Pages(out) => out.put_byte(byte),
        }
    }
}
