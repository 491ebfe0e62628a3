//! What takes a batch away.
