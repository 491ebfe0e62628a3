//! The thread that turns the crank.
