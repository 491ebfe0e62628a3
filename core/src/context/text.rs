//! Where the text of a trace state or of baggage lives.

mod inline;
#[cfg(feature = "alloc")]
mod shared;

#[cfg(not(feature = "alloc"))]
pub(crate) use inline::{Inline as Text, Inline as Draft};
#[cfg(feature = "alloc")]
pub(crate) use shared::{Draft, Text};

/// The smaller of two lengths.
pub(crate) const fn least(a: usize, b: usize) -> usize {
    if a < b { a } else { b }
}
