//! A request as a gRPC message, and as the body of a call.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};

/// The method that takes spans.
pub const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What comes before the bytes of a message: whether they are compressed, and how many there are.
#[must_use]
pub fn prefix(compressed: bool, bytes: usize) -> [u8; 5] {
    let [a, b, c, d] = (bytes as u32).to_be_bytes();
    [u8::from(compressed), a, b, c, d]
}

/// The message of these bytes.
#[must_use]
pub fn message(compressed: bool, bytes: &[u8]) -> Bytes {
    [&prefix(compressed, bytes.len()), bytes].concat().into()
}

/// A body that is there as a whole, and does not say how long it is.
#[derive(Debug)]
pub struct Whole(Option<Bytes>);

impl Whole {
    /// Of these bytes.
    #[must_use]
    pub const fn new(bytes: Bytes) -> Self {
        Self(Some(bytes))
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}
