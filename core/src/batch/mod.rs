//! Blocks, listed.
