//! What takes batches away.
