//! What takes batches away.

// Batches as text for people.
#[cfg(feature = "debug")]
pub mod debug;
