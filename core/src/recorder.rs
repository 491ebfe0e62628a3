//! What a span needs to be recorded.
