//! What a server says, and what became of a request that it says nothing about.

use core::pin::Pin;

use http::{HeaderMap, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use spanwire_core::exporter::Outcome;

use crate::exporter::call::chain;
use crate::otlp::grpc::{Code, verdict};
use crate::otlp::{MAX_RESPONSE, outcome_of_response, read_frame};

/// Reads an answer to its end. `Err` says why there is no whole one.
pub(super) async fn read(response: Response<Incoming>) -> Result<Outcome, String> {
    let (parts, mut body) = response.into_parts();
    // An answer without a message has its status in front.
    if let Some(status) = tonic::Status::from_header_map(&parts.headers) {
        return Ok(outcome_of_status(&status, &[]));
    }
    if parts.status != StatusCode::OK {
        let message = format!("HTTP status {}", parts.status.as_u16());
        return Ok(verdict(code_of_http(parts.status), &message, &[]));
    }
    if !is_grpc(&parts.headers) {
        return Ok(verdict(Code::Unknown, "the answer is not gRPC", &[]));
    }
    let mut message = Vec::new();
    let mut trailers = None;
    while let Some(frame) = core::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| chain(&error))?;
        match frame.into_data() {
            Ok(data) if message.len() + data.len() > MAX_RESPONSE => {
                return Ok(Outcome::rejected(format!(
                    "the answer is longer than {MAX_RESPONSE} bytes"
                )));
            }
            Ok(data) => message.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok().or(trailers),
        }
    }
    Ok(
        match trailers.as_ref().and_then(tonic::Status::from_header_map) {
            Some(status) => outcome_of_status(&status, &message),
            None => verdict(Code::Unknown, "the answer has no status", &[]),
        },
    )
}

fn outcome_of_status(status: &tonic::Status, message: &[u8]) -> Outcome {
    if let Some(code) = Code::from_number(status.code() as i32) {
        return verdict(code, status.message(), status.details());
    }
    match read_frame(message) {
        Ok(message) => outcome_of_response(message),
        // The server has said that it took the batch.
        Err(error) => Outcome::Partial {
            rejected: 0,
            message: error.to_string().into(),
        },
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// gRPC, "HTTP to gRPC Status Code Mapping": for what stands between, which speaks HTTP only.
fn code_of_http(status: StatusCode) -> Code {
    match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    }
}
