//! Any steps on a ring: no span is lost uncounted.
#![no_main]

#[allow(dead_code, reason = "each target uses its own share")]
#[path = "../../core/tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::ring::operations(data));
