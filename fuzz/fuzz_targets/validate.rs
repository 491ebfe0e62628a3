//! Any bytes as a request: trusted only if prost decodes them to what the views show.
#![no_main]

#[allow(dead_code, reason = "each target uses its own share")]
#[path = "../../core/tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::wire::validate(data));
