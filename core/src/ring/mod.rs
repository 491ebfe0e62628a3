//! Where ended spans wait.
