//! The request: the batch's own bytes, or what was made of them.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use spanwire_core::batch::{Batch, IntoChunks};
use spanwire_core::limiter::{Account, Buffer};

/// The most bytes of a piece of text.
const PIECE: usize = 64 << 10;

/// A request that is sent as the pieces it is made of. The batch is let go of with the body.
pub(super) struct RequestBody {
    pieces: Pieces,
    /// Bytes that have not been taken.
    left: usize,
    /// Told when somebody takes the first byte: from then on the server may have it.
    begun: Arc<AtomicBool>,
}

enum Pieces {
    Batch(IntoChunks),
    Made(std::vec::IntoIter<Bytes>),
}

impl RequestBody {
    pub(super) fn of_batch(batch: Batch, begun: Arc<AtomicBool>) -> Self {
        Self {
            left: batch.encoded_len(),
            pieces: Pieces::Batch(batch.into_chunks()),
            begun,
        }
    }

    pub(super) fn made(pieces: Vec<Bytes>, begun: Arc<AtomicBool>) -> Self {
        Self {
            left: pieces.iter().map(Bytes::len).sum(),
            pieces: Pieces::Made(pieces.into_iter()),
            begun,
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        self.begun.store(true, Ordering::Relaxed);
        let piece = match &mut self.pieces {
            Pieces::Batch(chunks) => chunks.next(),
            Pieces::Made(pieces) => pieces.next(),
        }?;
        self.left = self.left.saturating_sub(piece.len());
        Some(piece)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    /// Exact, so that `content-length` is sent: not every server takes chunks.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

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
    use spanwire_core::batch::{Head, Segment};
    use spanwire_core::clock::Moment;
    use spanwire_core::limiter::{Door, MemoryLimiter};

    use super::*;

    #[test]
    fn the_body_is_the_very_bytes_of_the_batch() {
        let body = Bytes::from_static(&[0x12, 2, 0x12, 0]);
        let head = Head::new(Bytes::from_static(&[0x1a, 1, b'u']));
        let segment = Segment::new(head, body.clone(), 1, Moment::from_nanos(0), Door::Own);
        let batch = Batch::from_iter([segment.clone(), segment]);
        let request = batch.to_vec();
        let begun = Arc::<AtomicBool>::default();
        let mut sent = RequestBody::of_batch(batch, begun.clone());
        assert!(!begun.load(Ordering::Relaxed));
        assert_eq!(sent.size_hint().exact(), Some(request.len() as u64));
        let mut all = Vec::new();
        let mut same = 0;
        while !sent.is_end_stream() {
            let piece = sent.next().unwrap();
            same += usize::from(piece.as_ptr() == body.as_ptr());
            all.extend_from_slice(&piece);
        }
        assert!(begun.load(Ordering::Relaxed));
        assert_eq!((same, all), (2, request), "bodies are sent, not copied");
    }

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
