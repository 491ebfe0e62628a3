//! What a client is told.

use core::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::otlp::grpc::Code;
use crate::otlp::json;
use crate::otlp::printable;
use crate::otlp::refusal;
use crate::receiver::request::Refusal;

/// How a request is written, and so its answer. OTLP specification, "OTLP/HTTP Response".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Protobuf,
    Json,
}

impl Form {
    /// From the value of `content-type`: its parameters, and whether letters are large, do not matter. As the Collector
    /// reads it.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        [Self::Protobuf, Self::Json]
            .into_iter()
            .find(|form| media_type.eq_ignore_ascii_case(form.media_type()))
    }

    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// A whole answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// Every span was taken: an `ExportTraceServiceResponse` without a word.
pub(super) fn taken(form: Form) -> Answer {
    let body = match form {
        Form::Protobuf => Bytes::new(),
        Form::Json => Bytes::from_static(b"{}"),
    };
    answer(StatusCode::OK, form.media_type(), body)
}

/// There is nothing at this path; in the words of Go's server.
pub(super) fn not_found() -> Refusal {
    Refusal::new(Code::Unimplemented, "404 page not found").with_status(StatusCode::NOT_FOUND)
}

/// Spans are posted; in the words of the Collector.
pub(super) fn method_not_allowed() -> Refusal {
    let message = "405 method not allowed, supported: [POST]";
    Refusal::new(Code::Unimplemented, message).with_status(StatusCode::METHOD_NOT_ALLOWED)
}

/// The request is in no form of OTLP; in the words of the Collector.
pub(super) fn unsupported_media_type() -> Refusal {
    let message =
        "415 unsupported media type, supported: [application/json, application/x-protobuf]";
    Refusal::new(Code::Unimplemented, message).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// The status of a refusal. OTLP specification, "Failures" and "OTLP/HTTP Request Size": what is too large is 413.
fn status(refusal: &Refusal) -> StatusCode {
    match refusal.status {
        Some(status) => status,
        None if refusal.is_too_large => StatusCode::PAYLOAD_TOO_LARGE,
        None => StatusCode::from_u16(refusal::http_status(refusal.code))
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// A refusal in the form of the request: a `google.rpc.Status`; in words where the request has no form, or is none of OTLP.
/// OTLP specification, "Failures" of OTLP/HTTP. A client that may come again is told after what time.
pub(super) fn refused(refusal: &Refusal, form: Option<Form>, retry_after: Duration) -> Answer {
    let wait = refusal.again.then_some(retry_after);
    let status = status(refusal);
    let mut answer = match form.filter(|_| refusal.status.is_none()) {
        Some(form @ Form::Protobuf) => {
            let body = refusal::status(refusal.code, &refusal.message, wait);
            answer(status, form.media_type(), body.into())
        }
        Some(form @ Form::Json) => {
            let mut body = String::new();
            let message = printable(&refusal.message);
            let written = json::write_status(&mut body, refusal.code as i32, &message);
            debug_assert!(written.is_ok(), "a string takes everything");
            answer(status, form.media_type(), body.into())
        }
        None => answer(status, "text/plain", printable(&refusal.message).into()),
    };
    let headers = answer.headers_mut();
    if let Some(wait) = wait {
        // Whole seconds; a part of one is waited for too.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, seconds.into());
    }
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        _ => {}
    }
    answer
}

/// Nothing but a status.
pub(super) fn bare(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// The same, after which the connection ends: what is still coming of the request is of no use to anybody.
pub(super) fn and_close(mut answer: Answer) -> Answer {
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn answer(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(1500);

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        Some(answer.headers().get(name)?.to_str().unwrap())
    }

    fn body(answer: Answer) -> Bytes {
        use http_body_util::BodyExt;
        let collected = core::pin::pin!(answer.into_body().collect());
        let mut context = core::task::Context::from_waker(core::task::Waker::noop());
        match Future::poll(collected, &mut context) {
            core::task::Poll::Ready(Ok(collected)) => collected.to_bytes(),
            other => panic!("it is whole: {other:?}"),
        }
    }

    #[test]
    fn a_form_is_known_by_its_media_type_alone() {
        for (content_type, form) in [
            ("application/x-protobuf", Some(Form::Protobuf)),
            ("Application/X-Protobuf", Some(Form::Protobuf)),
            ("application/json", Some(Form::Json)),
            ("application/json; charset=utf-8", Some(Form::Json)),
            (" application/json ;charset=\"utf-8\"", Some(Form::Json)),
            ("application/protobuf", None),
            ("application/json+otlp", None),
            ("application/grpc", None),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(Form::of(content_type), form, "{content_type}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_form_of_the_request() {
        let busy = Refusal::for_now("no \"room\"\n");
        let answer = refused(&busy, Some(Form::Json), WAIT);
        assert_eq!(answer.status(), 503);
        assert_eq!(header(&answer, "retry-after"), Some("2"));
        assert_eq!(header(&answer, "content-type"), Some("application/json"));
        assert_eq!(body(answer), r#"{"code":14,"message":"no \"room\" "}"#);

        let answer = refused(&busy, Some(Form::Protobuf), WAIT);
        assert_eq!(header(&answer, "retry-after"), Some("2"));
        assert_eq!(
            header(&answer, "content-type"),
            Some("application/x-protobuf")
        );
        let status = body(answer);
        assert_eq!(crate::otlp::grpc::retry_info(&status), Some(WAIT));
        assert!(
            status.starts_with(b"\x08\x0e\x12\x0ano \"room\" "),
            "{status:?}"
        );

        let answer = refused(&busy, None, WAIT);
        assert_eq!(header(&answer, "content-type"), Some("text/plain"));
        assert_eq!(body(answer), "no \"room\" ");
    }

    #[test]
    fn every_refusal_has_its_status() {
        for (refusal, status) in [
            (Refusal::new(Code::InvalidArgument, "x"), 400),
            (Refusal::new(Code::Unauthenticated, "x"), 401),
            (Refusal::new(Code::PermissionDenied, "x"), 403),
            (Refusal::new(Code::Unimplemented, "x"), 404),
            (Refusal::new(Code::ResourceExhausted, "x"), 429),
            (Refusal::too_large("x"), 413),
            (Refusal::new(Code::Internal, "x"), 500),
            (Refusal::new(Code::DeadlineExceeded, "x"), 503),
            (Refusal::new(Code::Unavailable, "x"), 503),
        ] {
            let answer = refused(&refusal, Some(Form::Json), WAIT);
            assert_eq!(answer.status(), status);
            assert_eq!(header(&answer, "retry-after"), None);
            let challenge = (status == 401).then_some("Bearer");
            assert_eq!(header(&answer, "www-authenticate"), challenge);
        }
        let json = Some(Form::Json);
        let answer = refused(&method_not_allowed(), json, WAIT);
        assert_eq!(header(&answer, "allow"), Some("POST"));
        assert_eq!(header(&answer, "content-type"), Some("text/plain"));
    }

    #[test]
    fn success_has_nothing_to_say() {
        assert_eq!(body(taken(Form::Protobuf)), "");
        assert_eq!(body(taken(Form::Json)), "{}");
    }
}
