//! The whole, built and closed.
