//! Fields of a body that were replaced, and are left out at the end of the span.

use crate::wire::encode::{Put, Writer};

/// The first byte of a field that was replaced: no tag.
pub(super) const GONE: u8 = 0;

/// Copies fields that come in pieces, and leaves out those that are gone.
#[derive(Default)]
pub(super) struct Skip {
    /// Bytes left of the present field's payload.
    payload: usize,
    /// The length of the next payload, while it is being read, and how many bytes of it are.
    length: usize,
    read: u32,
    /// The present field's first byte; `None` before it.
    tag: Option<u8>,
}

impl Skip {
    pub(super) fn copy(&mut self, mut piece: &[u8], out: &mut Writer<'_>) {
        while let Some((first, rest)) = piece.split_first() {
            let Some(tag) = self.tag else {
                self.tag = Some(*first);
                if *first != GONE {
                    out.put_byte(*first);
                }
                piece = rest;
                continue;
            };
            if self.payload == 0 {
                self.length |= usize::from(first & 0x7f) << (7 * self.read);
                self.read += 1;
                if tag != GONE {
                    out.put_byte(*first);
                }
                if *first < 0x80 {
                    self.payload = self.length;
                    self.length = 0;
                    self.read = 0;
                    if self.payload == 0 {
                        self.tag = None;
                    }
                }
                piece = rest;
                continue;
            }
            let (now, later) = piece.split_at(self.payload.min(piece.len()));
            if tag != GONE {
                out.put(now);
            }
            self.payload -= now.len();
            if self.payload == 0 {
                self.tag = None;
            }
            piece = later;
        }
    }
}
