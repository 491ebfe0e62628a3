//! The only brain: no thread, no clock, no I/O.
