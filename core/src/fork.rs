//! Which process this is.
