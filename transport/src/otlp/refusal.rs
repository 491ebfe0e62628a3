//! What a server says to a client whose request it does not take.
//!
//! OTLP specification, "OTLP/gRPC Throttling" and "OTLP/HTTP Throttling"; `google/rpc/status.proto` and
//! `google/rpc/error_details.proto`.

use core::time::Duration;

use super::grpc::Code;
use super::printable;

const RETRY_INFO: &[u8] = b"type.googleapis.com/google.rpc.RetryInfo";

/// A `google.rpc.Status`: the body of an error over HTTP, and, in base64, the `grpc-status-details-bin` of one over gRPC.
///
/// With a wait it carries a `RetryInfo`. Of the message, 200 characters are kept, without control characters.
///
/// ```
/// use core::time::Duration;
/// use spanwire_transport::otlp::grpc::{Code, retry_info};
/// use spanwire_transport::otlp::refusal::status;
///
/// let wait = Duration::from_millis(1500);
/// assert_eq!(retry_info(&status(Code::Unavailable, "busy", Some(wait))), Some(wait));
/// ```
#[must_use]
pub fn status(code: Code, message: &str, retry_after: Option<Duration>) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, 1, code as u64);
    put_bytes(&mut out, 2, printable(message).as_bytes());
    if let Some(wait) = retry_after {
        let mut duration = Vec::new();
        put_number(&mut duration, 1, wait.as_secs());
        put_number(&mut duration, 2, wait.subsec_nanos().into());
        let mut info = Vec::new();
        put_bytes(&mut info, 1, &duration);
        let mut any = Vec::new();
        put_bytes(&mut any, 1, RETRY_INFO);
        put_bytes(&mut any, 2, &info);
        put_bytes(&mut out, 3, &any);
    }
    out
}

/// The HTTP status that stands for a code of gRPC, as the Collector's OTLP receiver maps them.
#[must_use]
pub const fn http_status(code: Code) -> u16 {
    match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => 503,
        Code::ResourceExhausted => 429,
        Code::InvalidArgument => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::Unimplemented => 404,
        _ => 500,
    }
}

/// A field with a number; nothing for zero, which is what an absent one means.
fn put_number(out: &mut Vec<u8>, field: u8, number: u64) {
    if number != 0 {
        out.push(field << 3);
        put_varint(out, number);
    }
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::super::grpc::retry_info;
    use super::*;

    #[test]
    fn a_refusal_is_written_as_another_implementation_writes_it() {
        let busy = b"\x08\x0e\x12\x04busy\x1a\x36\x0a\x28type.googleapis.com/google.rpc.RetryInfo\
            \x12\x0a\x0a\x08\x08\x01\x10\x80\xca\xb5\xee\x01";
        let wait = Duration::from_millis(1500);
        assert_eq!(status(Code::Unavailable, "busy", Some(wait)), busy);
    }

    #[test]
    fn every_wait_is_read_back() {
        for wait in [0, 1, 127, 999, 1000, 86_400_001].map(Duration::from_millis) {
            let bytes = status(Code::Unavailable, "", Some(wait));
            assert_eq!(retry_info(&bytes), Some(wait));
        }
        assert_eq!(
            retry_info(&status(Code::InvalidArgument, "bad", None)),
            None
        );
    }

    #[test]
    fn what_a_client_may_send_again_over_grpc_it_may_send_again_over_http() {
        for code in Code::ALL {
            assert_eq!(http_status(code) == 503, code.is_retryable(), "{code}");
        }
        assert_eq!(http_status(Code::ResourceExhausted), 429);
        assert_eq!(http_status(Code::InvalidArgument), 400);
        assert_eq!(http_status(Code::Internal), 500);
    }
}
