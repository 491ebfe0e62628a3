//! What an HTTP status means for a batch.
//!
//! OTLP specification, "OTLP/HTTP Response" and "OTLP/HTTP Throttling"; RFC 9110, 10.2.3 for `Retry-After`.

use core::num::NonZeroU8;
use core::time::Duration;
use std::time::SystemTime;

use spanwire_core::exporter::Outcome;

use spanwire_core::wire::raw::Payload;

use super::grpc::Code;
use super::printable;
use super::response::each_field;

/// What a status means for the batch that it is about. `None` for 2xx: the body says the rest, see
/// [`outcome_of_response`](super::outcome_of_response).
///
/// `retry_after` is the header of that name, `message` what the server says in words (`google.rpc.Status.message`, or
/// nothing), and `now` the wall clock, against which a date is a wait.
///
/// ```
/// use std::time::SystemTime;
/// use core::time::Duration;
/// use spanwire_core::exporter::Outcome;
/// use spanwire_transport::otlp::http::verdict;
///
/// let outcome = verdict(503, Some("2"), "", SystemTime::now());
/// assert!(matches!(outcome, Some(Outcome::Retry { after: Some(wait), .. }) if wait == Duration::from_secs(2)));
/// assert_eq!(verdict(200, None, "", SystemTime::now()), None);
/// ```
#[must_use]
pub fn verdict(
    status: u16,
    retry_after: Option<&str>,
    message: &str,
    now: SystemTime,
) -> Option<Outcome> {
    let reason = || {
        if message.is_empty() {
            format!("HTTP status {status}")
        } else {
            format!("HTTP status {status}: {}", printable(message))
        }
    };
    Some(match status {
        200..=299 => return None,
        413 => Outcome::TooLarge { limit: None },
        429 | 502 | 503 | 504 => Outcome::Retry {
            after: retry_after.and_then(|header| wait(header, now)),
            // A gateway that lost its server's answer can't know what the server did.
            possibly_stored: matches!(status, 502 | 504),
            reason: reason().into(),
        },
        _ => Outcome::Rejected {
            code: code(status).and_then(|code| NonZeroU8::new(code as u8)),
            reason: reason().into(),
        },
    })
}

/// The code of gRPC that a status of HTTP which is final stands for, as the Collector has it: the other way round, a receiver
/// answers that code with this status.
const fn code(status: u16) -> Option<Code> {
    match status {
        400 => Some(Code::InvalidArgument),
        401 => Some(Code::Unauthenticated),
        403 => Some(Code::PermissionDenied),
        404 => Some(Code::Unimplemented),
        _ => None,
    }
}

/// The wait that a `Retry-After` header asks for: whole seconds, or a date in any form that RFC 9110, 5.6.7 lists. A date
/// in the past is no wait at all. `None` when it is neither.
#[must_use]
pub fn wait(retry_after: &str, now: SystemTime) -> Option<Duration> {
    let text = retry_after.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean for ever.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// What a `google.rpc.Status`, the body of an answer that is a failure, says in words: fit for a line of a log. `None` when
/// the bytes are no such message.
///
/// ```
/// use spanwire_transport::otlp::http::status_message;
///
/// assert_eq!(status_message(b"\x08\x03\x12\x03bad").as_deref(), Some("bad"));
/// ```
#[must_use]
pub fn status_message(body: &[u8]) -> Option<String> {
    let mut message = String::new();
    each_field(body, |number, payload| match (number, payload) {
        (2, Payload::Len(text)) => {
            message = printable(&String::from_utf8_lossy(text));
            Some(())
        }
        (2, _) => None,
        _ => Some(()),
    })?;
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const EXAMPLE: u64 = 784_111_777;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn every_status_of_the_specification_and_its_neighbours() {
        #[derive(Debug, PartialEq)]
        enum Verdict {
            Taken,
            Retry,
            Doubtful,
            Split,
            Never,
        }
        use Verdict::{Doubtful, Never, Retry, Split, Taken};
        for (status, wanted) in [
            (200, Taken),
            (202, Taken),
            (204, Taken),
            (301, Never),
            (307, Never),
            (400, Never),
            (401, Never),
            (403, Never),
            (404, Never),
            (405, Never),
            (408, Never),
            (413, Split),
            (415, Never),
            (429, Retry),
            (500, Never),
            (501, Never),
            (502, Doubtful),
            (503, Retry),
            (504, Doubtful),
            (505, Never),
            (599, Never),
            (0, Never),
        ] {
            for header in [None, Some("7")] {
                let found = match verdict(status, header, "why", at(EXAMPLE)) {
                    None => Taken,
                    Some(Outcome::TooLarge { limit: None }) => Split,
                    Some(Outcome::Retry {
                        after,
                        possibly_stored,
                        reason,
                    }) => {
                        assert_eq!(after, header.map(|_| Duration::from_secs(7)));
                        assert_eq!(reason, format!("HTTP status {status}: why"));
                        if possibly_stored { Doubtful } else { Retry }
                    }
                    Some(Outcome::Rejected { code, reason }) => {
                        let known = [(400, 3), (401, 16), (403, 7), (404, 12)];
                        let wanted = known.iter().find(|(of, _)| *of == status);
                        assert_eq!(code.map(NonZeroU8::get), wanted.map(|(_, code)| *code));
                        assert_eq!(reason, format!("HTTP status {status}: why"));
                        Never
                    }
                    Some(other) => panic!("{status}: {other:?}"),
                };
                assert_eq!(found, wanted, "{status}");
            }
        }
    }

    #[test]
    fn both_forms_of_retry_after() {
        let now = at(EXAMPLE - 120);
        for (header, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(120)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(120)),
            ("Sun Nov  6 08:49:37 1994", Some(120)),
            ("Sun, 06 Nov 1994 08:47:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 06 Nov 1994", None),
        ] {
            assert_eq!(
                wait(header, now),
                seconds.map(Duration::from_secs),
                "{header:?}"
            );
        }
    }
}
