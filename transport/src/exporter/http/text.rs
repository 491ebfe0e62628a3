//! A request as text, in memory of the working reserve.

use std::io::{self, Write};

use bytes::Bytes;
use spanwire_core::limiter::{Account, Buffer};

/// The most bytes of a piece of text.
const PIECE: usize = 64 << 10;

/// Takes the text of a request, in pieces that are paid for.
pub(super) struct Text {
    reserve: Account,
    full: Vec<Bytes>,
    open: Option<Buffer>,
}

impl Text {
    pub(super) fn new(reserve: Account) -> Self {
        Self {
            reserve,
            full: Vec::new(),
            open: None,
        }
    }

    pub(super) fn into_pieces(mut self) -> Vec<Bytes> {
        self.full.extend(self.open.take().map(Buffer::freeze));
        self.full
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => {
                let permit = self.reserve.acquire(PIECE).map_err(io::Error::other)?;
                permit.into_buffer()
            }
        };
        let taken = bytes.len().min(open.remaining());
        let fits = open.try_put(bytes.get(..taken).unwrap_or_default());
        debug_assert!(fits, "no more is put in than fits");
        if open.remaining() == 0 {
            self.full.push(open.freeze());
        } else {
            self.open = Some(open);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use spanwire_core::limiter::MemoryLimiter;

    use super::*;

    #[test]
    fn text_is_paid_for_until_it_is_let_go() {
        let limiter = MemoryLimiter::builder(32 << 20).build().unwrap();
        let text: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        let mut out = Text::new(limiter.reserve());
        out.write_all(&text).unwrap();
        let pieces = out.into_pieces();
        assert!(limiter.usage().reserve.in_use >= text.len());
        assert_eq!(pieces.concat(), text);
        drop(pieces);
        assert_eq!(limiter.usage().in_use, 0);
    }
}
