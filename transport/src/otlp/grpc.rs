//! What a gRPC status means for a batch.
//!
//! OTLP specification, "OTLP/gRPC Response" and "OTLP/gRPC Throttling"; `google/rpc/error_details.proto` for `RetryInfo`.

use core::fmt;
use core::num::NonZeroU8;
use core::time::Duration;

use spanwire_core::exporter::Outcome;
use spanwire_core::wire::raw::Payload;

use super::printable;
use super::response::each_field;

/// A status code of gRPC, other than OK. `google/rpc/code.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(
    missing_docs,
    reason = "the names are those of gRPC, and say what there is to say"
)]
pub enum Code {
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// All of them, by number.
    pub const ALL: [Self; 16] = [
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code of a number; `None` for zero, which is OK. A number that gRPC does not know is `Unknown`.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        let index = match usize::try_from(number) {
            Ok(0) => return None,
            Ok(number) => number - 1,
            Err(_) => return Some(Self::Unknown),
        };
        Some(Self::ALL.get(index).copied().unwrap_or(Self::Unknown))
    }

    /// The name, as gRPC writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }

    /// Whether the specification has a batch sent again after this code, whatever else was said.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Cancelled
                | Self::DeadlineExceeded
                | Self::Aborted
                | Self::OutOfRange
                | Self::Unavailable
                | Self::DataLoss
        )
    }

    /// Whether the server may have stored a batch that it answered so.
    const fn may_have_stored(self) -> bool {
        matches!(
            self,
            Self::Cancelled | Self::DeadlineExceeded | Self::DataLoss
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a status other than OK means for the batch that it is about.
///
/// `details` is the decoded `grpc-status-details-bin` of the answer; empty when there is none.
///
/// ```
/// use spanwire_core::exporter::Outcome;
/// use spanwire_transport::otlp::grpc::{Code, verdict};
///
/// assert!(matches!(verdict(Code::Unavailable, "busy", &[]), Outcome::Retry { .. }));
/// assert!(matches!(verdict(Code::Unauthenticated, "", &[]), Outcome::Rejected { .. }));
/// let large = "grpc: received message larger than max (5000000 vs. 4194304)";
/// assert_eq!(verdict(Code::ResourceExhausted, large, &[]), Outcome::TooLarge { limit: Some(4194304) });
/// ```
#[must_use]
pub fn verdict(code: Code, message: &str, details: &[u8]) -> Outcome {
    let after = retry_info(details);
    let may_be_size = matches!(code, Code::OutOfRange | Code::ResourceExhausted);
    if may_be_size && after.is_none() && says_too_large(message) {
        return Outcome::TooLarge {
            limit: smallest_number(message),
        };
    }
    let reason = if message.is_empty() {
        code.as_str().into()
    } else {
        format!("{code}: {}", printable(message)).into()
    };
    if code.is_retryable() || (code == Code::ResourceExhausted && after.is_some()) {
        Outcome::Retry {
            after,
            possibly_stored: code.may_have_stored(),
            reason,
        }
    } else {
        Outcome::Rejected {
            code: NonZeroU8::new(code as u8),
            reason,
        }
    }
}

/// The wait that a `RetryInfo` among the details of a `google.rpc.Status` asks for; `None` without one, or when the
/// bytes are no such message. A wait that is missing or negative is zero.
#[must_use]
pub fn retry_info(status: &[u8]) -> Option<Duration> {
    let mut found = None;
    each_field(status, |number, payload| {
        if let (3, Payload::Len(any)) = (number, payload) {
            found = retry_info_of(any).or(found);
        }
        Some(())
    })?;
    found
}

/// The wait in a `google.protobuf.Any`, if that is a `RetryInfo`.
fn retry_info_of(any: &[u8]) -> Option<Duration> {
    let (mut url, mut value) = (&[][..], &[][..]);
    each_field(any, |number, payload| {
        match (number, payload) {
            (1, Payload::Len(text)) => url = text,
            (2, Payload::Len(message)) => value = message,
            _ => {}
        }
        Some(())
    })?;
    if !url.ends_with(b"/google.rpc.RetryInfo") {
        return None;
    }
    let (mut seconds, mut nanos) = (0, 0);
    each_field(value, |number, payload| match (number, payload) {
        (1, Payload::Len(duration)) => each_field(duration, |number, payload| {
            match (number, payload) {
                (1, Payload::Varint(number)) => seconds = number,
                (2, Payload::Varint(number)) => nanos = number,
                _ => {}
            }
            Some(())
        }),
        _ => Some(()),
    })?;
    // Both are signed; a negative one has the highest bit.
    if i64::try_from(seconds).is_err() || i64::try_from(nanos).is_err() {
        return Some(Duration::ZERO);
    }
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos)))
}

/// Whether a message is what servers say of a message that is too large for them. There is no code for it, so the
/// words of gRPC's implementations decide: C++, Go, Java, JavaScript, .NET and Rust (tonic).
fn says_too_large(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "larger than max",
        "message length too large",
        "exceeds maximum size",
        "exceeds the maximum configured message size",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// The smallest number in a text: of the size that was found and the limit that it broke, that is the limit.
fn smallest_number(text: &str) -> Option<usize> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .filter(|number| *number > 0)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "busy", code 14, 1.5 s; made by another implementation.
    const BUSY: &[u8] =
        b"\x08\x0e\x12\x04busy\x1a\x36\x0a\x28type.googleapis.com/google.rpc.RetryInfo\
        \x12\x0a\x0a\x08\x08\x01\x10\x80\xca\xb5\xee\x01";

    #[derive(Debug, PartialEq)]
    enum Verdict {
        Retry,
        /// Again, and the server may have it.
        Doubtful,
        Never,
    }
    use Verdict::{Doubtful, Never, Retry};

    #[test]
    fn sixteen_codes_with_and_without_retry_info() {
        let table = [
            (Code::Cancelled, Doubtful, Doubtful),
            (Code::Unknown, Never, Never),
            (Code::InvalidArgument, Never, Never),
            (Code::DeadlineExceeded, Doubtful, Doubtful),
            (Code::NotFound, Never, Never),
            (Code::AlreadyExists, Never, Never),
            (Code::PermissionDenied, Never, Never),
            (Code::ResourceExhausted, Never, Retry),
            (Code::FailedPrecondition, Never, Never),
            (Code::Aborted, Retry, Retry),
            (Code::OutOfRange, Retry, Retry),
            (Code::Unimplemented, Never, Never),
            (Code::Internal, Never, Never),
            (Code::Unavailable, Retry, Retry),
            (Code::DataLoss, Doubtful, Doubtful),
            (Code::Unauthenticated, Never, Never),
        ];
        assert_eq!(table.each_ref().map(|row| row.0), Code::ALL);
        for (code, without, with) in table {
            for (details, wanted, wait) in [
                (&[][..], without, None),
                (BUSY, with, Some(Duration::from_millis(1500))),
            ] {
                let verdict = match verdict(code, "why", details) {
                    Outcome::Retry {
                        after,
                        possibly_stored,
                        reason,
                    } => {
                        assert_eq!(after, wait, "{code}");
                        assert_eq!(reason, format!("{code}: why"));
                        if possibly_stored { Doubtful } else { Retry }
                    }
                    Outcome::Rejected { code: said, reason } => {
                        assert_eq!(said.map(NonZeroU8::get), Some(code as u8));
                        assert_eq!(reason, format!("{code}: why"));
                        Never
                    }
                    other => panic!("{code}: {other:?}"),
                };
                assert_eq!(
                    verdict,
                    wanted,
                    "{code} with {} bytes of details",
                    details.len()
                );
            }
        }
    }

    #[test]
    fn codes_have_the_numbers_of_grpc() {
        for (index, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, index + 1);
            assert_eq!(Code::from_number(code as i32), Some(code));
        }
        assert_eq!(Code::from_number(0), None);
        for unknown in [17, 99, -1, i32::MIN, i32::MAX] {
            assert_eq!(Code::from_number(unknown), Some(Code::Unknown));
        }
    }

    #[test]
    fn a_message_too_large_is_split_unless_a_wait_is_asked_for() {
        for (code, message, limit) in [
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (5242880 vs. 4194304)",
                Some(4_194_304),
            ),
            (
                Code::ResourceExhausted,
                "SERVER: Received message larger than max (9 vs. 4)",
                Some(4),
            ),
            (
                Code::ResourceExhausted,
                "grpc: received message after decompression larger than max 4194304",
                Some(4_194_304),
            ),
            (
                Code::ResourceExhausted,
                "gRPC message exceeds maximum size 4194304: 5242880",
                Some(4_194_304),
            ),
            (
                Code::ResourceExhausted,
                "Received message exceeds the maximum configured message size.",
                None,
            ),
            (
                Code::OutOfRange,
                "Error, decoded message length too large: found 5242880 bytes, the limit is: 4194304 bytes",
                Some(4_194_304),
            ),
            (
                Code::OutOfRange,
                "larger than max (99999999999999999999999999 vs. 0)",
                None,
            ),
        ] {
            assert_eq!(
                verdict(code, message, &[]),
                Outcome::TooLarge { limit },
                "{message}"
            );
            assert!(
                matches!(verdict(code, message, BUSY), Outcome::Retry { .. }),
                "{message}"
            );
        }
        // Other codes, and other words, are no such thing.
        assert!(matches!(
            verdict(Code::Internal, "message larger than max (5 vs. 4)", &[]),
            Outcome::Rejected { .. }
        ));
        assert!(matches!(
            verdict(Code::ResourceExhausted, "quota of 5 requests", &[]),
            Outcome::Rejected { .. }
        ));
    }

    #[test]
    fn retry_info_is_found_among_other_details() {
        assert_eq!(retry_info(BUSY), Some(Duration::from_millis(1500)));
        assert_eq!(retry_info(&[]), None);
        // Another detail before, an unknown field after.
        let mut details = b"\x1a\x11\x0a\x0fexample.com/Any\x7a\x01x".to_vec();
        assert_eq!(retry_info(&details), None);
        details.extend_from_slice(BUSY);
        assert_eq!(retry_info(&details), Some(Duration::from_millis(1500)));
        // Without a wait, it still says that the batch may be sent again.
        let bare = b"\x1a\x2a\x0a\x28type.googleapis.com/google.rpc.RetryInfo";
        assert_eq!(retry_info(bare), Some(Duration::ZERO));
        for end in 1..BUSY.len() {
            if !matches!(end, 2 | 8) {
                assert_eq!(retry_info(&BUSY[..end]), None, "cut at {end}");
            }
        }
    }

    #[test]
    fn a_negative_wait_is_none_at_all() {
        let mut negative =
            b"\x1a\x37\x0a\x28type.googleapis.com/google.rpc.RetryInfo\x12\x0d\x0a\x0b\x08"
                .to_vec();
        negative.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        negative[1] = u8::try_from(negative.len() - 2).unwrap();
        assert_eq!(retry_info(&negative), Some(Duration::ZERO));
    }
}
