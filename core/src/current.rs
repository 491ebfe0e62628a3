//! The span this thread is in.
