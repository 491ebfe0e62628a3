//! What a program was told on its command line.

use std::{env, io};

/// The words after its name.
#[must_use]
pub fn all() -> Vec<String> {
    env::args().skip(1).collect()
}

/// Whether only a smoke test is wanted: `cargo bench` says `--bench`; `cargo test --benches` does not, and wants to know only
/// whether the program runs.
#[must_use]
pub fn ask_for_a_smoke_test(words: &[&str]) -> bool {
    words.contains(&"--quick") || !words.contains(&"--bench")
}

/// A word is none that the program knows.
#[must_use]
pub fn unknown() -> io::Error {
    io::Error::other("a word this program does not know")
}
