//! The request: five bytes, and the batch's own.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body::{Body, Frame};
use spanwire_core::batch::{Batch, IntoChunks};

/// A gRPC message that is sent as the pieces it is made of. The batch is let go of with the body.
pub(super) struct RequestBody {
    prefix: Option<Bytes>,
    pieces: Pieces,
    /// Bytes of the message that have not been taken.
    left: usize,
    /// Told when somebody takes the first byte: from then on the server may have it.
    begun: Arc<AtomicBool>,
}

enum Pieces {
    Batch(IntoChunks),
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    Compressed(std::vec::IntoIter<Bytes>),
}

impl RequestBody {
    /// `prefix` is the one of a message of `batch.encoded_len()` bytes.
    pub(super) fn new(prefix: [u8; 5], batch: Batch, begun: Arc<AtomicBool>) -> Self {
        Self {
            prefix: Some(Bytes::copy_from_slice(&prefix)),
            left: batch.encoded_len(),
            pieces: Pieces::Batch(batch.into_chunks()),
            begun,
        }
    }

    /// `prefix` is the one of a message of all the bytes of `pieces`.
    #[cfg(any(feature = "gzip", feature = "zstd"))]
    pub(super) fn compressed(prefix: [u8; 5], pieces: Vec<Bytes>, begun: Arc<AtomicBool>) -> Self {
        Self {
            prefix: Some(Bytes::copy_from_slice(&prefix)),
            left: pieces.iter().map(Bytes::len).sum(),
            pieces: Pieces::Compressed(pieces.into_iter()),
            begun,
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        if let Some(prefix) = self.prefix.take() {
            self.begun.store(true, Ordering::Relaxed);
            return Some(prefix);
        }
        let piece = match &mut self.pieces {
            Pieces::Batch(chunks) => chunks.next(),
            #[cfg(any(feature = "gzip", feature = "zstd"))]
            Pieces::Compressed(pieces) => pieces.next(),
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

    /// Known before the last piece is asked for, so that the end of the stream travels with it.
    fn is_end_stream(&self) -> bool {
        self.prefix.is_none() && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use spanwire_core::batch::{Head, Segment};
    use spanwire_core::clock::Moment;
    use spanwire_core::limiter::Door;

    use super::*;
    use crate::otlp::frame_prefix;

    #[test]
    fn the_body_is_the_prefix_and_the_very_bytes_of_the_batch() {
        let body = Bytes::from_static(&[0x12, 2, 0x12, 0]);
        let head = Head::new(Bytes::from_static(&[0x1a, 1, b'u']));
        let segment = Segment::new(head, body.clone(), 1, Moment::from_nanos(0), Door::Own);
        let batch = Batch::from_iter([segment.clone(), segment]);
        let request = batch.to_vec();
        let begun = Arc::<AtomicBool>::default();
        let prefix = frame_prefix(batch.encoded_len(), false).unwrap();
        let mut sent = RequestBody::new(prefix, batch, begun.clone());
        assert!(!begun.load(Ordering::Relaxed) && !sent.is_end_stream());
        let mut all = Vec::new();
        let mut same = 0;
        while !sent.is_end_stream() {
            let piece = sent.next().unwrap();
            same += usize::from(piece.as_ptr() == body.as_ptr());
            all.extend_from_slice(&piece);
        }
        assert_eq!(sent.next(), None);
        assert!(begun.load(Ordering::Relaxed));
        assert_eq!(same, 2, "bodies are sent, not copied");
        assert_eq!(&all[..5], &prefix);
        assert_eq!(&all[5..], &request);
    }
}
