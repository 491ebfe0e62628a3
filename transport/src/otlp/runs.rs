//! What stands side by side in a batch.

use spanwire_core::batch::{Batch, Segment};

/// Neighbours with the same head: each run is one `ResourceSpans`, as in [`Batch::chunks`].
pub(crate) fn runs(batch: &Batch) -> impl Iterator<Item = &[Segment]> {
    batch
        .segments()
        .chunk_by(|one, next| one.head() == next.head())
}

/// The body of a segment in one piece. Only where a split went through it does this copy.
pub(crate) fn with_body<R>(segment: &Segment, read: impl FnOnce(&[u8]) -> R) -> R {
    let mut parts = segment.body_parts();
    match (parts.next(), parts.next()) {
        (None, _) => read(&[]),
        (Some(whole), None) => read(whole),
        (Some(lead), Some(rest)) => read(&[&lead[..], &rest[..]].concat()),
    }
}
