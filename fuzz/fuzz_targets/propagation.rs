//! Any bytes in any header: nothing panics, and what is read is written the same.
#![no_main]

#[allow(dead_code, reason = "each target uses its own share")]
#[path = "../../core/tests/propagation_properties/mod.rs"]
mod propagation_properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| propagation_properties::any_bytes_are_survived(data));
