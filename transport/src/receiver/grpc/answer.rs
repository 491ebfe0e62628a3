//! What a client is told.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};

use crate::otlp::{printable, refusal};
use crate::receiver::inflate::Coding;
use crate::receiver::request::Refusal;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const APPLICATION_GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// An `ExportTraceServiceResponse` that says nothing, which means that all was taken; framed.
const TAKEN: &[u8] = &[0; 5];

/// The body of an answer: a message and its trailers, or nothing.
pub(super) struct Answer(Stage);

enum Stage {
    Message,
    Trailers,
    Done,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (frame, next) = match self.0 {
            Stage::Message => (Frame::data(Bytes::from_static(TAKEN)), Stage::Trailers),
            Stage::Trailers => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
                (Frame::trailers(trailers), Stage::Done)
            }
            Stage::Done => return Poll::Ready(None),
        };
        self.0 = next;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Stage::Done)
    }

    fn size_hint(&self) -> SizeHint {
        match self.0 {
            Stage::Message => SizeHint::with_exact(TAKEN.len() as u64),
            Stage::Trailers | Stage::Done => SizeHint::with_exact(0),
        }
    }
}

/// What stands in every answer.
fn put_common(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, APPLICATION_GRPC);
    headers.insert(
        GRPC_ACCEPT_ENCODING,
        HeaderValue::from_static(Coding::NAMES),
    );
}

/// All was taken.
pub(super) fn taken() -> Response<Answer> {
    let mut response = Response::new(Answer(Stage::Message));
    put_common(response.headers_mut());
    response
}

/// A refusal as trailers without a message: gRPC over HTTP/2, "Trailers-Only". A client that may come again is told after what
/// time. The status is 200, unless the request is none of gRPC's.
pub(super) fn refused(refusal: &Refusal, retry_after: Duration) -> Response<Answer> {
    let mut response = Response::new(Answer(Stage::Done));
    *response.status_mut() = refusal.status.unwrap_or(StatusCode::OK);
    let headers = response.headers_mut();
    put_common(headers);
    headers.insert(GRPC_STATUS, HeaderValue::from(refusal.code as u16));
    let message = percent_encoded(&printable(&refusal.message));
    if let Ok(message) = HeaderValue::from_str(&message) {
        headers.insert(GRPC_MESSAGE, message);
    }
    if refusal.again {
        let details = refusal::status(refusal.code, &refusal.message, Some(retry_after));
        let details = STANDARD_NO_PAD.encode(details);
        if let Ok(details) = HeaderValue::from_str(&details) {
            headers.insert(GRPC_DETAILS, details);
        }
    }
    response
}

/// As `grpc-message` has it: everything but visible ASCII and space in percent, and percent itself. gRPC over HTTP/2,
/// "Responses".
fn percent_encoded(message: &str) -> String {
    use core::fmt::Write;
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b'%' | ..=0x1f | 0x7f.. => {
                // A string takes everything.
                let _ = write!(out, "%{byte:02X}");
            }
            _ => out.push(char::from(byte)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::grpc::{Code, retry_info};

    #[test]
    fn a_message_is_percent_encoded_as_grpc_has_it() {
        assert_eq!(percent_encoded("a b~"), "a b~");
        assert_eq!(percent_encoded("50% ü\n"), "50%25 %C3%BC%0A");
    }

    #[test]
    fn a_refusal_that_passes_says_when() {
        let wait = Duration::from_millis(1500);
        let headers = refused(&Refusal::for_now("full"), wait);
        let details = headers.headers()[GRPC_DETAILS].as_bytes();
        let details = STANDARD_NO_PAD.decode(details).unwrap();
        assert_eq!(retry_info(&details), Some(wait));
        assert_eq!(headers.headers()[GRPC_STATUS], "14");
        let headers = refused(&Refusal::new(Code::InvalidArgument, "bad"), wait);
        assert!(!headers.headers().contains_key(GRPC_DETAILS));
        assert_eq!(headers.headers()[GRPC_STATUS], "3");
    }
}
