//! What starts spans.
