//! Programs that link Spanwire; each is a file in this package, run with `cargo run --example NAME`.
