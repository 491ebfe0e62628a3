//! What may change or drop a batch.
