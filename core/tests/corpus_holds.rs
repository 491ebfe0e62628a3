//! The committed corpus of the fuzz targets, old crashes included, holds what the targets check.
#![cfg(feature = "std")]

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

#[allow(dead_code, reason = "each test binary uses its own share")]
mod propagation_properties;
#[allow(dead_code, reason = "each test binary uses its own share")]
mod properties;

type Property = fn(&[u8]);

/// The property of each target. A target without a line here, or a line without a target, fails a test below.
const TARGETS: &[(&str, Property)] = &[
    ("encode_decode", properties::recording::encode_decode),
    (
        "propagation",
        propagation_properties::any_bytes_are_survived,
    ),
    ("ring", properties::ring::operations),
    ("validate", properties::wire::validate),
];

#[test]
fn every_input_holds() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    // A packaged core has no neighbour.
    if !fuzz.is_dir() {
        return;
    }
    for (target, property) in TARGETS {
        let corpus = fuzz.join("corpus").join(target);
        let mut inputs: Vec<_> = fs::read_dir(&corpus)
            .unwrap_or_else(|error| panic!("{}: {error}", corpus.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{target} has no corpus");
        for input in inputs {
            // Shown when the property panics.
            println!("{}", input.display());
            property(&fs::read(&input).unwrap());
        }
    }
}

#[test]
fn every_target_is_replayed() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    if !targets.is_dir() {
        return;
    }
    let mut files: Vec<_> = fs::read_dir(targets)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    files.sort();
    let names: Vec<_> = TARGETS.iter().map(|(name, _)| name).collect();
    assert_eq!(names, files.iter().collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_span_that_is_recorded_is_decoded(script in vec(any::<u8>(), 0..600)) {
        properties::recording::encode_decode(&script);
    }

    #[test]
    fn any_use_of_a_ring_loses_no_span(script in vec(any::<u8>(), 0..300)) {
        properties::ring::operations(&script);
    }
}
