//! The live handle.
