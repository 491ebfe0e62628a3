//! How much memory there is.
