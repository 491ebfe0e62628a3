//! A request: the batch's own bytes, or what was made of them.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use spanwire_core::batch::{Batch, IntoChunks};

/// The most pieces of one frame: with what HTTP puts before it, they leave in one system call.
const MOST_PIECES: usize = 60;

/// A frame of so many bytes is not made longer. What costs is the number of system calls; but a server that takes frames of
/// any length keeps each whole, and is slower with those for which its allocator asks the system every time.
const ENOUGH: usize = 96 << 10;

/// Shorter pieces are copied together: each would cost more as a part of a system call of its own.
const SHORT: usize = 256;

/// The most bytes that are copied together.
const MOST_SHORT: usize = 16 << 10;

/// Some pieces of a request, sent as one frame and never copied into one.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    left: usize,
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        self.left += piece.len();
        self.pieces.push_back(piece);
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.left
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, to: &mut [IoSlice<'a>]) -> usize {
        let both = to.iter_mut().zip(&self.pieces);
        both.map(|(to, piece)| *to = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.left, "no more is taken than there is");
        self.left -= count;
        let mut count = count;
        while let Some(piece) = self.pieces.front_mut() {
            if count < piece.len() {
                return piece.advance(count);
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
    }
}

/// A request that is sent as the pieces it is made of. The batch is let go of with the body and its last frame.
pub(super) struct RequestBody {
    /// What stands in front of a gRPC message.
    prefix: Option<Bytes>,
    framed: bool,
    source: Source,
    /// Bytes of the message that have not been taken.
    left: usize,
    /// Told when somebody takes the first byte: from then on the server may have it.
    begun: Arc<AtomicBool>,
}

enum Source {
    Batch(IntoChunks),
    Made(std::vec::IntoIter<Bytes>),
}

impl RequestBody {
    pub(super) fn of_batch(batch: Batch, begun: Arc<AtomicBool>) -> Self {
        let left = batch.encoded_len();
        Self::of(Source::Batch(batch.into_chunks()), left, begun)
    }

    pub(super) fn made(pieces: Vec<Bytes>, begun: Arc<AtomicBool>) -> Self {
        let left = pieces.iter().map(Bytes::len).sum();
        Self::of(Source::Made(pieces.into_iter()), left, begun)
    }

    const fn of(source: Source, left: usize, begun: Arc<AtomicBool>) -> Self {
        Self {
            prefix: None,
            framed: false,
            source,
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

    fn next_piece(&mut self) -> Option<Bytes> {
        if let Some(prefix) = self.prefix.take() {
            return Some(prefix);
        }
        let piece = match &mut self.source {
            Source::Batch(chunks) => chunks.next(),
            Source::Made(pieces) => pieces.next(),
        }?;
        self.left = self.left.saturating_sub(piece.len());
        Some(piece)
    }

    /// The next frame.
    fn next(&mut self) -> Option<Pieces> {
        self.begun.store(true, Ordering::Relaxed);
        let mut frame = Pieces::default();
        let mut short = Vec::new();
        let has_room = |frame: &Pieces, short: &Vec<u8>| {
            frame.pieces.len() + 1 < MOST_PIECES && frame.left < ENOUGH && short.len() < MOST_SHORT
        };
        while has_room(&frame, &short) {
            match self.next_piece() {
                Some(piece) if piece.len() < SHORT => short.extend_from_slice(&piece),
                Some(piece) => {
                    if !short.is_empty() {
                        frame.push(core::mem::take(&mut short).into());
                    }
                    frame.push(piece);
                }
                None => break,
            }
        }
        if !short.is_empty() {
            frame.push(short.into());
        }
        (frame.left > 0).then_some(frame)
    }
}

impl Body for RequestBody {
    type Data = Pieces;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Pieces>, Infallible>>> {
        Poll::Ready(self.next().map(|frame| Ok(Frame::data(frame))))
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

    /// A segment of one span, of so many bytes.
    fn segment(len: usize) -> Segment {
        let name = vec![b'x'; len];
        let mut body = Vec::new();
        for tag in [0x2a, 0x12, 0x12] {
            let inside = match body.is_empty() {
                true => name.clone(),
                false => core::mem::take(&mut body),
            };
            body.push(tag);
            let mut left = inside.len();
            while left > 127 {
                body.push(left as u8 | 128);
                left >>= 7;
            }
            body.push(left as u8);
            body.extend(inside);
        }
        let head = Head::new(Bytes::from_static(&[0x1a, 1, b'u']));
        Segment::new(head, body.into(), 1, Moment::from_nanos(0), Door::Own)
    }

    /// All frames of a body: each as the lengths of its pieces, and all bytes.
    fn sent(body: &mut RequestBody, looks: impl Fn(&Bytes)) -> (Vec<Vec<usize>>, Vec<u8>) {
        let (mut frames, mut all) = (Vec::new(), Vec::new());
        while !body.is_end_stream() {
            let mut frame = body.next().unwrap();
            frame.pieces.iter().for_each(&looks);
            frames.push(frame.pieces.iter().map(Bytes::len).collect());
            let mut slices = [IoSlice::new(&[]); 64];
            let count = frame.chunks_vectored(&mut slices);
            let at_once: usize = slices[..count].iter().map(|slice| slice.len()).sum();
            assert_eq!(at_once, frame.remaining(), "one system call");
            // In steps that end where no piece ends.
            while frame.has_remaining() {
                let step = frame.remaining().min(777);
                let mut taken = vec![0; step];
                frame.copy_to_slice(&mut taken);
                all.extend(taken);
            }
        }
        assert!(body.next().is_none());
        (frames, all)
    }

    #[test]
    fn the_body_is_the_very_bytes_of_the_batch_in_one_frame() {
        let batch = Batch::from_iter([segment(1000), segment(2000)]);
        let bodies: Vec<_> = batch
            .segments()
            .iter()
            .flat_map(Segment::body_parts)
            .collect();
        let places: Vec<_> = bodies.iter().map(|body| body.as_ptr()).collect();
        let request = batch.to_vec();
        let begun = Arc::<AtomicBool>::default();
        let mut body = RequestBody::of_batch(batch.clone(), begun.clone());
        assert!(!begun.load(Ordering::Relaxed));
        assert_eq!(body.size_hint().exact(), Some(request.len() as u64));
        let same = core::cell::Cell::new(0);
        let looks = |piece: &Bytes| {
            same.set(same.get() + usize::from(places.contains(&piece.as_ptr())));
        };
        let (frames, all) = sent(&mut body, looks);
        assert!(begun.load(Ordering::Relaxed));
        assert_eq!(
            (same.get(), all),
            (2, request),
            "bodies are sent, not copied"
        );
        assert_eq!(
            frames,
            [[6, 1009, 2009]],
            "tag, length and head are one piece"
        );
    }

    #[test]
    fn short_pieces_leave_together_and_many_long_ones_in_turn() {
        let short = Batch::from_iter((0..400).map(|_| segment(90)));
        let request = short.to_vec();
        let mut body = RequestBody::of_batch(short, Arc::default());
        let (frames, all) = sent(&mut body, |_| {});
        assert_eq!(all, request);
        assert!(frames.iter().flatten().count() <= 1 + request.len() / MOST_SHORT);
        let long = Batch::from_iter((0..200).map(|_| segment(300)));
        let request = long.to_vec();
        let mut body = RequestBody::of_batch(long, Arc::default());
        let (frames, all) = sent(&mut body, |_| {});
        assert_eq!(all, request);
        assert!(frames.iter().all(|frame| frame.len() <= MOST_PIECES));
        assert_eq!(frames.len(), 201_usize.div_ceil(MOST_PIECES - 1));
    }

    #[cfg(feature = "grpc")]
    #[test]
    fn a_grpc_message_has_its_prefix_in_front() {
        let batch = Batch::from_iter([segment(1000)]);
        let request = batch.to_vec();
        let prefix = crate::otlp::frame_prefix(batch.encoded_len(), false).unwrap();
        let mut body = RequestBody::of_batch(batch, Arc::default()).framed(prefix);
        let (frames, all) = sent(&mut body, |_| {});
        assert_eq!(all[..5], prefix);
        assert_eq!(all[5..], request);
        assert_eq!(frames.len(), 1);
        let nothing = crate::otlp::frame_prefix(0, false).unwrap();
        let mut body = RequestBody::of_batch(Batch::new(), Arc::default()).framed(nothing);
        assert!(!body.is_end_stream());
        assert_eq!(sent(&mut body, |_| {}).1, nothing);
    }
}
