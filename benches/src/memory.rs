//! Memory of a process, as the system has it. Not a number where the system does not say.

use std::fs;

/// Bytes of a mebibyte.
pub const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Bytes resident that are not pages of files: the binary is the same for all.
#[must_use]
pub fn resident(process: u32) -> f64 {
    status(process, "RssAnon:")
}

/// The most bytes that ever were resident: pages of the program's file are in it.
#[must_use]
pub fn high_water(process: u32) -> f64 {
    status(process, "VmHWM:")
}

fn status(process: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or(f64::NAN) * 1024.0
}
