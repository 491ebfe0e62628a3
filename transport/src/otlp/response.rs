//! `ExportTraceServiceResponse`, as far as it says something.

use spanwire_core::exporter::Outcome;
use spanwire_core::wire::raw::{Fields, Payload};

use super::printable;

/// What a server says of a batch that it took in part, or has an opinion on. OTLP specification, "Partial Success".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartialSuccess {
    /// Spans that were rejected; a negative number, which means nothing, reads as none.
    pub rejected: u64,
    /// Why, or a warning where none was rejected. Without control characters, and of 200 characters at most.
    pub message: String,
}

impl PartialSuccess {
    /// Reads the answer of a server; one that has nothing to say, or says so in zeros, is all default.
    ///
    /// `None` when the bytes are no such message.
    ///
    /// ```
    /// use spanwire_transport::otlp::PartialSuccess;
    ///
    /// let partial = PartialSuccess::decode(&[0x0a, 5, 8, 3, 0x12, 1, b'x']).unwrap();
    /// assert_eq!((partial.rejected, &*partial.message), (3, "x"));
    /// ```
    #[must_use]
    pub fn decode(response: &[u8]) -> Option<Self> {
        let mut partial = Self::default();
        each_field(response, |number, payload| match (number, payload) {
            // Protobuf: a message that stands there twice merges.
            (1, Payload::Len(message)) => each_field(message, |number, payload| {
                match (number, payload) {
                    (1, Payload::Varint(rejected)) => {
                        // An int64: negative numbers have the highest bit.
                        partial.rejected = i64::try_from(rejected).map_or(0, i64::unsigned_abs);
                    }
                    (2, Payload::Len(text)) => {
                        partial.message = printable(&String::from_utf8_lossy(text));
                    }
                    (1 | 2, _) => return None,
                    _ => {}
                }
                Some(())
            }),
            (1, _) => None,
            _ => Some(()),
        })?;
        Some(partial)
    }
}

/// Visits the fields of a message. `None` when it is malformed, or a visit says so.
pub(super) fn each_field<'a>(
    message: &'a [u8],
    mut visit: impl FnMut(u32, Payload<'a>) -> Option<()>,
) -> Option<()> {
    let mut read = 0;
    for field in Fields::new(message) {
        read += field.record.len();
        visit(field.number, field.payload)?;
    }
    // The walk ends early at a field that is malformed.
    (read == message.len()).then_some(())
}

/// What a successful answer means for its batch. Final in any case: a batch that was taken is never sent again.
///
/// An answer that can't be read is told as a partial success that rejects nothing: the server has said that it took
/// the batch.
#[must_use]
pub fn outcome_of_response(response: &[u8]) -> Outcome {
    match PartialSuccess::decode(response) {
        Some(partial) if partial == PartialSuccess::default() => Outcome::Exported,
        Some(PartialSuccess { rejected, message }) => Outcome::Partial {
            rejected,
            message: message.into(),
        },
        None => Outcome::Partial {
            rejected: 0,
            message: "the answer is no ExportTraceServiceResponse".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    use prost::Message;

    use super::*;

    #[test]
    fn answers_are_read_as_prost_writes_them() {
        for (rejected, message) in [
            (0, ""),
            (3, "x"),
            (0, "warning"),
            (i64::MAX, "all"),
            (7, ""),
        ] {
            let bytes = ExportTraceServiceResponse {
                partial_success: Some(ExportTracePartialSuccess {
                    rejected_spans: rejected,
                    error_message: message.into(),
                }),
            }
            .encode_to_vec();
            let partial = PartialSuccess::decode(&bytes).unwrap();
            assert_eq!(partial.rejected, u64::try_from(rejected).unwrap());
            assert_eq!(partial.message, message);
            let exported = outcome_of_response(&bytes) == Outcome::Exported;
            assert_eq!(exported, (rejected, message) == (0, ""));
        }
    }

    #[test]
    fn odd_answers() {
        let read = PartialSuccess::decode;
        assert_eq!(read(&[]), Some(PartialSuccess::default()));
        // Fields that nobody knows are passed over.
        assert_eq!(
            read(&[0x1a, 1, 0, 0x20, 5]),
            Some(PartialSuccess::default())
        );
        // Said twice, it merges.
        let merged = read(&[0x0a, 2, 8, 3, 0x0a, 3, 0x12, 1, b'x']).unwrap();
        assert_eq!((merged.rejected, &*merged.message), (3, "x"));
        // Less than none.
        let negative = [
            0x0a, 11, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ];
        assert_eq!(read(&negative).unwrap().rejected, 0);
        // A text that would break a log.
        let dirty = read(&[0x0a, 5, 0x12, 3, b'a', b'\n', 0xff]).unwrap();
        assert_eq!(dirty.message, "a \u{fffd}");
        for bad in [
            &[0x0a][..],
            &[0x0a, 9, 8],
            &[0x08, 1],
            &[0x0a, 2, 0x10, 1],
            b"\xff\xff",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
            assert!(
                matches!(outcome_of_response(bad), Outcome::Partial { rejected: 0, message } if !message.is_empty())
            );
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let bytes = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 1,
                error_message: "ü".repeat(10_000),
            }),
        }
        .encode_to_vec();
        assert_eq!(
            PartialSuccess::decode(&bytes).unwrap().message,
            "ü".repeat(200)
        );
    }
}
