//! A request: the batch's own bytes, or what was made of them.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use spanwire_core::batch::{Batch, IntoChunks};

/// A request that is sent as the pieces it is made of. The batch is let go of with the body.
pub(super) struct RequestBody {
    /// What stands in front of a gRPC message.
    prefix: Option<Bytes>,
    framed: bool,
    pieces: Pieces,
    /// Bytes of the message that have not been taken.
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
        let left = batch.encoded_len();
        Self::of(Pieces::Batch(batch.into_chunks()), left, begun)
    }

    pub(super) fn made(pieces: Vec<Bytes>, begun: Arc<AtomicBool>) -> Self {
        let left = pieces.iter().map(Bytes::len).sum();
        Self::of(Pieces::Made(pieces.into_iter()), left, begun)
    }

    const fn of(pieces: Pieces, left: usize, begun: Arc<AtomicBool>) -> Self {
        Self {
            prefix: None,
            framed: false,
            pieces,
            left,
            begun,
        }
    }

    /// The same as a gRPC message, with `prefix` in front, which is the one of a message of this length.
    #[cfg(feature = "grpc")]
    pub(super) fn framed(self, prefix: [u8; 5]) -> Self {
        Self {
            prefix: Some(Bytes::copy_from_slice(&prefix)),
            framed: true,
            ..self
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        self.begun.store(true, Ordering::Relaxed);
        if let Some(prefix) = self.prefix.take() {
            return Some(prefix);
        }
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

    /// Known before the last piece is asked for, so that the end of the stream travels with it.
    fn is_end_stream(&self) -> bool {
        self.prefix.is_none() && self.left == 0
    }

    /// Over HTTP/1.1 exact, so that `content-length` is sent: not every server takes chunks. A gRPC message says its length
    /// itself.
    fn size_hint(&self) -> SizeHint {
        match self.framed {
            false => SizeHint::with_exact(self.left as u64),
            true => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use spanwire_core::batch::{Head, Segment};
    use spanwire_core::clock::Moment;
    use spanwire_core::limiter::Door;

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

    #[cfg(feature = "grpc")]
    #[test]
    fn the_body_is_the_prefix_and_the_very_bytes_of_the_batch() {
        let body = Bytes::from_static(&[0x12, 2, 0x12, 0]);
        let head = Head::new(Bytes::from_static(&[0x1a, 1, b'u']));
        let segment = Segment::new(head, body.clone(), 1, Moment::from_nanos(0), Door::Own);
        let batch = Batch::from_iter([segment.clone(), segment]);
        let request = batch.to_vec();
        let begun = Arc::<AtomicBool>::default();
        let prefix = crate::otlp::frame_prefix(batch.encoded_len(), false).unwrap();
        let mut sent = RequestBody::of_batch(batch, begun.clone()).framed(prefix);
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
