//! What a server says, and what became of a request that it says nothing about.

use core::error::Error;
use core::pin::Pin;

use http::{HeaderMap, Response, StatusCode, header};
use http_body::Body as _;
use spanwire_core::exporter::Outcome;
use tonic::body::Body;

use crate::dial::Unreachable;
use crate::otlp::grpc::{Code, verdict};
use crate::otlp::{MAX_RESPONSE, outcome_of_response, printable, read_frame};

/// Reads an answer to its end. `Err` says why there is no whole one.
pub(super) async fn read(response: Response<Body>) -> Result<Outcome, String> {
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
        let frame = frame.map_err(|status| chain(&status))?;
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

/// What a request without an answer means for its batch. `begun` says whether bytes of it were sent.
pub(super) fn outcome_of_error(error: &(dyn Error + 'static), begun: bool) -> Outcome {
    if let Some(unreachable) = find::<Unreachable>(error) {
        return Outcome::retry(printable(&unreachable.to_string()));
    }
    Outcome::Retry {
        after: None,
        possibly_stored: begun,
        reason: chain(error).into(),
    }
}

/// Whether a request ended because its time was up.
pub(super) fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    find::<tonic::TimeoutExpired>(error).is_some()
}

/// The error of this kind among an error and its causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref::<E>())
}

/// An error, and what it comes from.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    core::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    })
}

/// An error and its causes, each said once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in causes(error) {
        // A status shows its metadata, which may hold what the server echoes.
        let said = match error.downcast_ref::<tonic::Status>() {
            Some(status) => status.message().to_string(),
            None => error.to_string(),
        };
        if said.is_empty() || text.contains(&said) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&said);
    }
    printable(&text)
}
