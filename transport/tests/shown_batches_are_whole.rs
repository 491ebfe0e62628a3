//! What is shown of batches on standard error stands by itself, whatever else the program says there.
#![cfg(feature = "debug")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use spanwire_core::pipeline::Pipeline;
use spanwire_transport::exporter::debug::{DebugExporter, Verbosity};

/// Scenario: a program says lines of its own, as its diagnostics do, while batches of many lines are shown. Guarantees: none
/// of them stands within a batch. Runs itself again, since a process has one standard error.
#[test]
fn nothing_comes_between_the_lines_of_a_batch() {
    const MARK: &str = "SPANWIRE_TEST_SHOWS";
    const OWN: &str = "a line of the program";
    const SPANS: usize = 1000;
    if std::env::var_os(MARK).is_some() {
        eprintln!("{OWN}");
        let is_done = Arc::<AtomicBool>::default();
        let told = is_done.clone();
        let says = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                eprintln!("{OWN}");
            }
        });
        let pipeline = Pipeline::builder()
            .max_export_batch_size(SPANS)
            .exporter(|| {
                DebugExporter::stderr()
                    .verbosity(Verbosity::Normal)
                    .sampling_initial(100)
            })
            .build()
            .unwrap();
        let tracer = pipeline.tracer("scope");
        for _ in 0..5 {
            for _ in 0..SPANS {
                let mut span = tracer.start("a span");
                span.set_attribute(
                    "text",
                    "long enough that a batch is written in several pieces",
                );
            }
            assert!(pipeline.flush(Duration::from_secs(60)).is_complete());
        }
        is_done.store(true, Ordering::Relaxed);
        return says.join().unwrap();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "nothing_comes_between_the_lines_of_a_batch",
            "--nocapture",
        ])
        .env(MARK, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let out = String::from_utf8(output.stderr).unwrap();
    let is_own = |line: &&str| line.contains(OWN);
    let whole = out.lines().filter(is_own).all(|line| line == OWN);
    assert!(whole, "a line of the program is within another");
    assert!(
        out.lines().any(|line| line == OWN),
        "they are said side by side"
    );
    let (mut shown, mut batches) = (0, 0);
    let mut left = 0_usize;
    for line in out.lines() {
        if let Some((_, count)) = line.split_once("\"spans\": ") {
            assert_eq!(left, 0, "a batch within another");
            let digits = count.trim_end_matches('}');
            left = digits
                .parse()
                .unwrap_or_else(|error| panic!("{error}: {line}"));
            batches += 1;
        } else if line.starts_with("a span ") {
            left = left.checked_sub(1).expect("a span of no batch");
            shown += 1;
        } else {
            assert!(
                left == 0 || line != OWN,
                "within a batch, {left} spans before its end"
            );
        }
    }
    assert_eq!((shown, left), (5 * SPANS, 0));
    assert!(batches >= 5, "{batches}");
}
